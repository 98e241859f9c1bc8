// The TensorFlow ops of convolutions; images are float32.
//
//   KerasSparseConv(x, values, bias, ids, rows) -> y                        x ∗ W + bias; `relu`: max(0, …)
//   KerasSparseConvGradients(x, y, dy, values, ids, rows) -> dx, dvalues, dbias
//                                                                           the backward; with `relu`, y tells where
//   KerasSparseConvOuter(x, y, dy, ids, rows) -> dvalues, dbias             the same without dx
#pragma once

namespace keras_sparse {

// The name of the op that TensorFlow refuses; null if it takes all.
const char* register_convolutions();

}  // namespace keras_sparse
