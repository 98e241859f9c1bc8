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
constexpr int kShift = 19;  // leaves sign, exponent and four bits of the mantissa
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

// A part of the weights of one sign that holds the limit: those of one bin of a histogram.
struct Bin {
  int64_t number = -1;
  int64_t rank = 0;  // of the limit in the bin, from 1; 0 if nothing goes

  // Finds the bin of the weight of this `rank` among histogram[first], ..., histogram[end - 1].
  static Bin find(const int64_t* histogram, int64_t first, int64_t end, int64_t rank) {
    for (int64_t b = first; rank > 0 && b < end; rank -= histogram[b], b++) {
      if (histogram[b] >= rank) return {b, rank};
    }
    return {};
  }
};

// Returns the limit: of `size` weights of one bin the one of the given rank, from 1. Their upper bits are the same.
Limit limit(int32_t* weights, int64_t size, int64_t rank) {
  constexpr int kDigit = 10, kLower = kShift - kDigit;
  const auto digit = [](int32_t w) { return w >> kLower & ((1 << kDigit) - 1); };
  int64_t histogram[1 << kDigit] = {};
  for (int64_t i = 0; i < size; i++) histogram[digit(weights[i])]++;
  const Bin bin = Bin::find(histogram, 0, 1 << kDigit, rank);
  int32_t* end = std::partition(weights, weights + size, [=](int32_t w) { return digit(w) == bin.number; });
  int32_t* at = weights + (bin.rank - 1);
  std::nth_element(weights, at, end);
  const int32_t value = *at;
  return {value, bin.rank - std::count_if(weights, at, [=](int32_t w) { return w < value; })};
}

// Two tables, so that neighbours of one bin need not wait for each other.
std::vector<int64_t> histogram_of(const float* values, int64_t size) {
  std::vector<int64_t> histogram(kBins), odd(kBins);
  for (int64_t i = 0; i + 1 < size; i += 2) {
    histogram[bits_of(values[i]) >> kShift]++;
    odd[bits_of(values[i + 1]) >> kShift]++;
  }
  if (size % 2) histogram[bits_of(values[size - 1]) >> kShift]++;
  for (uint32_t b = 0; b < kBins; b++) histogram[b] += odd[b];
  return histogram;
}

// Returns the limit of one sign, for which `gone` weights go; false if there are not so many.
bool find_limit(const float* values, int64_t size, const std::vector<int64_t>& histogram, bool negative, int64_t gone,
                Limit* found) {
  if (gone == 0) return true;
  const int64_t first = negative ? kBins / 2 : 0;
  const Bin bin = Bin::find(histogram.data(), first, first + kBins / 2, gone);
  if (bin.rank == 0) return false;
  std::vector<int32_t> weights(histogram[bin.number] + 1);  // one to write to that does not count
  int64_t count = 0;
  for (int64_t i = 0; i < size; i++) {
    const uint32_t bits = bits_of(values[i]);
    weights[count] = magnitude(bits);  // without a branch: overwritten if it lies elsewhere
    count += (bits >> kShift == bin.number) & (magnitude(bits) <= static_cast<int32_t>(kInfinity));
  }
  if (bin.rank > count) return false;
  *found = limit(weights.data(), count, bin.rank);
  return true;
}

int64_t survivors(const float* values, int64_t size, const int64_t* gone, uint8_t* keep) {
  const std::vector<int64_t> histogram = histogram_of(values, size);
  Limit limits[2];
  for (int sign = 0; sign < 2; sign++) {
    if (!find_limit(values, size, histogram, sign, gone[sign], &limits[sign])) return kRefused;
  }
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
