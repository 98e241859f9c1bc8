// Functions of single numbers, for the compiler to make vectors of; see `kernels_impl.h`.
#pragma once

#include "convert.h"

// Places do not depend on each other.
#ifdef __clang__
#define KERAS_SPARSE_VECTORS _Pragma("clang loop vectorize(assume_safety)")
#else
#define KERAS_SPARSE_VECTORS _Pragma("GCC ivdep")
#endif

namespace {

// e^x, to some units in the last place; from -87 to 88, beyond them as there. NaN stays.
inline float exponential(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: the sum's last bits are the rounded number
  const float shifted = x * 1.44269504f + kRound, n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  const float rest = 0.499999999f + r * (0.166665983f + r * (0.0416665082f + r * (0.00835987286f + r * 0.00139292447f)));
  return (1.0f + (r + r * r * rest)) * from_bits((to_bits(shifted) << 23) + 0x3f800000u);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

inline float hyperbolic_tangent(float x) {
  const float size = x < 0.0f ? -x : x, u = x * x;
  const float near = x + x * u * (-0.333333291f + u * (0.133327824f + u * (-0.0538525061f + u * (0.0210036601f -
                                                                                            u * 0.00610495753f))));
  const float far = 1.0f - 2.0f / (exponential(2.0f * size) + 1.0f);
  const float signed_far = x < 0.0f ? -far : far;
  return size < 0.625f ? near : signed_far;
}

// log(1 + e^x)
inline float softplus(float x) {
  const float size = x < 0.0f ? -x : x, rest = exponential(-size);
  // log(1 + t) = 2 artanh(t / (2 + t)), for t up to 1.
  const float z = rest / (2.0f + rest), u = z * z;
  const float series = 1.0f + u * (1.0f / 3 + u * (0.2f + u * (1.0f / 7 + u * (1.0f / 9 + u * (1.0f / 11 + u / 13)))));
  return (x > 0.0f ? x : 0.0f) + 2.0f * z * series;
}

}  // namespace
