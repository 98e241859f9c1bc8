// A sparse weight matrix as the kernels see it: connections ordered by (block of outputs, input, output).
#pragma once

#include <cstdint>

namespace keras_sparse {

enum class Element { float32, bfloat16, float16 };

struct Junction {
  int64_t n_in, n_out;
  int64_t block;         // outputs per block; the last block may be smaller
  int64_t blocks;        // ceil(n_out / block)
  int64_t capacity;      // length of `values`; row pointers stay at or below it
  const float* values;   // may be null where only positions matter
  const void* ids;       // output within its block: uint16, or uint32 if `wide`
  const int64_t* rows;   // blocks * n_in + 1 row pointers
  bool wide;

  int64_t first_output(int64_t b) const { return b * block; }
  // The output of connection k of block b.
  int64_t output(int64_t b, int64_t k) const {
    return b * block + (wide ? static_cast<int64_t>(static_cast<const uint32_t*>(ids)[k])
                             : static_cast<int64_t>(static_cast<const uint16_t*>(ids)[k]));
  }
  int64_t block_size(int64_t b) const { return b + 1 < blocks ? block : n_out - b * block; }
};

}  // namespace keras_sparse
