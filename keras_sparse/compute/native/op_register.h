// Registering ops and their kernels with TensorFlow.
#pragma once

#include "op_run.h"

namespace keras_sparse {

struct Op {
  const char* name;
  const char *inputs[12], *outputs[7];  // null where there is none; ids and rows follow
  void (*shape)(TF_ShapeInferenceContext*, TF_Status*);
  void (*compute)(void*, TF_OpKernelContext*);
};

constexpr const char* kJunctionAttributes[] = {"n_in: int", "n_out: int", "capacity: int", "block: int", "id_bits: int",
                                               "transpose: bool = false", "relu: bool = false",
                                               "with_bias: bool = false"};

// An op with a junction and, in `more`, other attributes; its kernels for the element types `types`, which `t` lists.
template <size_t N>
bool register_op(const Op& op, const char* t, std::initializer_list<TF_DataType> types, const char* const (&more)[N],
                 void* (*create)(TF_OpKernelConstruction*), void (*destroy)(void*)) {
  TF_OpDefinitionBuilder* builder = tf.TF_NewOpDefinitionBuilder(op.name);
  tf.TF_OpDefinitionBuilderAddAttr(builder, t);
  for (const char* attribute : kJunctionAttributes) tf.TF_OpDefinitionBuilderAddAttr(builder, attribute);
  for (const char* attribute : more) {
    if (attribute) tf.TF_OpDefinitionBuilderAddAttr(builder, attribute);
  }
  for (const char* input : op.inputs) {
    if (input) tf.TF_OpDefinitionBuilderAddInput(builder, input);
  }
  tf.TF_OpDefinitionBuilderAddInput(builder, "ids: int64");
  tf.TF_OpDefinitionBuilderAddInput(builder, "rows: int64");
  for (const char* output : op.outputs) {
    if (output) tf.TF_OpDefinitionBuilderAddOutput(builder, output);
  }
  tf.TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, op.shape);
  StatusHolder s;
  tf.TF_RegisterOpDefinition(builder, s.status);
  for (const TF_DataType type : types) {
    if (!s.ok()) return false;
    TF_KernelBuilder* kernel = tf.TF_NewKernelBuilder(op.name, "CPU", create, op.compute, destroy);
    tf.TF_KernelBuilder_TypeConstraint(kernel, "T", type, s.status);
    if (s.ok()) tf.TF_RegisterKernelBuilder(op.name, kernel, s.status);
  }
  return s.ok();
}

}  // namespace keras_sparse
