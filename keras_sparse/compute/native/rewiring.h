// What rewiring asks of the library: selecting, merging, moving and counting connections. No TensorFlow, one thread.
//
// Every function is told the length of every array and checks what it is given before it trusts it; it returns kRefused,
// having written to nothing but its outputs, where the caller has to do the work itself.
#pragma once

#include <cstdint>
#include <limits>

#define KERAS_SPARSE_EXPORT extern "C" __attribute__((visibility("default")))

namespace keras_sparse {

constexpr int64_t kRefused = -1;

// The storage order of a junction: blocks of outputs, in a block the inputs; see topology/layout.py.
struct Grid {
  int64_t n_in, n_out, block;

  bool valid() const {
    return n_in > 0 && n_out > 0 && block > 0 && block <= n_out && n_in <= std::numeric_limits<int64_t>::max() / n_out;
  }
  int64_t blocks() const { return (n_out - 1) / block + 1; }
  int64_t rows() const { return blocks() * n_in; }
  int64_t width(int64_t b) const { return b + 1 < blocks() ? block : n_out - b * block; }
  int64_t first_place(int64_t b) const { return b * n_in * block; }
};

// Connections as they are stored: `ids` outputs within their blocks, `rows` row pointers.
struct Stored {
  Grid grid;
  const void* ids;
  int64_t id_count;
  int64_t wide;  // ids of 32 bits instead of 16
  const int64_t* rows;
  int64_t row_count;

  // Whether the row pointers rise from 0 to at most the number of ids.
  bool valid() const {
    if (!grid.valid() || row_count != grid.rows() + 1 || rows[0] != 0 || rows[row_count - 1] > id_count) return false;
    bool rising = true;
    for (int64_t r = 1; r < row_count; r++) rising &= rows[r - 1] <= rows[r];
    return rising;
  }
};

// How many of the ascending numbers, of which `passed` are known to be, lie below `limit`. Eight at a time: how many of
// these are below is added up without a branch, which could not be foreseen.
template <class Number>
int64_t count_below(const Number* ascending, int64_t size, int64_t passed, Number limit) {
  constexpr int kStep = 8;
  while (passed + kStep <= size) {
    int below = 0;
    for (int j = 0; j < kStep; j++) below += ascending[passed + j] < limit;
    passed += below;
    if (below < kStep) return passed;
  }
  while (passed < size && ascending[passed] < limit) passed++;
  return passed;
}

// Runs what may run out of memory: an exception must not reach the caller, who is not C++.
template <class Work>
int64_t guarded(const Work& work) {
  try {
    return work();
  } catch (...) {
    return kRefused;
  }
}

}  // namespace keras_sparse

// counts[0] of the values are at least zero, counts[1] less; NaN is neither.
KERAS_SPARSE_EXPORT void keras_sparse_count_signs(const float* values, int64_t size, int64_t* counts);

// keep[i] = 0 for the gone[0] values closest to zero of those at least zero, and the gone[1] closest of those below, of
// equal ones the first; else 1. Returns how many stay.
KERAS_SPARSE_EXPORT int64_t keras_sparse_survivors(const float* values, int64_t size, const int64_t* gone, uint8_t* keep);

// The places, of 32 or 64 bits, of the connections to keep, ascending; `places` has room for one more. Returns how many.
KERAS_SPARSE_EXPORT int64_t keras_sparse_kept_places(const keras_sparse::Stored* stored, const uint8_t* keep,
                                                     int64_t keep_count, void* places, int64_t place_count,
                                                     int64_t wide);

// Adds to rows[r] how many of the ascending places lie before row r. Returns 0.
KERAS_SPARSE_EXPORT int64_t keras_sparse_count_rows(const keras_sparse::Grid* grid, const void* places, int64_t size,
                                                    int64_t wide, int64_t* rows, int64_t row_count);

// Inputs and outputs of ascending places. Returns 0.
KERAS_SPARSE_EXPORT int64_t keras_sparse_units(const keras_sparse::Grid* grid, const void* places, int64_t size,
                                               int64_t wide, int64_t* inputs, int64_t* outputs);

// degrees[o] = connections into output o, [n_out]. Returns 0.
KERAS_SPARSE_EXPORT int64_t keras_sparse_in_degrees(const keras_sparse::Stored* stored, int64_t* degrees);

// Sorts `drawn` and moves those that are not among the ascending `taken`, each once, to its front; passed[i] of the
// taken ones lie before the i-th. `scratch` and `passed` are as long as `drawn`. Returns how many.
KERAS_SPARSE_EXPORT int64_t keras_sparse_sift(const void* taken, int64_t taken_count, void* drawn, void* scratch,
                                              int64_t drawn_count, int64_t wide, int64_t* passed);

// sources[p] = -1 at the ascending places `fresh`, elsewhere the next i with keep[i]. Returns 0.
KERAS_SPARSE_EXPORT int64_t keras_sparse_sources(const uint8_t* keep, int64_t keep_count, const int64_t* fresh,
                                                 int64_t fresh_count, int32_t* sources, int64_t size);

// to[p] = from[sources[p]], or `fill` where sources[p] is -1, for entries of 2, 4 or 8 bytes. Returns 0.
KERAS_SPARSE_EXPORT int64_t keras_sparse_gather(const void* from, int64_t from_count, const int32_t* sources,
                                                int64_t size, const void* fill, int64_t item_bytes, void* to);

// Moves the entries to keep, of 2, 4 or 8 bytes, to the front. Returns how many.
KERAS_SPARSE_EXPORT int64_t keras_sparse_compact(void* entries, const uint8_t* keep, int64_t size, int64_t item_bytes);

// to[places[i]] = entries[i], for entries of 2, 4 or 8 bytes. Returns 0.
KERAS_SPARSE_EXPORT int64_t keras_sparse_scatter(const void* entries, const int64_t* places, int64_t size,
                                                 int64_t item_bytes, void* to, int64_t to_count);

// sums[l] = the weighted sum of the mixed words of line l; see topology/hashing.py.
KERAS_SPARSE_EXPORT void keras_sparse_line_sums(const void* words, int64_t lines, int64_t line, const uint64_t* weights,
                                                uint64_t* sums);

// Sets the bit of every (input, output) among n_in · n_out; returns how many were not set.
KERAS_SPARSE_EXPORT int64_t keras_sparse_mark(uint8_t* bits, int64_t bytes, const int64_t* inputs,
                                              const int64_t* outputs, int64_t size, int64_t n_in, int64_t n_out);
