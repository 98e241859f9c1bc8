#include "parts.h"

namespace keras_sparse {
namespace {

template <class E>
void fill_row(const Junction& w, int64_t i, typename E::Stored* row) {
  std::memset(row, 0, w.n_out * sizeof *row);
  for (int64_t b = 0; b < w.blocks; b++) {
    for (int64_t r = b * w.n_in + i, k = w.rows[r]; k < w.rows[r + 1]; k++) {
      row[w.output(b, k)] = E::write(w.values[k]);
    }
  }
}

template <class E>
void read_row(const Junction& w, int64_t i, const typename E::Stored* row, float* values) {
  for (int64_t b = 0; b < w.blocks; b++) {
    for (int64_t r = b * w.n_in + i, k = w.rows[r]; k < w.rows[r + 1]; k++) {
      values[k] = E::read(row[w.output(b, k)]);
    }
  }
}

// Calls row(i) for every input whose part of the index is sound.
template <class Row>
Status for_rows(const Kernels& kernels, const Junction& w, const Row& row) {
  if (connections(w) < 0 || connections(w) > w.capacity) return Status::bad_index;
  Check check(kernels, w);
  Team team(threads_for(w, 4));
  constexpr int64_t kRows = 16;
  team.run(divide_up(w.n_in, kRows), [&](int64_t task, int) {
    const int64_t from = task * kRows, to = std::min(from + kRows, w.n_in);
    for (int64_t b = 0; b < w.blocks; b++) {
      if (!check.part(b, from, to)) return;
    }
    for (int64_t i = from; i < to; i++) row(i);
  });
  return check.status();
}

}  // namespace

Status to_dense(const Kernels& kernels, const Junction& w, Element element, void* matrix) {
  return for_rows(kernels, w, [&](int64_t i) {
    auto* full = static_cast<float*>(matrix) + i * w.n_out;
    auto* half = static_cast<uint16_t*>(matrix) + i * w.n_out;
    if (element == Element::float32) fill_row<Float32>(w, i, full);
    if (element == Element::bfloat16) fill_row<BFloat16>(w, i, half);
    if (element == Element::float16) fill_row<Float16>(w, i, half);
  });
}

Status from_dense(const Kernels& kernels, const Junction& w, Element element, const void* matrix, float* values) {
  const int64_t count = connections(w);
  if (count < 0 || count > w.capacity) return Status::bad_index;
  zero(values + count, w.capacity - count);
  return for_rows(kernels, w, [&](int64_t i) {
    const auto* full = static_cast<const float*>(matrix) + i * w.n_out;
    const auto* half = static_cast<const uint16_t*>(matrix) + i * w.n_out;
    if (element == Element::float32) read_row<Float32>(w, i, full, values);
    if (element == Element::bfloat16) read_row<BFloat16>(w, i, half, values);
    if (element == Element::float16) read_row<Float16>(w, i, half, values);
  });
}

}  // namespace keras_sparse
