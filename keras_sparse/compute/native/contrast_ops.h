// The TensorFlow op of contrastive divergence.
//
//   KerasSparseContrast(x, values, visible_bias, hidden_bias, seed, ids, rows)
//       -> dvalues, dvisible, dhidden, error, energy
//
// x is [batch, n_in], seed one number; `steps` of Gibbs sampling. Statistics are sums over the data less those over the
// model's samples; error and energy are [batch]. See contrast.h.
#pragma once

namespace keras_sparse {

// The name of the op if TensorFlow refuses it; null if it takes it.
const char* register_contrast();

}  // namespace keras_sparse
