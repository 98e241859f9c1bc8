// The inner loops of `kernels.h` over the vector types of one instruction set.
//
// Included by kernels_*.cpp, each of which compiles it for its own instruction set. Everything is in an anonymous
// namespace and nothing from the standard library is used: a function that the linker may share between
// translation units would bring instructions of one set into another.
//
// Before including: vector types, and KERAS_SPARSE_WIDE<T> / KERAS_SPARSE_SQUARE, see kernels_avx512.cpp.
#pragma once

#include "convert.h"

namespace {

using keras_sparse::Junction;
using keras_sparse::Kernels;
using keras_sparse::Rows;

template <class E>
inline void read_row(const typename E::Stored* from, float* to) {
  for (int j = 0; j < Square::width; j++) to[j] = E::read(from[j]);
}

// Up to `to`, and zero beyond.
template <class E>
inline void read_square(const Rows& x, const Rows* gate, int64_t sample, int64_t feature, int64_t to, float* square) {
  constexpr int W = Square::width;
  using Stored = typename E::Stored;
  const int64_t live = to - feature < W ? to - feature : W;
  for (int i = 0; i < W; i++) {
    const int64_t start = (sample + i) * x.stride + feature, count = sample + i < x.samples ? live : 0;
    const auto* row = static_cast<const Stored*>(x.data) + start;
    const auto* open = gate ? static_cast<const Stored*>(gate->data) + start : nullptr;
    float* target = square + i * W;
    if (count == W) {
      read_row<E>(row, target);
      if (!gate) continue;
      float gates[W];
      read_row<E>(open, gates);
      Square::where_positive(Square::load(gates), Square::load(target)).store(target);
      continue;
    }
    __builtin_memset(target, 0, W * sizeof(float));
    for (int j = 0; j < count; j++) target[j] = !gate || E::read(open[j]) > 0.0f ? E::read(row[j]) : 0.0f;
  }
}

template <int T, class E>
void pack(const Rows& x, const Rows* gate, int64_t from, int64_t to, float* panel) {
  constexpr int W = Square::width, kLine = 16;
  constexpr bool plain = sizeof(typename E::Stored) == sizeof(float);
  float square[W * W], turned[W * W];
  // Sixteen samples at a time: the processor foresees that many rows. By whole cache lines.
  for (int group = 0; group < T; group += kLine) {
    for (int64_t line = from; line < to; line += kLine) {
      for (int s = group; s < group + kLine && s < T; s += W) {
        for (int64_t f = line; f < line + kLine && f < to; f += W) {
          float* target = panel + (f - from) * T + s;
          const bool whole = s + W <= x.samples && f + W <= to;
          if (plain && whole && !gate) {
            Square::transpose(static_cast<const float*>(x.data) + s * x.stride + f, x.stride, target, T);
            continue;
          }
          read_square<E>(x, gate, s, f, to, square);
          if (whole) {
            Square::transpose(square, W, target, T);
            continue;
          }
          Square::transpose(square, W, turned, W);
          for (int j = 0; j < W && f + j < to; j++) {
            __builtin_memcpy(target + j * T, turned + j * W, W * sizeof(float));
          }
        }
      }
    }
  }
}

template <int T, class E>
void unpack(const float* panel, int64_t from, int64_t to, const Rows& y) {
  constexpr int W = Square::width, kLine = 16;
  constexpr bool plain = sizeof(typename E::Stored) == sizeof(float);
  auto* data = static_cast<typename E::Stored*>(y.data);
  float square[W * W], turned[W * W];
  for (int group = 0; group < T && group < y.samples; group += kLine) {
    for (int64_t line = from; line < to; line += kLine) {
      for (int s = group; s < group + kLine && s < T && s < y.samples; s += W) {
        for (int64_t f = line; f < line + kLine && f < to; f += W) {
          const float* source = panel + (f - from) * T + s;
          if (plain && s + W <= y.samples && f + W <= to) {
            Square::transpose(source, T, reinterpret_cast<float*>(data) + s * y.stride + f, y.stride);
            continue;
          }
          for (int j = 0; j < W; j++) {
            for (int i = 0; i < W; i++) square[j * W + i] = f + j < to ? source[j * T + i] : 0.0f;
          }
          Square::transpose(square, W, turned, W);
          for (int i = 0; i < W && s + i < y.samples; i++) {
            for (int j = 0; j < W && f + j < to; j++) data[(s + i) * y.stride + f + j] = E::write(turned[i * W + j]);
          }
        }
      }
    }
  }
}

// A panel's row in registers.
template <int T>
struct Row {
  using V = Wide<T>;
  static constexpr int count = T / V::width;
  V v[count];

  static Row load(const float* p) {
    Row r;
    for (int j = 0; j < count; j++) r.v[j] = V::load(p + j * V::width);
    return r;
  }
  void store(float* p) const {
    for (int j = 0; j < count; j++) v[j].store(p + j * V::width);
  }
  void add_to(V factor, float* p) const {
    for (int j = 0; j < count; j++) V::fma(factor, v[j], V::load(p + j * V::width)).store(p + j * V::width);
  }
};

template <int T>
void begin(const float* bias, int64_t outputs, float* sums) {
  if (!bias) {
    __builtin_memset(sums, 0, outputs * T * sizeof(float));
    return;
  }
  for (int64_t o = 0; o < outputs; o++) {
    const auto number = Wide<T>::all(bias[o]);
    for (int j = 0; j < T; j += Wide<T>::width) number.store(sums + o * T + j);
  }
}

void rectify(float* numbers, int64_t count) {
  for (int64_t i = 0; i < count; i++) numbers[i] = numbers[i] < 0.0f ? 0.0f : numbers[i];
}

template <int T>
void lane_sums(const float* panel, int64_t features, float* sums) {
  using V = Wide<T>;
  const auto lanes = [panel](int64_t f) {
    V sum = V::load(panel + f * T);
    for (int j = V::width; j < T; j += V::width) sum = V::add(sum, V::load(panel + f * T + j));
    return sum;
  };
  int64_t f = 0;
  for (; f + 4 <= features; f += 4) {
    const V four[4] = {lanes(f), lanes(f + 1), lanes(f + 2), lanes(f + 3)};
    V::sum4(four, sums + f, true);
  }
  for (; f < features; f++) sums[f] = lanes(f).sum();
}

template <int T, class Id>
void scatter(const Junction& w, int64_t b, int64_t limit, int64_t* cursor, const float* x, float* sums) {
  const auto* ids = static_cast<const Id*>(w.ids);
  const float* values = w.values;  // a name of its own: for the compiler, what is stored might change `w`
  const int64_t* ends = w.rows + b * w.n_in + 1;
  for (int64_t i = 0; i < w.n_in; i++) {
    int64_t k = cursor[i];
    const int64_t end = ends[i];
    if (k == end) continue;
    const auto row = Row<T>::load(x + i * T);
    for (; k < end && static_cast<int64_t>(ids[k]) < limit; k++) {
      row.add_to(Wide<T>::all(values[k]), sums + static_cast<int64_t>(ids[k]) * T);
    }
    cursor[i] = k;
  }
}

// Asks for what a connection some places ahead will touch, where outputs lie so far apart that memory must be waited for.
template <int T, class Id>
inline void foresee(const Junction& w, const Id* ids, int64_t k, const float* rows) {
  constexpr int64_t kAhead = 24;
  if (sizeof(Id) == sizeof(uint16_t)) return;
  const Id id = ids[k + kAhead < w.capacity ? k + kAhead : k];
  if (static_cast<int64_t>(id) < w.n_out) __builtin_prefetch(rows + static_cast<int64_t>(id) * T);
}

template <int T, class Id>
void scatter_all(const Junction& w, int64_t b, const float* x, float* sums) {
  const auto* ids = static_cast<const Id*>(w.ids);
  const float* values = w.values;
  const int64_t* rows = w.rows + b * w.n_in;
  for (int64_t i = 0; i < w.n_in; i++) {
    const auto row = Row<T>::load(x + i * T);
    const int64_t end = rows[i + 1];
    for (int64_t k = rows[i]; k < end; k++) {
      foresee<T>(w, ids, k, sums);
      row.add_to(Wide<T>::all(values[k]), sums + static_cast<int64_t>(ids[k]) * T);
    }
  }
}

// One connection's share: dx += value · dy, and the lanes of x · dy.
template <int T, bool DX, bool DW>
inline Wide<T> connect(const Row<T>& x, Row<T>& dx, const float* dy, float value) {
  using V = Wide<T>;
  V dot{};
  for (int j = 0; j < Row<T>::count; j++) {
    const V d = DX && DW ? V::load_once(dy + j * V::width) : V::load(dy + j * V::width);
    if (DX) dx.v[j] = V::fma(V::all(value), d, dx.v[j]);
    if (DW) dot = j ? V::fma(d, x.v[j], dot) : V::mul(d, x.v[j]);
  }
  return dot;
}

template <int T, class Id, bool DX, bool DW>
void gather_rows(const Junction& w, int64_t b, int64_t from, int64_t to, const float* x, const float* dy, float* dx,
                 float* dw, bool first) {
  const auto* ids = static_cast<const Id*>(w.ids);
  const float* values = w.values;
  const int64_t* rows = w.rows + b * w.n_in;
  for (int64_t i = from; i < to; i++) {
    int64_t k = rows[i];
    const int64_t end = rows[i + 1];
    if (k == end) continue;
    Row<T> left{}, sums{};
    if (DW) left = Row<T>::load(x + i * T);
    if (DX) sums = Row<T>::load(dx + (i - from) * T);
    for (; k + 4 <= end; k += 4) {
      Wide<T> dots[4];
      for (int c = 0; c < 4; c++) {
        foresee<T>(w, ids, k + c, dy);
        const float* right = dy + static_cast<int64_t>(ids[k + c]) * T;
        dots[c] = connect<T, DX, DW>(left, sums, right, DX ? values[k + c] : 0.0f);
      }
      if (DW) Wide<T>::sum4(dots, dw + k, first);
    }
    for (; k < end; k++) {
      const float* right = dy + static_cast<int64_t>(ids[k]) * T;
      const float dot = connect<T, DX, DW>(left, sums, right, DX ? values[k] : 0.0f).sum();
      if (DW) dw[k] = first ? dot : dw[k] + dot;
    }
    if (DX) sums.store(dx + (i - from) * T);
  }
}

template <int T, class Id>
void gather(const Junction& w, int64_t b, int64_t from, int64_t to, const float* x, const float* dy, float* dx,
            float* dw, bool first) {
  if (dx && dw) return gather_rows<T, Id, true, true>(w, b, from, to, x, dy, dx, dw, first);
  if (dx) return gather_rows<T, Id, true, false>(w, b, from, to, x, dy, dx, dw, first);
  return gather_rows<T, Id, false, true>(w, b, from, to, x, dy, dx, dw, first);
}

// The products of several rows first, then their sums: where a short row ends cannot be foreseen.
template <class Id>
void scatter_one(const Junction& w, int64_t b, int64_t from, int64_t to, const float* x, float* y) {
  using V = Wide<kLargest>;
  constexpr int64_t kStrip = 1024, kStep = 16, kLong = 96;
  const auto* ids = static_cast<const Id*>(w.ids);
  const float* values = w.values;
  const int64_t* rows = w.rows + b * w.n_in;
  float products[kStrip + kStep];
  for (int64_t i = from; i < to;) {
    const int64_t first = rows[i], last = first + kStrip < w.capacity - kStep ? first + kStrip : w.capacity - kStep;
    int64_t next = i;
    for (; next < to && rows[next + 1] <= last && rows[next + 1] - rows[next] < kLong; next++) {
      const V input = V::all(x[next]);
      for (int64_t k = rows[next]; k < rows[next + 1]; k += kStep) {  // and beyond the end of the row
        for (int64_t j = k; j < k + kStep; j += V::width) {
          V::mul(V::load(values + j), input).store(products + j - first);
        }
      }
    }
    if (next > i) {
      for (int64_t k = first; k < rows[next]; k++) y[static_cast<int64_t>(ids[k])] += products[k - first];
    } else {  // a long row, or the last ones
      const float input = x[i];
      for (int64_t k = first; k < rows[i + 1]; k++) y[static_cast<int64_t>(ids[k])] += values[k] * input;
      next++;
    }
    i = next;
  }
}

template <class Id, bool DX, bool DW>
void gather_one_rows(const Junction& w, int64_t b, int64_t from, int64_t to, const float* x, const float* dy, float* dx,
                     float* dw) {
  using V = Wide<kLargest>;
  const auto* ids = static_cast<const Id*>(w.ids);
  const float* values = w.values;
  const int64_t* rows = w.rows + b * w.n_in;
  for (int64_t i = from; i < to; i++) {
    const float input = DW ? x[i] : 0.0f;
    int64_t k = rows[i];
    const int64_t end = rows[i + 1];
    V sums{};
    for (; k + V::width <= end; k += V::width) {
      const V right = V::at(dy, ids + k);
      if (DX) sums = V::fma(V::load(values + k), right, sums);
      if (DW) V::mul(V::all(input), right).store(dw + k);
    }
    float sum = sums.sum();
    for (; k < end; k++) {
      const float right = dy[static_cast<int64_t>(ids[k])];
      if (DX) sum += values[k] * right;
      if (DW) dw[k] = input * right;
    }
    if (DX) dx[i - from] += sum;
  }
}

template <class Id>
void gather_one(const Junction& w, int64_t b, int64_t from, int64_t to, const float* x, const float* dy, float* dx,
                float* dw) {
  if (dx && dw) return gather_one_rows<Id, true, true>(w, b, from, to, x, dy, dx, dw);
  if (dx) return gather_one_rows<Id, true, false>(w, b, from, to, x, dy, dx, dw);
  return gather_one_rows<Id, false, true>(w, b, from, to, x, dy, dx, dw);
}

template <class Id>
int64_t largest_id(const void* data, int64_t from, int64_t to) {
  const auto* ids = static_cast<const Id*>(data);
  Id largest = 0;
  for (int64_t k = from; k < to; k++) largest = ids[k] > largest ? ids[k] : largest;
  return from < to ? static_cast<int64_t>(largest) : -1;
}

#define KERAS_SPARSE_TILES(entry) {entry(128), entry(64), entry(32), entry(16), entry(8)}
#define KERAS_SPARSE_PACK(T) {pack<T, Float32>, pack<T, BFloat16>, pack<T, Float16>}
#define KERAS_SPARSE_UNPACK(T) {unpack<T, Float32>, unpack<T, BFloat16>, unpack<T, Float16>}
#define KERAS_SPARSE_BEGIN(T) begin<T>
#define KERAS_SPARSE_LANE_SUMS(T) lane_sums<T>
#define KERAS_SPARSE_SCATTER(T) {scatter<T, uint16_t>, scatter<T, uint32_t>}
#define KERAS_SPARSE_SCATTER_ALL(T) {scatter_all<T, uint16_t>, scatter_all<T, uint32_t>}
#define KERAS_SPARSE_GATHER(T) {gather<T, uint16_t>, gather<T, uint32_t>}

#define KERAS_SPARSE_KERNELS(name, widest_scatter, widest_gather)                                  \
  {                                                                                                \
    name, widest_scatter, widest_gather, KERAS_SPARSE_TILES(KERAS_SPARSE_PACK),                    \
        KERAS_SPARSE_TILES(KERAS_SPARSE_UNPACK), KERAS_SPARSE_TILES(KERAS_SPARSE_BEGIN), rectify,  \
        KERAS_SPARSE_TILES(KERAS_SPARSE_LANE_SUMS), KERAS_SPARSE_TILES(KERAS_SPARSE_SCATTER),      \
        KERAS_SPARSE_TILES(KERAS_SPARSE_SCATTER_ALL), KERAS_SPARSE_TILES(KERAS_SPARSE_GATHER),     \
        {scatter_one<uint16_t>, scatter_one<uint32_t>}, {gather_one<uint16_t>, gather_one<uint32_t>}, \
        {largest_id<uint16_t>, largest_id<uint32_t>}, KERAS_SPARSE_CONVOLUTION,                    \
        KERAS_SPARSE_RECURRENT, KERAS_SPARSE_CONTRAST                                              \
  }

}  // namespace
