// Convolutions of images with a sparse junction, multi-threaded: no patches are laid out.
//
// Images are [batch, height, width, channels], float32. The junction's input (ky · width + kx) · channels / groups + c is
// channel c of the filter's group at row ky and column kx of the window. Every result is computed by one thread in a fixed
// order, or added up in a fixed order, so it does not depend on how work falls to threads.
#pragma once

#include "product.h"

namespace keras_sparse {

enum class Padding { valid, same, causal };

// A convolution along one axis.
struct Window {
  int64_t size = 1, stride = 1, gap = 1;  // gap: distance between taps
  Padding padding = Padding::valid;

  int64_t reach() const { return (size - 1) * gap + 1; }
  int64_t output(int64_t length) const {
    if (padding != Padding::valid) return (length + stride - 1) / stride;
    return length < reach() ? 0 : (length - reach()) / stride + 1;
  }
  // Zeros before an input of `length`.
  int64_t before(int64_t length) const {
    if (padding == Padding::valid) return 0;
    if (padding == Padding::causal) return reach() - 1;
    const int64_t missing = (output(length) - 1) * stride + reach() - length;
    return missing > 0 ? missing / 2 : 0;
  }
  // Strides are taken out by sorting rows (and columns) by their place modulo the stride, their phase: tap `tap` looks
  // at phase(tap), `shift(tap)` places further on than the output's.
  int64_t phase(int64_t tap) const { return tap * gap % stride; }
  int64_t shift(int64_t tap) const { return tap * gap / stride; }
  int64_t most_shift() const { return shift(size - 1); }
  bool sees(int64_t which) const {
    for (int64_t tap = 0; tap < size; tap++) {
      if (phase(tap) == which) return true;
    }
    return false;
  }
};

struct Convolution {
  Junction w;
  int64_t channels = 1, groups = 1;
  Window down, across;

  int64_t group_channels() const { return channels / groups; }
  int64_t filters() const { return w.n_out; }
  int64_t phases() const { return down.stride * across.stride; }
};

struct Images {
  float* data = nullptr;
  int64_t batch = 0, height = 0, width = 0, channels = 0;

  int64_t size() const { return height * width * channels; }  // of one image
  float* at(int64_t image, int64_t y, int64_t x) const { return data + image * size() + (y * width + x) * channels; }
};

// y = x ∗ W, finished.
Status convolve(const Kernels&, const Convolution&, const Images& x, const Images& y, const Finish& finish = {});

// The backward of `convolve`. What has no data, or is null, is not computed.
struct ConvolutionBackward {
  Images x;                // read for dw only
  Images dy;
  Images dx;               // needs the junction's values
  float* dw = nullptr;     // at the connections, [capacity] with a tail of zeros
  float* gate = nullptr;   // of dy's shape: dy counts as zero where this is not positive (y, after ReLU)
  float* dbias = nullptr;  // Σ dy, [filters]
};
Status gradients(const Kernels&, const Convolution&, const ConvolutionBackward&);

}  // namespace keras_sparse
