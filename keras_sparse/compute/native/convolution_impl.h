// The inner loops of `convolution_kernels.h` over the vector types of one instruction set; see `kernels_impl.h`.
//
// Before including: what `kernels_impl.h` needs, and kForward, kBackward: vectors of sums that fit the registers.
#pragma once

#include "convolution_kernels.h"

namespace {

using keras_sparse::Pixels;
using keras_sparse::Tap;

using Lanes = Wide<kLargest>;
constexpr int kLanes = Lanes::width;
constexpr int kAhead = 2;  // pixels that are asked for before they are needed

void conv_pack(const Pixels& from, const float* gate, int64_t channels, float* planes, int64_t plane) {
  constexpr int W = Square::width;
  const int64_t vectors = channels - channels % W;
  float square[W * W];
  for (int64_t j = 0; j < from.count; j++) {
    const float* pixel = from.data + j * from.pixel;
    const float* open = gate ? gate + j * from.pixel : nullptr;
    float* place = planes + j * kLanes;
    for (int s = 0; s < kLanes; s += W) {
      const bool whole = s + W <= from.samples;
      for (int64_t c = 0; whole && c < vectors; c += W) {
        const float* source = pixel + s * from.image + c;
        for (int i = 0; i < W; i++) __builtin_prefetch(source + i * from.image + kAhead * from.pixel);
        if (!gate) {
          Square::transpose(source, from.image, place + c * plane + s, plane);
          continue;
        }
        for (int i = 0; i < W; i++) {
          const auto gates = Square::load(open + (s + i) * from.image + c);
          Square::where_positive(gates, Square::load(source + i * from.image)).store(square + i * W);
        }
        Square::transpose(square, W, place + c * plane + s, plane);
      }
      for (int64_t c = whole ? vectors : 0; c < channels; c++) {
        for (int i = s; i < s + W; i++) {
          const int64_t at = i * from.image + c;
          place[c * plane + i] = i < from.samples && (!gate || open[at] > 0.0f) ? pixel[at] : 0.0f;
        }
      }
    }
  }
}

void conv_unpack(const float* planes, int64_t plane, int64_t channels, const Pixels& to) {
  constexpr int W = Square::width;
  const int64_t vectors = channels - channels % W;
  for (int64_t j = 0; j < to.count; j++) {
    float* pixel = to.data + j * to.pixel;
    const float* place = planes + j * kLanes;
    for (int s = 0; s < kLanes && s < to.samples; s += W) {
      const bool whole = s + W <= to.samples;
      for (int64_t c = 0; whole && c < vectors; c += W) {
        for (int i = 0; i < W; i++) __builtin_prefetch(pixel + (s + i) * to.image + c + kAhead * to.pixel, 1);
        Square::transpose(place + c * plane + s, plane, pixel + s * to.image + c, to.image);
      }
      for (int64_t c = whole ? vectors : 0; c < channels; c++) {
        for (int i = s; i < s + W && i < to.samples; i++) pixel[i * to.image + c] = place[c * plane + i];
      }
    }
  }
}

void conv_total(const float* planes, int64_t plane, int64_t channels, int64_t rows, int64_t row, int64_t columns,
                float* sums) {
  for (int64_t c = 0; c < channels; c++) {
    Lanes sum{};
    for (int64_t r = 0; r < rows; r++) {
      const float* p = planes + c * plane + r * row;
      for (int64_t j = 0; j < columns; j++) sum = Lanes::add(sum, Lanes::load(p + j * kLanes));
    }
    sums[c] = sum.sum();
  }
}

// Where the rows of a chunk begin. The compiler would keep one register and an offset for every vector.
template <int R>
struct Corner {
  const float* rows[R];

  Corner(const float* window, const Tap& tap, int64_t row) {
    for (int r = 0; r < R; r++) {
      rows[r] = window + tap.offset + r * row;
      asm("" : "+r"(rows[r]));
    }
  }
};

template <int R, int N>
void conv_forward(const Tap* taps, const int64_t* starts, int64_t filters, const float* window, int64_t row,
                  const float* bias, bool first, bool relu, float* sums) {
  constexpr int M = R * N;
  for (int64_t f = 0; f < filters; f++, sums += M * kLanes) {
    Lanes own[M];
    const Lanes begin = bias ? Lanes::all(bias[f]) : Lanes{};
    for (int m = 0; m < M; m++) own[m] = first ? begin : Lanes::load(sums + m * kLanes);
    const int64_t end = starts[f + 1];
    for (int64_t k = starts[f]; k < end; k++) {
      const Lanes value = Lanes::all(taps[k].value);
      const Corner<R> corner(window, taps[k], row);
      for (int m = 0; m < M; m++) {
        own[m] = Lanes::fma(value, Lanes::load(corner.rows[m / N] + m % N * kLanes), own[m]);
      }
    }
    for (int m = 0; m < M; m++) (relu ? Lanes::relu(own[m]) : own[m]).store(sums + m * kLanes);
  }
}

// One connection's share: dx += value · dy, and the lanes of x · dy.
template <int R, int N, bool DX, bool DW>
inline Lanes conv_connect(const Tap& tap, const float* window, int64_t row, const Lanes* x, Lanes* dx) {
  const Lanes value = Lanes::all(tap.value);
  const Corner<R> corner(window, tap, row);
  constexpr int kChains = R * N > 4 ? 2 : 1;  // one long chain of additions would be waited for
  Lanes dots[2]{};
  for (int m = 0; m < R * N; m++) {
    const float* place = corner.rows[m / N] + m % N * kLanes;
    const Lanes d = DX && DW ? Lanes::load_once(place) : Lanes::load(place);
    if (DX) dx[m] = Lanes::fma(value, d, dx[m]);
    Lanes& dot = dots[m % kChains];
    if (DW) dot = m < kChains ? Lanes::mul(d, x[m]) : Lanes::fma(d, x[m], dot);
  }
  return kChains == 2 ? Lanes::add(dots[0], dots[1]) : dots[0];
}

template <int R, int N, bool DX, bool DW>
void conv_backward(const Tap* taps, const int64_t* starts, int64_t channels, const float* window, int64_t row,
                   const float* x, bool first, float* dx, float* dw) {
  constexpr int M = R * N;
  for (int64_t c = 0; c < channels; c++) {
    int64_t k = starts[c];
    const int64_t end = starts[c + 1], place = c * M * kLanes;
    if (k == end && !first) continue;
    Lanes left[M], sums[M];
    for (int m = 0; m < M; m++) {
      if (DW) left[m] = Lanes::load(x + place + m * kLanes);
      if (DX) sums[m] = first ? Lanes{} : Lanes::load(dx + place + m * kLanes);
    }
    for (; k + 4 <= end; k += 4) {
      Lanes dots[4];
      for (int i = 0; i < 4; i++) dots[i] = conv_connect<R, N, DX, DW>(taps[k + i], window, row, left, sums);
      if (DW) Lanes::sum4(dots, dw + k, false);
    }
    if (k < end) {
      Lanes dots[4] = {};
      for (int i = 0; k + i < end; i++) dots[i] = conv_connect<R, N, DX, DW>(taps[k + i], window, row, left, sums);
      float rest[4];
      if (DW) Lanes::sum4(dots, rest, true);
      for (int i = 0; DW && k + i < end; i++) dw[k + i] += rest[i];
    }
    for (int m = 0; DX && m < M; m++) sums[m].store(dx + place + m * kLanes);
  }
}

template <int R, int N>
constexpr auto forward_of() -> keras_sparse::ConvolutionKernels::Forward {
  if constexpr (R * N <= kForward) return conv_forward<R, N>;
  return nullptr;
}

template <int R, int N, bool DX, bool DW>
constexpr auto backward_of() -> keras_sparse::ConvolutionKernels::Backward {
  if constexpr (R * N <= kBackward) return conv_backward<R, N, DX, DW>;
  return nullptr;
}

#define KERAS_SPARSE_COLUMNS(entry, ...)                                                                              \
  {                                                                                                                   \
    entry(1, __VA_ARGS__), entry(2, __VA_ARGS__), entry(3, __VA_ARGS__), entry(4, __VA_ARGS__), entry(5, __VA_ARGS__), \
        entry(6, __VA_ARGS__), entry(7, __VA_ARGS__), entry(8, __VA_ARGS__), entry(9, __VA_ARGS__),                   \
        entry(10, __VA_ARGS__), entry(11, __VA_ARGS__), entry(12, __VA_ARGS__), entry(13, __VA_ARGS__),               \
        entry(14, __VA_ARGS__), entry(15, __VA_ARGS__), entry(16, __VA_ARGS__)                                        \
  }
#define KERAS_SPARSE_FORWARD(N, R) forward_of<R, N>()
#define KERAS_SPARSE_BACKWARD(N, R, DX, DW) backward_of<R, N, DX, DW>()
#define KERAS_SPARSE_BACKWARDS(DX, DW) \
  {KERAS_SPARSE_COLUMNS(KERAS_SPARSE_BACKWARD, 1, DX, DW), KERAS_SPARSE_COLUMNS(KERAS_SPARSE_BACKWARD, 2, DX, DW)}

#define KERAS_SPARSE_CONVOLUTION                                                                          \
  {                                                                                                       \
    kLanes, kForward, kBackward, conv_pack, conv_unpack, conv_total,                                      \
        {KERAS_SPARSE_COLUMNS(KERAS_SPARSE_FORWARD, 1), KERAS_SPARSE_COLUMNS(KERAS_SPARSE_FORWARD, 2)},   \
        {KERAS_SPARSE_BACKWARDS(true, true), KERAS_SPARSE_BACKWARDS(true, false), KERAS_SPARSE_BACKWARDS(false, true)} \
  }

}  // namespace
