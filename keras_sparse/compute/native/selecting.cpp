// Which weights SET removes: the given numbers of either sign that are closest to zero.
//
// Floats of one sign are ordered like their bits. A histogram of the upper bits tells in which bin the limit lies, and
// only that bin is sorted, partly.
#include <algorithm>
#include <cstring>
#include <vector>

#include "rewiring.h"

namespace keras_sparse {
namespace {

constexpr uint32_t kSign = 0x80000000, kInfinity = 0x7f800000;
constexpr int kShift = 16;  // leaves sign, exponent and seven bits of the mantissa: bins less than a percent wide
constexpr uint32_t kBins = 1u << (32 - kShift);

// The bits of a value; -0 counts as positive. One sign's magnitudes are ordered like its values, NaN behind infinity.
uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits == kSign ? 0 : bits;
}

int32_t magnitude(uint32_t bits) { return static_cast<int32_t>(bits & ~kSign); }

// Weights of one sign below `value` go, and of those that equal it the first `ties`.
struct Limit {
  int32_t value = 0;
  int64_t ties = 0;
};

// The weights of one sign among which the limit is: those of one bin of a histogram.
struct Bin {
  uint32_t number = kBins;
  int64_t rank = 0;  // of the limit in the bin, from 1; 0 if nothing goes
  std::vector<int32_t> weights;

  // Finds the bin for which `gone` weights go; false if there are not so many.
  bool find(const std::vector<uint32_t>& histogram, uint32_t first, int64_t gone) {
    rank = gone;
    for (uint32_t b = first; rank > 0 && b < first + kBins / 2; rank -= histogram[b], b++) {
      if (histogram[b] < rank) continue;
      number = b;
      weights.reserve(histogram[b]);
      return true;
    }
    return gone == 0;
  }

  bool holds_limit() const { return rank <= static_cast<int64_t>(weights.size()); }

  Limit limit() {
    if (rank == 0) return {};
    const auto at = weights.begin() + (rank - 1);
    std::nth_element(weights.begin(), at, weights.end());
    const int32_t value = *at;
    return {value, rank - std::count_if(weights.begin(), at, [=](int32_t w) { return w < value; })};
  }
};

int64_t survivors(const float* values, int64_t size, const int64_t* gone, uint8_t* keep) {
  if (size > std::numeric_limits<uint32_t>::max()) return kRefused;
  std::vector<uint32_t> histogram(kBins);
  for (int64_t i = 0; i < size; i++) histogram[bits_of(values[i]) >> kShift]++;
  Bin bins[2];
  if (!bins[0].find(histogram, 0, gone[0]) || !bins[1].find(histogram, kBins / 2, gone[1])) return kRefused;
  for (int64_t i = 0; i < size; i++) {
    const uint32_t bits = bits_of(values[i]), bin = bits >> kShift;
    if ((bin != bins[0].number) & (bin != bins[1].number)) continue;
    if (magnitude(bits) <= static_cast<int32_t>(kInfinity)) bins[bits >> 31].weights.push_back(magnitude(bits));
  }
  if (!bins[0].holds_limit() || !bins[1].holds_limit()) return kRefused;
  Limit limits[2] = {bins[0].limit(), bins[1].limit()};
  const int32_t positive = limits[0].value, either = positive ^ limits[1].value;
  for (int64_t i = 0; i < size; i++) {
    const uint32_t bits = bits_of(values[i]);
    const int32_t negative = -static_cast<int32_t>(bits >> 31);
    keep[i] = magnitude(bits) >= (positive ^ (either & negative));
  }
  for (int64_t i = 0; i < size && limits[0].ties + limits[1].ties > 0; i++) {
    const uint32_t bits = bits_of(values[i]);
    Limit& limit = limits[bits >> 31];
    if (magnitude(bits) == limit.value && limit.ties > 0) keep[i] = 0, limit.ties--;
  }
  return size - gone[0] - gone[1];
}

}  // namespace
}  // namespace keras_sparse

void keras_sparse_count_signs(const float* values, int64_t size, int64_t* counts) {
  int64_t positive = 0, negative = 0;
  for (int64_t i = 0; i < size; i++) {
    positive += values[i] >= 0;
    negative += values[i] < 0;
  }
  counts[0] = positive, counts[1] = negative;
}

int64_t keras_sparse_survivors(const float* values, int64_t size, const int64_t* gone, uint8_t* keep) {
  return keras_sparse::guarded([&] { return keras_sparse::survivors(values, size, gone, keep); });
}
