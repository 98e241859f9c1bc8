// AVX2 kernels.
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "simd_vec8.h"

namespace {
template <int T>
using Wide = Vec8;
using Square = Vec8;
constexpr int kLargest = 8;
constexpr int kForward = 8, kBackward = 4;
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
extern const Kernels kKernelsAvx2;
const Kernels kKernelsAvx2 = KERAS_SPARSE_KERNELS("avx2", 2, 2);
}  // namespace keras_sparse
#endif
