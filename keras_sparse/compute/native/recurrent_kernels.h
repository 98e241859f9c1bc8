// The inner loops of recurrent layers between the products, compiled once per instruction set.
#pragma once

#include <cstdint>

namespace keras_sparse {

// A step for a tile: arrays are panels, [units][T], gates side by side. `live` [T] says for which samples the step
// counts: zero keeps the state, null counts for all. A frame is what the forward keeps of a step for the backward.
struct RecurrentKernels {
  // LSTM. gates [4 units]: sums come in; σ(i), σ(f), tanh(g), σ(o) come out. c and h are the new states.
  void (*lstm)(int64_t units, int64_t tile, const float* live, const float* c_before, const float* h_before,
               float* gates, float* c, float* h);
  // dh comes in as the gradient of h and goes out as what passes by the gates; dc likewise. sums [4 units].
  void (*lstm_gradients)(int64_t units, int64_t tile, const float* live, const float* c_before, const float* gates,
                         const float* c, float* dh, float* dc, float* sums);

  // GRU. gates [4 units]: the sums of the inputs come in in the first three; σ(z), σ(r), tanh(g) and the state's sum for
  // g come out. state [3 units]: the sums of the state.
  void (*gru)(int64_t units, int64_t tile, const float* live, const float* h_before, const float* state, float* gates,
              float* h);
  // sums and state [3 units]: gradients of the sums of the inputs and of the state.
  void (*gru_gradients)(int64_t units, int64_t tile, const float* live, const float* h_before, const float* gates,
                        float* dh, float* sums, float* state);

  // No gates: h holds the sums and becomes their tanh.
  void (*simple)(int64_t units, int64_t tile, const float* live, const float* h_before, float* h);
  void (*simple_gradients)(int64_t units, int64_t tile, const float* live, const float* h, float* dh, float* sums);
};

}  // namespace keras_sparse
