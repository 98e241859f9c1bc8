// The inner loops, compiled once per instruction set and chosen at run time.
//
// Activations come as panels, [feature][T]: T samples of a feature lie together, so that a connection is one
// multiply-add over T neighbours. A batch is cut into tiles of 128, 64, 32, 16 or 8 samples.
#pragma once

#include <cstdint>

#include "contrast_kernels.h"
#include "convolution_kernels.h"
#include "junction.h"
#include "recurrent_kernels.h"

namespace keras_sparse {

// Number of tile sizes, largest first; tile `size` holds 128 >> size samples.
constexpr int kTileSizes = 5;
constexpr int tile_samples(int size) { return 128 >> size; }

// Row-major activations, [batch, features], of one tile: `samples` rows starting at `data`.
struct Rows {
  void* data;
  int64_t stride;  // features per row
  int64_t samples;
};

struct Kernels {
  const char* name;
  int widest_scatter, widest_gather;  // the largest tile that fits the registers, and pays

  // panel[f - from][T] = x[s][f], zero beyond `samples` and, if there is a gate, where gate[s][f] is not positive.
  void (*pack[kTileSizes][3])(const Rows& x, const Rows* gate, int64_t from, int64_t to, float* panel);
  // y[s][from + f] = panel[f][T]
  void (*unpack[kTileSizes][3])(const float* panel, int64_t from, int64_t to, const Rows& y);

  // sums[o][T] = bias[o] for o < outputs; zero without a bias.
  void (*begin[kTileSizes])(const float* bias, int64_t outputs, float* sums);
  // Negative numbers become zero; NaN stays.
  void (*rectify)(float* numbers, int64_t count);
  // sums[f] = Σ_T panel[f][T]
  void (*lane_sums[kTileSizes])(const float* panel, int64_t features, float* sums);

  // sums[id][T] += value · x[input][T] over the connections of block b whose id is below `limit`, from `cursor` on:
  // cursor[input] is the place of the next connection of that input's row and is moved on.
  void (*scatter[kTileSizes][2])(const Junction&, int64_t b, int64_t limit, int64_t* cursor, const float* x,
                                 float* sums);
  // The same over whole rows, without a cursor.
  void (*scatter_all[kTileSizes][2])(const Junction&, int64_t b, const float* x, float* sums);
  // For the inputs [from, to) of block b: dx[input - from][T] += Σ value · dy[id][T] and
  // dw[connection] (+)= Σ_T x[input] · dy[id]. Either may be absent (null). `first` sets dw instead of adding.
  void (*gather[kTileSizes][2])(const Junction&, int64_t b, int64_t from, int64_t to, const float* x, const float* dy,
                                float* dx, float* dw, bool first);

  // One sample, features in order. y[id] += value · x[input] for inputs [from, to) of block b.
  void (*scatter_one[2])(const Junction&, int64_t b, int64_t from, int64_t to, const float* x, float* y);
  void (*gather_one[2])(const Junction&, int64_t b, int64_t from, int64_t to, const float* x, const float* dy,
                        float* dx, float* dw);
  // The largest of ids[from, to); -1 if there are none.
  int64_t (*largest_id[2])(const void* ids, int64_t from, int64_t to);

  ConvolutionKernels convolution;
  RecurrentKernels recurrent;
  ContrastKernels contrast;
};

// The best set this processor has, or the one called `name`; null if it is unknown or cannot run here.
const Kernels* find_kernels(const char* name);
// Name of the set at `place` in the list of those that can run here, best first; null past the end.
const char* available_kernels(int place);

}  // namespace keras_sparse
