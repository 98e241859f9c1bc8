// The inner loops of contrastive divergence between the products, compiled once per instruction set.
#pragma once

#include <cstdint>

namespace keras_sparse {

// Where the random numbers of a panel come from: one for every sample and unit, whatever the tiles are.
struct Draw {
  uint32_t key;
  uint32_t first_sample;
};

// Arrays are panels, [units][T].
struct ContrastKernels {
  // sums become probabilities σ(sums); with `bits`, these are one with that probability, else zero.
  void (*activate)(int64_t units, int64_t tile, const Draw& draw, float* sums, float* bits);
  // energy[T] -= Σ log(1 + e^sums)
  void (*subtract_softplus)(int64_t units, int64_t tile, const float* sums, float* energy);
  // energy[T] -= Σ bias · units
  void (*subtract_bias)(int64_t units, int64_t tile, const float* bias, const float* panel, float* energy);
  // errors[T] += Σ (one - other)²
  void (*add_squares)(int64_t units, int64_t tile, const float* one, const float* other, float* errors);
  void (*negate)(int64_t count, float* numbers);
};

}  // namespace keras_sparse
