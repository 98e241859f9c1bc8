// The inner loops of `recurrent_kernels.h`, for the compiler to make vectors of; see `kernels_impl.h`.
#pragma once

#include "functions_impl.h"
#include "recurrent_kernels.h"

namespace {

// Calls step(place) or, where some samples do not count, either step or skip, for every place of a panel.
template <class Step, class Skip>
inline void each_place(int64_t units, int64_t tile, const float* live, const Step& step, const Skip& skip) {
  if (!live) {
    const int64_t count = units * tile;
    KERAS_SPARSE_VECTORS
    for (int64_t k = 0; k < count; k++) step(k);
    return;
  }
  for (int64_t u = 0; u < units; u++) {
    KERAS_SPARSE_VECTORS
    for (int64_t s = 0; s < tile; s++) live[s] != 0.0f ? step(u * tile + s) : skip(u * tile + s);
  }
}

void lstm(int64_t units, int64_t tile, const float* live, const float* __restrict c_before,
          const float* __restrict h_before, float* __restrict gates, float* __restrict c, float* __restrict h) {
  const int64_t n = units * tile;
  each_place(
      units, tile, live,
      [=](int64_t k) {
        const float i = sigmoid(gates[k]), f = sigmoid(gates[n + k]), g = hyperbolic_tangent(gates[2 * n + k]);
        const float o = sigmoid(gates[3 * n + k]), cell = f * c_before[k] + i * g;
        gates[k] = i;
        gates[n + k] = f;
        gates[2 * n + k] = g;
        gates[3 * n + k] = o;
        c[k] = cell;
        h[k] = o * hyperbolic_tangent(cell);
      },
      [=](int64_t k) {
        c[k] = c_before[k];
        h[k] = h_before[k];
      });
}

void lstm_gradients(int64_t units, int64_t tile, const float* live, const float* __restrict c_before,
                    const float* __restrict gates, const float* __restrict c, float* __restrict dh,
                    float* __restrict dc, float* __restrict sums) {
  const int64_t n = units * tile;
  each_place(
      units, tile, live,
      [=](int64_t k) {
        const float i = gates[k], f = gates[n + k], g = gates[2 * n + k], o = gates[3 * n + k];
        const float bent = hyperbolic_tangent(c[k]), cell = dc[k] + dh[k] * o * (1.0f - bent * bent);
        sums[k] = cell * g * i * (1.0f - i);
        sums[n + k] = cell * c_before[k] * f * (1.0f - f);
        sums[2 * n + k] = cell * i * (1.0f - g * g);
        sums[3 * n + k] = dh[k] * bent * o * (1.0f - o);
        dc[k] = cell * f;
        dh[k] = 0.0f;
      },
      [=](int64_t k) {
        for (int gate = 0; gate < 4; gate++) sums[gate * n + k] = 0.0f;
      });
}

void gru(int64_t units, int64_t tile, const float* live, const float* __restrict h_before,
         const float* __restrict state, float* __restrict gates, float* __restrict h) {
  const int64_t n = units * tile;
  each_place(
      units, tile, live,
      [=](int64_t k) {
        const float z = sigmoid(gates[k] + state[k]), r = sigmoid(gates[n + k] + state[n + k]);
        const float own = state[2 * n + k], g = hyperbolic_tangent(gates[2 * n + k] + r * own);
        gates[k] = z;
        gates[n + k] = r;
        gates[2 * n + k] = g;
        gates[3 * n + k] = own;
        h[k] = z * h_before[k] + (1.0f - z) * g;
      },
      [=](int64_t k) { h[k] = h_before[k]; });
}

void gru_gradients(int64_t units, int64_t tile, const float* live, const float* __restrict h_before,
                   const float* __restrict gates, float* __restrict dh, float* __restrict sums,
                   float* __restrict state) {
  const int64_t n = units * tile;
  each_place(
      units, tile, live,
      [=](int64_t k) {
        const float z = gates[k], r = gates[n + k], g = gates[2 * n + k], own = gates[3 * n + k];
        const float by_g = dh[k] * (1.0f - z) * (1.0f - g * g);
        sums[k] = state[k] = dh[k] * (h_before[k] - g) * z * (1.0f - z);
        sums[n + k] = state[n + k] = by_g * own * r * (1.0f - r);
        sums[2 * n + k] = by_g;
        state[2 * n + k] = by_g * r;
        dh[k] *= z;
      },
      [=](int64_t k) {
        for (int gate = 0; gate < 3; gate++) sums[gate * n + k] = state[gate * n + k] = 0.0f;
      });
}

void simple(int64_t units, int64_t tile, const float* live, const float* __restrict h_before, float* __restrict h) {
  each_place(units, tile, live, [=](int64_t k) { h[k] = hyperbolic_tangent(h[k]); },
             [=](int64_t k) { h[k] = h_before[k]; });
}

void simple_gradients(int64_t units, int64_t tile, const float* live, const float* __restrict h,
                      float* __restrict dh, float* __restrict sums) {
  each_place(
      units, tile, live,
      [=](int64_t k) {
        sums[k] = dh[k] * (1.0f - h[k] * h[k]);
        dh[k] = 0.0f;
      },
      [=](int64_t k) { sums[k] = 0.0f; });
}

#define KERAS_SPARSE_RECURRENT {lstm, lstm_gradients, gru, gru_gradients, simple, simple_gradients}

}  // namespace
