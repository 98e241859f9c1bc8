// Which of the positions drawn are free: sorted, then walked along with those that are taken.
#include <algorithm>
#include <cstring>
#include <utility>

#include "rewiring.h"

namespace keras_sparse {
namespace {

constexpr int kDigitBits = 11;

template <class Number>
int significant_bits(const Number* numbers, int64_t size) {
  Number all = 0;
  for (int64_t i = 0; i < size; i++) all |= numbers[i];
  int bits = 0;
  for (; all; all >>= 1) bits++;
  return bits;
}

// Radix sort, lowest digit first; digits as even as possible, so that no pass sorts by a few bits only.
template <class Number>
void sort(Number* numbers, Number* scratch, int64_t size) {
  const int bits = significant_bits(numbers, size), passes = (bits + kDigitBits - 1) / kDigitBits;
  const int digit_bits = passes ? (bits + passes - 1) / passes : 0;
  const Number mask = (Number{1} << digit_bits) - 1;
  Number *from = numbers, *to = scratch;
  for (int shift = 0; shift < bits; shift += digit_bits) {
    const auto digit = [=](Number number) { return number >> shift & mask; };
    int64_t next[1 << kDigitBits] = {};  // place of the next number with each digit
    for (int64_t i = 0; i < size; i++) next[digit(from[i])]++;
    int64_t place = 0;
    for (Number d = 0; d <= mask; d++) place += std::exchange(next[d], place);
    for (int64_t i = 0; i < size; i++) to[next[digit(from[i])]++] = from[i];
    std::swap(from, to);
  }
  if (from != numbers && size > 0) std::memcpy(numbers, from, size * sizeof(Number));
}

template <class Number>
int64_t sift(const Number* taken, int64_t taken_count, Number* drawn, Number* scratch, int64_t drawn_count,
             int64_t* passed) {
  sort(drawn, scratch, drawn_count);
  int64_t before = 0, count = 0;
  for (int64_t i = 0; i < drawn_count; i++) {
    const Number number = drawn[i];
    before = count_below(taken, taken_count, before, number);
    const bool there = (before < taken_count && taken[before] == number) || (count > 0 && drawn[count - 1] == number);
    drawn[count] = number;  // without a branch: overwritten if it is there
    passed[count] = before;
    count += !there;
  }
  return count;
}

}  // namespace
}  // namespace keras_sparse

int64_t keras_sparse_sift(const void* taken, int64_t taken_count, void* drawn, void* scratch, int64_t drawn_count,
                          int64_t wide, int64_t* passed) {
  const auto run = [&](auto number) {
    using Number = decltype(number);
    return keras_sparse::sift(static_cast<const Number*>(taken), taken_count, static_cast<Number*>(drawn),
                              static_cast<Number*>(scratch), drawn_count, passed);
  };
  return wide ? run(uint64_t{}) : run(uint32_t{});
}
