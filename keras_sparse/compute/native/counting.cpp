// Hash sums of a topology, and bits for the positions tried.
#include <cstring>

#include "rewiring.h"

namespace keras_sparse {
namespace {

uint64_t mixed(uint64_t word) {
  word *= 0x9E3779B97F4A7C15;
  return word ^ word >> 32;
}

bool inside(const int64_t* units, int64_t size, int64_t end) {
  bool all = true;
  for (int64_t i = 0; i < size; i++) all &= static_cast<uint64_t>(units[i]) < static_cast<uint64_t>(end);
  return all;
}

}  // namespace
}  // namespace keras_sparse

using namespace keras_sparse;

void keras_sparse_line_sums(const void* words, int64_t lines, int64_t line, const uint64_t* weights, uint64_t* sums) {
  const auto* data = static_cast<const char*>(words);
  for (int64_t l = 0; l < lines; l++) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < line; i++, data += sizeof(uint64_t)) {
      uint64_t word;
      std::memcpy(&word, data, sizeof word);  // ids need not start at a whole word
      sum += mixed(word) * weights[i];
    }
    sums[l] = sum;
  }
}

int64_t keras_sparse_mark(uint8_t* bits, int64_t bytes, const int64_t* inputs, const int64_t* outputs, int64_t size,
                          int64_t n_in, int64_t n_out) {
  const Grid grid{n_in, n_out, n_out};
  if (!grid.valid() || n_in * n_out > 8 * bytes || !inside(inputs, size, n_in) || !inside(outputs, size, n_out)) {
    return kRefused;
  }
  int64_t fresh = 0;
  for (int64_t i = 0; i < size; i++) {
    const int64_t key = inputs[i] * n_out + outputs[i];
    const unsigned bit = 1u << (key & 7);
    uint8_t& byte = bits[key >> 3];
    fresh += !(byte & bit);
    byte = static_cast<uint8_t>(byte | bit);
  }
  return fresh;
}
