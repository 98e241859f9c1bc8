// What stays in the caches of a processor, beside what else passes through them.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace keras_sparse {

// Bytes that stay in the first-level cache.
inline int64_t near_bytes() {
  static const int64_t bytes = [] {
    constexpr int64_t kLeast = 32 << 10, kMost = 60 << 10, kOther = 4 << 10;
    int64_t cache = 0;  // unknown
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    cache = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    return std::clamp(cache - kOther, kLeast, kMost);
  }();
  return bytes;
}

// Bytes that stay in the second-level cache.
inline int64_t far_bytes() {
  static const int64_t bytes = [] {
    constexpr int64_t kLeast = 256 << 10, kMost = 1536 << 10;
    int64_t cache = 0;  // unknown
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
    cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return std::clamp(cache / 4 * 3, kLeast, kMost);
  }();
  return bytes;
}

}  // namespace keras_sparse
