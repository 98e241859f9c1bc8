// Contrastive divergence of a restricted Boltzmann machine with binary units: a whole step in one call.
#pragma once

#include "product.h"

namespace keras_sparse {

struct Contrast {
  Activations x;                   // the visible units of the data, [batch, n_in], float32
  const float* visible_bias = nullptr;
  const float* hidden_bias = nullptr;
  int64_t steps = 1;               // of Gibbs sampling; hidden units are sampled, visible ones are probabilities
  uint64_t seed = 0;

  float* dw = nullptr;             // Σ v h of the data less that of the model, at the connections, [capacity]
  float *dvisible = nullptr, *dhidden = nullptr;  // the same of v, [n_in], and of h, [n_out]
  float* error = nullptr;          // Σ (v - reconstruction)² per sample, [batch]
  float* energy = nullptr;         // free energy of the data per sample, [batch]
};

Status contrast(const Kernels&, const Junction&, const Contrast&);

}  // namespace keras_sparse
