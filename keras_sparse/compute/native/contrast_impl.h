// The inner loops of `contrast_kernels.h`, for the compiler to make vectors of; see `kernels_impl.h`.
#pragma once

#include "contrast_kernels.h"
#include "functions_impl.h"

namespace {

using keras_sparse::Draw;

// Philox 2x32 of ten rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), its first number.
inline uint32_t philox(uint32_t key, uint32_t left, uint32_t right) {
  for (int round = 0; round < 10; round++) {
    const uint64_t product = uint64_t{0xd256d193u} * left;
    left = static_cast<uint32_t>(product >> 32) ^ key ^ right;
    right = static_cast<uint32_t>(product);
    key += 0x9e3779b9u;
  }
  return left;
}

void activate(int64_t units, int64_t tile, const Draw& draw, float* __restrict sums, float* __restrict bits) {
  if (!bits) {
    KERAS_SPARSE_VECTORS
    for (int64_t k = 0; k < units * tile; k++) sums[k] = sigmoid(sums[k]);
    return;
  }
  const uint32_t key = draw.key, first = draw.first_sample;
  for (int64_t u = 0; u < units; u++) {
    float *own = sums + u * tile, *ones = bits + u * tile;
    const auto unit = static_cast<uint32_t>(u);
    KERAS_SPARSE_VECTORS
    for (int32_t s = 0; s < static_cast<int32_t>(tile); s++) {
      const uint32_t random = philox(key, first + static_cast<uint32_t>(s), unit);
      const float drawn = static_cast<float>(static_cast<int32_t>(random >> 8)) * 5.9604644775390625e-8f;  // 2^-24
      own[s] = sigmoid(own[s]);
      ones[s] = drawn < own[s] ? 1.0f : 0.0f;
    }
  }
}

void subtract_softplus(int64_t units, int64_t tile, const float* __restrict sums, float* __restrict energy) {
  for (int64_t u = 0; u < units; u++) {
    KERAS_SPARSE_VECTORS
    for (int64_t s = 0; s < tile; s++) energy[s] -= softplus(sums[u * tile + s]);
  }
}

void subtract_bias(int64_t units, int64_t tile, const float* __restrict bias, const float* __restrict panel,
                   float* __restrict energy) {
  for (int64_t u = 0; u < units; u++) {
    KERAS_SPARSE_VECTORS
    for (int64_t s = 0; s < tile; s++) energy[s] -= bias[u] * panel[u * tile + s];
  }
}

void add_squares(int64_t units, int64_t tile, const float* __restrict one, const float* __restrict other,
                 float* __restrict errors) {
  for (int64_t u = 0; u < units; u++) {
    KERAS_SPARSE_VECTORS
    for (int64_t s = 0; s < tile; s++) {
      const float difference = one[u * tile + s] - other[u * tile + s];
      errors[s] += difference * difference;
    }
  }
}

void negate(int64_t count, float* numbers) {
  for (int64_t k = 0; k < count; k++) numbers[k] = -numbers[k];
}

#define KERAS_SPARSE_CONTRAST {activate, subtract_softplus, subtract_bias, add_squares, negate}

}  // namespace
