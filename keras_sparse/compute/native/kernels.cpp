// Which instruction sets this processor has.
#include "kernels.h"

#include <cstring>

namespace keras_sparse {

extern const Kernels kKernelsPortable;
#if defined(__x86_64__) && defined(__GNUC__)
extern const Kernels kKernelsAvx2, kKernelsAvx512;

static bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static const Kernels* at(int place) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (has_avx512() && place-- == 0) return &kKernelsAvx512;
  if (has_avx2() && place-- == 0) return &kKernelsAvx2;
#endif
  return place == 0 ? &kKernelsPortable : nullptr;
}

const Kernels* find_kernels(const char* name) {
  for (int place = 0;; place++) {
    const Kernels* kernels = at(place);
    if (!kernels || !name || std::strcmp(kernels->name, name) == 0) return kernels;
  }
}

const char* available_kernels(int place) {
  const Kernels* kernels = at(place);
  return kernels ? kernels->name : nullptr;
}

}  // namespace keras_sparse
