// Products of dense activations with a sparse junction, multi-threaded.
//
// All activations are row-major, [batch, features], of one element type; sums are taken in float32. Every result is
// computed by one thread in a fixed order, so it does not depend on how work falls to threads.
#pragma once

#include <cstdint>

#include "junction.h"
#include "kernels.h"

namespace keras_sparse {

enum class Status { ok, bad_index, no_memory };

struct Activations {
  void* data = nullptr;
  int64_t batch = 0;
  Element element = Element::float32;
};

// What becomes of a sum: bias[o] is added, unless it is null, and negative results become zero.
struct Finish {
  const float* bias = nullptr;
  bool relu = false;
};

// y = x W, finished: x [batch, n_in], y [batch, n_out].
Status multiply(const Kernels&, const Junction&, const Activations& x, const Activations& y, const Finish& finish = {});

// The backward of `multiply`. What has no data, or is null, is not computed.
struct Backward {
  Activations x;          // [batch, n_in]; read for dw only
  Activations dy;         // [batch, n_out]
  Activations dx;         // dy Wᵀ, [batch, n_in]; needs the junction's values
  float* dw = nullptr;    // Σ_b x[b, input] · dy[b, output] at the connections, [capacity] with a tail of zeros
  void* gate = nullptr;   // [batch, n_out] of dy's type: dy counts as zero where this is not positive (y, after ReLU)
  float* dbias = nullptr;  // Σ_b dy[b, output], [n_out]
};
Status gradients(const Kernels&, const Junction&, const Backward&);

// Sparse activations: numbers at pairs (sample, input), no pair twice.
struct Entries {
  const int64_t* at = nullptr;
  const float* numbers = nullptr;
  int64_t count = 0;
};
bool in_range(const Entries& x, int64_t batch, int64_t n_in);

// y = x W, [batch, n_out], and the backward: dnumbers [count] and dw [capacity], of entries that are in range.
Status multiply(const Junction&, const Entries& x, int64_t batch, float* y);
Status gradients(const Junction&, const Entries& x, const float* dy, float* dnumbers, float* dw);

// The matrix [n_in, n_out], and the entries of a matrix at the connections, [capacity] with a tail of zeros.
Status to_dense(const Kernels&, const Junction&, Element, void* matrix);
Status from_dense(const Kernels&, const Junction&, Element, const void* matrix, float* values);

}  // namespace keras_sparse
