// AVX-512 kernels.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif

#include "simd_vec16.h"
#include "simd_vec8.h"

namespace {
template <int T>
struct WideOf {
  using Type = Vec16;
};
template <>
struct WideOf<8> {
  using Type = Vec8;
};
template <int T>
using Wide = typename WideOf<T>::Type;
using Square = Vec8;
constexpr int kLargest = 128;
constexpr int kForward = 16, kBackward = 12;
}  // namespace

#include "kernels_impl.h"
#include "contrast_impl.h"
#include "convolution_impl.h"
#include "recurrent_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace keras_sparse {
extern const Kernels kKernelsAvx512;
const Kernels kKernelsAvx512 = KERAS_SPARSE_KERNELS("avx512", 0, 1);
}  // namespace keras_sparse
#endif
