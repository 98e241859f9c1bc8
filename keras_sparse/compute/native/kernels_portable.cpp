// Kernels for any processor; on 64-bit ARM the compiler makes NEON instructions of them.
#include "kernels.h"

#include "simd_vec4.h"

namespace {
template <int T>
using Wide = Vec4;
using Square = Vec4;
constexpr int kLargest = 4;
constexpr int kForward = 8, kBackward = 4;
}  // namespace

#include "kernels_impl.h"
#include "contrast_impl.h"
#include "convolution_impl.h"
#include "recurrent_impl.h"

namespace keras_sparse {
extern const Kernels kKernelsPortable;
#if defined(__aarch64__)
const Kernels kKernelsPortable = KERAS_SPARSE_KERNELS("neon", 2, 2);
#else
const Kernels kKernelsPortable = KERAS_SPARSE_KERNELS("portable", 3, 3);
#endif
}  // namespace keras_sparse
