// Products of sparse activations with a sparse junction: only pairs of a number and a connection that meet are seen.
#include <atomic>

#include "parts.h"

namespace keras_sparse {
namespace {

// Fewer entries than this are not worth a second thread.
constexpr int64_t kFewEntries = 1 << 9;

// Whether the row pointers rise from 0 to at most the capacity: then no two rows share a connection.
bool rising(const Junction& w) {
  const int64_t rows = w.blocks * w.n_in;
  bool sound = w.rows[0] == 0 && w.rows[rows] <= w.capacity;
  for (int64_t r = 0; r < rows; r++) sound = sound & (w.rows[r] <= w.rows[r + 1]);
  return sound;
}

// Calls each(entry, sample, block, begin, end) for the rows that meet the entries for which mine(sample, input) holds;
// false as soon as that is.
template <class Mine, class Each>
bool meet(const Junction& w, const Entries& x, const Mine& mine, const Each& each) {
  for (int64_t e = 0; e < x.count; e++) {
    const int64_t sample = x.at[2 * e], input = x.at[2 * e + 1];
    if (!mine(sample, input)) continue;
    for (int64_t b = 0; b < w.blocks; b++) {
      const int64_t* row = w.rows + b * w.n_in + input;
      if (!each(e, sample, b, row[0], row[1])) return false;
    }
  }
  return true;
}

template <class Id>
Status multiply_entries(const Junction& w, const Entries& x, int64_t batch, float* y) {
  const auto* ids = static_cast<const Id*>(w.ids);
  Team team(x.count < kFewEntries ? 1 : thread_count());
  const int64_t slices = team.threads();
  std::atomic<bool> sound{true};
  team.run(slices, [&](int64_t slice, int) {
    for (int64_t sample = slice; sample < batch; sample += slices) zero(y + sample * w.n_out, w.n_out);
    const bool fine = meet(
        w, x, [&](int64_t sample, int64_t) { return sample % slices == slice; },
        [&](int64_t e, int64_t sample, int64_t b, int64_t begin, int64_t end) {
          float* out = y + sample * w.n_out + w.first_output(b);
          const int64_t size = w.block_size(b);
          for (int64_t k = begin; k < end; k++) {
            const auto o = static_cast<int64_t>(ids[k]);
            if (o >= size) return false;
            out[o] += w.values[k] * x.numbers[e];
          }
          return true;
        });
    if (!fine) sound = false;
  });
  return sound ? Status::ok : Status::bad_index;
}

// Threads take inputs here, so that each connection has one thread.
template <class Id>
Status entries_gradients(const Junction& w, const Entries& x, const float* dy, float* dnumbers, float* dw) {
  const auto* ids = static_cast<const Id*>(w.ids);
  Team team(x.count < kFewEntries ? 1 : thread_count());
  const int64_t slices = team.threads();
  std::atomic<bool> sound{true};
  team.run(slices, [&](int64_t slice, int) {
    const int64_t from = w.capacity * slice / slices;
    zero(dw + from, w.capacity * (slice + 1) / slices - from);
  });
  team.run(slices, [&](int64_t slice, int) {
    const bool fine = meet(
        w, x, [&](int64_t, int64_t input) { return input % slices == slice; },
        [&](int64_t e, int64_t sample, int64_t b, int64_t begin, int64_t end) {
          const float* right = dy + sample * w.n_out + w.first_output(b);
          const int64_t size = w.block_size(b);
          float sum = 0;
          for (int64_t k = begin; k < end; k++) {
            const auto o = static_cast<int64_t>(ids[k]);
            if (o >= size) return false;
            sum += w.values[k] * right[o];
            dw[k] += x.numbers[e] * right[o];
          }
          dnumbers[e] = b ? dnumbers[e] + sum : sum;
          return true;
        });
    if (!fine) sound = false;
  });
  return sound ? Status::ok : Status::bad_index;
}

}  // namespace

bool in_range(const Entries& x, int64_t batch, int64_t n_in) {
  bool sound = true;
  for (int64_t e = 0; e < x.count; e++) {
    const int64_t sample = x.at[2 * e], input = x.at[2 * e + 1];
    sound = sound && 0 <= sample && sample < batch && 0 <= input && input < n_in;
  }
  return sound;
}

Status multiply(const Junction& w, const Entries& x, int64_t batch, float* y) {
  if (!rising(w)) return Status::bad_index;
  return (w.wide ? multiply_entries<uint32_t> : multiply_entries<uint16_t>)(w, x, batch, y);
}

Status gradients(const Junction& w, const Entries& x, const float* dy, float* dnumbers, float* dw) {
  if (!rising(w)) return Status::bad_index;
  return (w.wide ? entries_gradients<uint32_t> : entries_gradients<uint16_t>)(w, x, dy, dnumbers, dw);
}

}  // namespace keras_sparse
