// Recurrent layers: all time steps of a sequence in one call, so that states never leave the panels.
#pragma once

#include "product.h"

namespace keras_sparse {

// `lstm`: gates i, f, g, o. `gru`: z, r, g, the reset after the product (Keras' default). Gates are sigmoids, the rest tanh.
enum class Cell { lstm, gru, simple };

struct Recurrence {
  Cell cell = Cell::lstm;
  Junction kernel, recurrent;              // [n_in, gates · units] and [units, gates · units]
  const float* bias = nullptr;             // [gates · units] of the inputs' product, or null
  const float* recurrent_bias = nullptr;   // of the state's
  bool backwards = false;                  // through time

  int64_t units() const { return recurrent.n_in; }
  int64_t sums() const { return recurrent.n_out; }  // per sample and step
  bool remembers() const { return cell == Cell::lstm; }
  // Floats per sample that a step keeps for the backward: a frame, gates first, then c, then h.
  int64_t gates() const { return cell == Cell::simple ? 0 : 4 * units(); }
  int64_t frame() const { return gates() + (remembers() ? 2 : 1) * units(); }
};

struct Steps {
  Activations x;                        // [batch, time, n_in]
  int64_t time = 0;
  const unsigned char* live = nullptr;  // [batch, time]: zero where a step does not count and the state stays; or null
  void *h = nullptr, *c = nullptr;      // [batch, units], the states before; c for an LSTM
};

// Floats that `run` fills for `gradients`, for a batch and as many threads as there are now.
int64_t saved_floats(const Kernels&, const Recurrence&, int64_t batch, int64_t time);

// y: h after every step, in the order they were taken, [batch, time, units], or after the last one, [batch, 1, units].
// c: after the last one. `saved` may be null.
Status run(const Kernels&, const Recurrence&, const Steps&, bool every, void* y, void* c, float* saved);

struct RecurrentBackward {
  const float* saved = nullptr;         // as many floats as `saved_floats` says
  const void *dy = nullptr, *dc = nullptr;
  bool every = false;                   // whether dy is [batch, time, units]
  void* dx = nullptr;                   // null: not computed
  void *dh = nullptr, *dc_before = nullptr;
  float *dkernel = nullptr, *drecurrent = nullptr;  // at the connections, [capacity] with a tail of zeros
  float *dbias = nullptr, *drecurrent_bias = nullptr;  // or null
};
// `saved` of another number of threads is `Status::bad_index`.
Status gradients(const Kernels&, const Recurrence&, const Steps&, const RecurrentBackward&);

}  // namespace keras_sparse
