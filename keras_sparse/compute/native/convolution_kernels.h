// The inner loops of convolutions, compiled once per instruction set.
//
// Images are packed into planes: a plane holds one channel, and at each of its places a vector with that pixel of `lanes`
// images. A connection is then one multiply-add of a number with the vectors at some distance from the output's place, and
// that distance is the same wherever the window lies.
#pragma once

#include <cstdint>

namespace keras_sparse {

constexpr int kMostRows = 2;      // of a chunk of output places
constexpr int kMostColumns = 16;

// A connection: where its plane's vectors lie from the window's corner, in floats.
struct Tap {
  int32_t offset;
  float value;
};

// Pixels of up to `lanes` images: `count` of them, `pixel` floats apart, in images `image` floats apart.
struct Pixels {
  float* data;
  int64_t image, samples, pixel, count;
};

struct ConvolutionKernels {
  int lanes;               // images in a vector
  int forward, backward;   // vectors of sums that fit the registers

  // planes[c · plane + j · lanes + s] = pixel j of image s, channel c; zero beyond the samples and, if there is a gate
  // (laid out as `from`), where that is not positive.
  void (*pack)(const Pixels& from, const float* gate, int64_t channels, float* planes, int64_t plane);
  // The reverse.
  void (*unpack)(const float* planes, int64_t plane, int64_t channels, const Pixels& to);
  // sums[c] = Σ planes[c · plane + …] over `rows` rows of `columns` vectors, `row` floats apart.
  void (*total)(const float* planes, int64_t plane, int64_t channels, int64_t rows, int64_t row, int64_t columns,
                float* sums);

  // For a chunk of R x N places, [R - 1][N - 1]: sums[filter][R · N] (+)= Σ value · vectors at `window` + offset, rows
  // `row` floats apart. The first time sums begin as the bias (zero if null); with `relu` negative ones become zero.
  typedef void (*Forward)(const Tap* taps, const int64_t* starts, int64_t filters, const float* window, int64_t row,
                          const float* bias, bool first, bool relu, float* sums);
  Forward forwards[kMostRows][kMostColumns];

  // For a chunk of R x N places of the input: dx[channel][R · N] (+)= Σ value · vectors at `window` + offset, and
  // dw[tap] += Σ x[channel] · these vectors. [2]: dx is not computed, [1]: dw is not.
  typedef void (*Backward)(const Tap* taps, const int64_t* starts, int64_t channels, const float* window, int64_t row,
                           const float* x, bool first, float* dx, float* dw);
  Backward backwards[3][kMostRows][kMostColumns];
};

}  // namespace keras_sparse
