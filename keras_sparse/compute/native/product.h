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
  void* data;
  int64_t batch;
  Element element;
};

// y = x W: x [batch, n_in], y [batch, n_out].
Status multiply(const Kernels&, const Junction&, const Activations& x, const Activations& y);

// dx = dy Wᵀ, [batch, n_in], unless dx.data is null; and dw[k] = Σ_b x[b, input] · dy[b, output], [capacity] with a
// tail of zeros, unless dw is null (x is not read then). `values` of the junction may be null if there is no dx.
Status gradients(const Kernels&, const Junction&, const Activations& x, const Activations& dy, const Activations& dx,
                 float* dw);

// The matrix [n_in, n_out], and the entries of a matrix at the connections, [capacity] with a tail of zeros.
Status to_dense(const Kernels&, const Junction&, Element, void* matrix);
Status from_dense(const Kernels&, const Junction&, Element, const void* matrix, float* values);

}  // namespace keras_sparse
