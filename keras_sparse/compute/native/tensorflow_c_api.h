// The part of TensorFlow's C API that the ops use, found in the running process.
//
// The C API is stable over releases, unlike the C++ one, so the few prototypes stand here and neither TensorFlow's
// headers nor its library are needed to build. https://www.tensorflow.org/install/lang_c; tensorflow/c/ops.h, kernels.h
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
typedef struct TF_Status TF_Status;
typedef struct TF_Tensor TF_Tensor;
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
typedef struct TF_ShapeHandle TF_ShapeHandle;
typedef struct TF_DimensionHandle TF_DimensionHandle;
typedef struct TF_KernelBuilder TF_KernelBuilder;
typedef struct TF_OpKernelConstruction TF_OpKernelConstruction;
typedef struct TF_OpKernelContext TF_OpKernelContext;
}

namespace keras_sparse {

enum TF_Code { TF_OK = 0, TF_INVALID_ARGUMENT = 3, TF_RESOURCE_EXHAUSTED = 8 };
enum TF_DataType { TF_FLOAT = 1, TF_INT64 = 9, TF_BOOL = 10, TF_BFLOAT16 = 14, TF_HALF = 19 };

#define KERAS_SPARSE_TENSORFLOW_FUNCTIONS(f)                                                                          \
  f(TF_NewStatus, TF_Status*, ())                                                                                    \
  f(TF_DeleteStatus, void, (TF_Status*))                                                                             \
  f(TF_SetStatus, void, (TF_Status*, TF_Code, const char*))                                                          \
  f(TF_GetCode, TF_Code, (const TF_Status*))                                                                         \
  f(TF_TensorData, void*, (const TF_Tensor*))                                                                        \
  f(TF_NumDims, int, (const TF_Tensor*))                                                                             \
  f(TF_Dim, int64_t, (const TF_Tensor*, int))                                                                        \
  f(TF_DeleteTensor, void, (TF_Tensor*))                                                                             \
  f(TF_NewOpDefinitionBuilder, TF_OpDefinitionBuilder*, (const char*))                                               \
  f(TF_OpDefinitionBuilderAddAttr, void, (TF_OpDefinitionBuilder*, const char*))                                     \
  f(TF_OpDefinitionBuilderAddInput, void, (TF_OpDefinitionBuilder*, const char*))                                    \
  f(TF_OpDefinitionBuilderAddOutput, void, (TF_OpDefinitionBuilder*, const char*))                                   \
  f(TF_OpDefinitionBuilderSetShapeInferenceFunction, void,                                                           \
    (TF_OpDefinitionBuilder*, void (*)(TF_ShapeInferenceContext*, TF_Status*)))                                      \
  f(TF_RegisterOpDefinition, void, (TF_OpDefinitionBuilder*, TF_Status*))                                            \
  f(TF_NewShapeHandle, TF_ShapeHandle*, ())                                                                          \
  f(TF_DeleteShapeHandle, void, (TF_ShapeHandle*))                                                                   \
  f(TF_ShapeInferenceContextGetInput, void, (TF_ShapeInferenceContext*, int, TF_ShapeHandle*, TF_Status*))           \
  f(TF_ShapeInferenceContextSetOutput, void, (TF_ShapeInferenceContext*, int, TF_ShapeHandle*, TF_Status*))          \
  f(TF_ShapeInferenceContextVectorFromSize, TF_ShapeHandle*, (TF_ShapeInferenceContext*, size_t))                    \
  f(TF_ShapeInferenceContextWithRank, void,                                                                          \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, int64_t, TF_ShapeHandle*, TF_Status*))                              \
  f(TF_ShapeInferenceContextSubshape, void,                                                                          \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, int64_t, int64_t, TF_ShapeHandle*, TF_Status*))                     \
  f(TF_ShapeInferenceContextConcatenateShapes, void,                                                                 \
    (TF_ShapeInferenceContext*, TF_ShapeHandle*, TF_ShapeHandle*, TF_ShapeHandle*, TF_Status*))                      \
  f(TF_NewKernelBuilder, TF_KernelBuilder*,                                                                          \
    (const char*, const char*, void* (*)(TF_OpKernelConstruction*), void (*)(void*, TF_OpKernelContext*),            \
     void (*)(void*)))                                                                                               \
  f(TF_KernelBuilder_TypeConstraint, void, (TF_KernelBuilder*, const char*, TF_DataType, TF_Status*))                \
  f(TF_RegisterKernelBuilder, void, (const char*, TF_KernelBuilder*, TF_Status*))                                    \
  f(TF_OpKernelConstruction_GetAttrInt64, void, (TF_OpKernelConstruction*, const char*, int64_t*, TF_Status*))       \
  f(TF_OpKernelConstruction_GetAttrBool, void, (TF_OpKernelConstruction*, const char*, unsigned char*, TF_Status*))  \
  f(TF_OpKernelConstruction_GetAttrType, void, (TF_OpKernelConstruction*, const char*, TF_DataType*, TF_Status*))    \
  f(TF_OpKernelConstruction_Failure, void, (TF_OpKernelConstruction*, TF_Status*))                                   \
  f(TF_OpKernelContext_Failure, void, (TF_OpKernelContext*, TF_Status*))                                             \
  f(TF_GetInput, void, (TF_OpKernelContext*, int, TF_Tensor**, TF_Status*))                                          \
  f(TF_AllocateOutput, TF_Tensor*,                                                                                   \
    (TF_OpKernelContext*, int, TF_DataType, const int64_t*, int, size_t, TF_Status*))

struct TensorFlow {
#define KERAS_SPARSE_MEMBER(name, result, arguments) result(*name) arguments;
  KERAS_SPARSE_TENSORFLOW_FUNCTIONS(KERAS_SPARSE_MEMBER)
#undef KERAS_SPARSE_MEMBER

  // False if TensorFlow is not loaded or lacks one of the functions; `missing` then names it.
  bool find(const char** missing);
};

}  // namespace keras_sparse
