// Shape inference of the ops, as far as the C API allows.
#pragma once

#include "op_run.h"

namespace keras_sparse {

// Checks the rank of every input and returns the handle of the first ones in `shapes`.
class Shapes {
 public:
  Shapes(TF_ShapeInferenceContext* context, TF_Status* status) : context_(context), status_(status) {}
  ~Shapes() {
    for (int i = 0; i < held_; i++) tf.TF_DeleteShapeHandle(handles_[i]);
  }
  TF_ShapeHandle* hold(TF_ShapeHandle* handle) { return handles_[held_++] = handle; }
  TF_ShapeHandle* fresh() { return hold(tf.TF_NewShapeHandle()); }
  bool ok() const { return tf.TF_GetCode(status_) == TF_OK; }

  TF_ShapeHandle* input(int place, int64_t rank) {
    TF_ShapeHandle *shape = fresh(), *ranked = fresh();
    if (ok()) tf.TF_ShapeInferenceContextGetInput(context_, place, shape, status_);
    if (ok()) tf.TF_ShapeInferenceContextWithRank(context_, shape, rank, ranked, status_);
    return ranked;
  }
  TF_ShapeHandle* unknown_vector() {
    return hold(tf.TF_ShapeInferenceContextVectorFromSize(context_, static_cast<size_t>(-1)));
  }
  // [first dimension of x, unknown]: the C API gives shape functions no access to integer attributes.
  TF_ShapeHandle* batch_of(TF_ShapeHandle* x) {
    TF_ShapeHandle *batch = fresh(), *whole = fresh(), *unknown = unknown_vector();
    if (ok()) tf.TF_ShapeInferenceContextSubshape(context_, x, 0, 1, batch, status_);
    if (ok()) tf.TF_ShapeInferenceContextConcatenateShapes(context_, batch, unknown, whole, status_);
    return whole;
  }
  void output(int place, TF_ShapeHandle* shape) {
    if (ok()) tf.TF_ShapeInferenceContextSetOutput(context_, place, shape, status_);
  }

 private:
  TF_ShapeInferenceContext* context_;
  TF_Status* status_;
  TF_ShapeHandle* handles_[64];  // two for every input, some for the outputs
  int held_ = 0;
};

inline void shape_multiply(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = shapes.input(0, 2);
  for (int place = 1; place < 5; place++) shapes.input(place, 1);
  shapes.output(0, shapes.batch_of(x));
}

template <bool with_dx>
void shape_gradients(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = shapes.input(0, 2);
  for (int place = 1; place < 3; place++) shapes.input(place, 2);
  for (int place = 3; place < 5 + with_dx; place++) shapes.input(place, 1);
  if (with_dx) shapes.output(0, shapes.batch_of(x));
  for (int place = with_dx; place < 2 + with_dx; place++) shapes.output(place, shapes.unknown_vector());
}

inline void shape_multiply_entries(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  shapes.input(0, 2);
  for (int place = 1; place < 6; place++) shapes.input(place, 1);
  shapes.output(0, shapes.batch_of(shapes.unknown_vector()));
}

inline void shape_entries_gradients(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  shapes.input(0, 2);
  TF_ShapeHandle* numbers = shapes.input(1, 1);
  shapes.input(2, 2);
  for (int place = 3; place < 6; place++) shapes.input(place, 1);
  shapes.output(0, numbers);
  shapes.output(1, shapes.unknown_vector());
}

inline void shape_to_dense(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  for (int place = 0; place < 3; place++) shapes.input(place, 1);
  shapes.output(0, shapes.batch_of(shapes.unknown_vector()));
}

inline void shape_from_dense(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  shapes.input(0, 2);
  for (int place = 1; place < 3; place++) shapes.input(place, 1);
  shapes.output(0, shapes.unknown_vector());
}

}  // namespace keras_sparse
