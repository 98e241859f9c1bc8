// The TensorFlow ops, registered when the library is loaded.
//
//   KerasSparseMatMul(x, values, bias, ids, rows) -> y     x W + bias, or x Wᵀ with `transpose`; `relu`: max(0, …)
//   KerasSparseGradients(x, y, dy, values, ids, rows) -> dx, dvalues, dbias
//                                                          the backward of x W + bias; with `relu`, y tells where
//   KerasSparseOuter(x, y, dy, ids, rows) -> dvalues, dbias            the same without dx
//   KerasSparseEntriesMatMul(entries, numbers, batch, values, ids, rows) -> y      x W of numbers at (sample, input)
//   KerasSparseEntriesGradients(entries, numbers, dy, values, ids, rows) -> dnumbers, dvalues
//   KerasSparseToDense(values, ids, rows) -> matrix                     [n_in, n_out]
//   KerasSparseFromDense(matrix, ids, rows) -> values                   its entries at the connections
//
// x and dy are [batch, n_in] and [batch, n_out]; values and dvalues [capacity]; ids the packed local output ids in int64
// words; rows the row pointers of every block of outputs. Values and their gradient are float32 whatever the
// activations are. Convolutions: see convolution_ops.h; recurrent layers:
// recurrent_ops.h; contrastive divergence: contrast_ops.h.
#include "contrast_ops.h"
#include "convolution_ops.h"
#include "op_register.h"
#include "op_shapes.h"
#include "recurrent_ops.h"
#include "thread_pool.h"

namespace keras_sparse {

extern const Kernels* chosen_kernels;
const Kernels* chosen_kernels = nullptr;

namespace {

void compute_multiply(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  TF_Tensor* values = run.input(1, 1, "values");
  if (!values || !read_junction(run, a, 3, values, &w)) return;
  const Finish finish{read_bias(run, a, 2), a.relu};
  const Activations x = read_activations(run, a, 0, "x", a.transpose ? a.n_out : a.n_in);
  run.require(!a.transpose || !a.relu, "a transposed product takes no ReLU");
  if (!run.ok()) return;
  const int64_t dims[] = {x.batch, a.transpose ? a.n_in : a.n_out};
  const Activations y{run.output(0, a.type, dims, 2), x.batch, x.element};
  if (!run.ok()) return;
  report(run,
         a.transpose ? gradients(*chosen_kernels, w, {{}, x, y, nullptr, nullptr, nullptr})
                     : multiply(*chosen_kernels, w, x, y, finish),
         w);
}

template <bool with_dx>
void compute_gradients(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  TF_Tensor* values = with_dx ? run.input(3, 1, "values") : nullptr;
  if (!run.ok() || !read_junction(run, a, 3 + with_dx, values, &w)) return;
  Backward g;
  g.x = read_activations(run, a, 0, "x", a.n_in);
  g.dy = read_activations(run, a, 2, "dy", a.n_out);
  run.require(g.x.batch == g.dy.batch, text("x has a batch of %lld and dy of %lld", g.x.batch, g.dy.batch));
  if (a.relu) {
    const Activations y = read_activations(run, a, 1, "y", a.n_out);
    run.require(y.batch == g.dy.batch, text("y has a batch of %lld and dy of %lld", y.batch, g.dy.batch));
    g.gate = y.data;
  }
  if (!run.ok()) return;
  const int64_t dims[] = {g.x.batch, a.n_in}, outputs = a.with_bias ? a.n_out : 0;
  if (with_dx) g.dx = {run.output(0, a.type, dims, 2), g.x.batch, g.x.element};
  g.dw = static_cast<float*>(run.output(with_dx, TF_FLOAT, &w.capacity, 1));
  auto* dbias = static_cast<float*>(run.output(with_dx + 1, TF_FLOAT, &outputs, 1));
  if (a.with_bias) g.dbias = dbias;
  if (run.ok()) report(run, gradients(*chosen_kernels, w, g), w);
}

void compute_multiply_entries(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  TF_Tensor* values = run.input(3, 1, "values");
  if (!values || !read_junction(run, a, 4, values, &w)) return;
  TF_Tensor* size = run.input(2, 1, "batch");
  run.require(!size || tf.TF_Dim(size, 0) == 1, "batch must be one number");
  if (!run.ok()) return;
  const int64_t batch = *static_cast<const int64_t*>(tf.TF_TensorData(size));
  run.require(batch >= 0 && batch <= INT32_MAX, text("batch must lie in [0, 2^31), but is %lld", batch));
  const Entries x = read_entries(run, a, batch);
  const int64_t dims[] = {batch, a.n_out};
  auto* y = run.ok() ? static_cast<float*>(run.output(0, TF_FLOAT, dims, 2)) : nullptr;
  if (run.ok()) report(run, multiply(w, x, batch, y), w);
}

void compute_entries_gradients(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  TF_Tensor* values = run.input(3, 1, "values");
  if (!values || !read_junction(run, a, 4, values, &w)) return;
  const Activations dy = read_activations(run, a, 2, "dy", a.n_out);
  const Entries x = read_entries(run, a, dy.batch);
  if (!run.ok()) return;
  auto* dnumbers = static_cast<float*>(run.output(0, TF_FLOAT, &x.count, 1));
  auto* dw = static_cast<float*>(run.output(1, TF_FLOAT, &w.capacity, 1));
  if (run.ok()) report(run, gradients(w, x, static_cast<const float*>(dy.data), dnumbers, dw), w);
}

void compute_to_dense(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  TF_Tensor* values = run.input(0, 1, "values");
  if (!values || !read_junction(run, a, 1, values, &w)) return;
  const int64_t dims[] = {a.n_in, a.n_out};
  void* matrix = run.output(0, a.type, dims, 2);
  if (run.ok()) report(run, to_dense(*chosen_kernels, w, a.element(), matrix), w);
}

void compute_from_dense(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  if (!read_junction(run, a, 1, nullptr, &w)) return;
  const Activations matrix = read_activations(run, a, 0, "matrix", a.n_out);
  run.require(matrix.batch == a.n_in, text("matrix must have %lld rows, but has %lld", a.n_in, matrix.batch));
  auto* values = run.ok() ? static_cast<float*>(run.output(0, TF_FLOAT, &a.capacity, 1)) : nullptr;
  if (run.ok()) report(run, from_dense(*chosen_kernels, w, a.element(), matrix.data, values), w);
}

const Op kOps[] = {
    {"KerasSparseMatMul", {"x: T", "values: float", "bias: float"}, {"y: T"}, shape_multiply, compute_multiply},
    {"KerasSparseGradients", {"x: T", "y: T", "dy: T", "values: float"}, {"dx: T", "dvalues: float", "dbias: float"},
     shape_gradients<true>, compute_gradients<true>},
    {"KerasSparseOuter", {"x: T", "y: T", "dy: T"}, {"dvalues: float", "dbias: float"}, shape_gradients<false>,
     compute_gradients<false>},
    {"KerasSparseEntriesMatMul", {"entries: int64", "numbers: T", "batch: int64", "values: float"}, {"y: T"},
     shape_multiply_entries, compute_multiply_entries},
    {"KerasSparseEntriesGradients", {"entries: int64", "numbers: T", "dy: T", "values: float"},
     {"dnumbers: T", "dvalues: float"}, shape_entries_gradients, compute_entries_gradients},
    {"KerasSparseToDense", {"values: float"}, {"matrix: T"}, shape_to_dense, compute_to_dense},
    {"KerasSparseFromDense", {"matrix: T"}, {"values: float"}, shape_from_dense, compute_from_dense},
};

const char* problem = "";

struct Registration {
  Registration() {
    chosen_kernels = find_kernels(nullptr);
    const char* missing = nullptr;
    if (!tf.find(&missing)) {
      problem = missing;
      return;
    }
    constexpr const char* kNoMore[] = {nullptr};
    for (const Op& op : kOps) {
      if (!register_op(op, "T: {float, bfloat16, half}", {TF_FLOAT, TF_BFLOAT16, TF_HALF}, kNoMore, create, destroy)) {
        problem = op.name;
      }
    }
    if (const char* refused = register_convolutions()) problem = refused;
    if (const char* refused = register_recurrences()) problem = refused;
    if (const char* refused = register_contrast()) problem = refused;
  }
} registration;

}  // namespace
}  // namespace keras_sparse

#define KERAS_SPARSE_EXPORT extern "C" __attribute__((visibility("default")))

// What could not be found in TensorFlow or registered with it; empty if all is well.
KERAS_SPARSE_EXPORT const char* keras_sparse_problem() { return keras_sparse::problem; }

// The instruction set in use.
KERAS_SPARSE_EXPORT const char* keras_sparse_instruction_set() { return keras_sparse::chosen_kernels->name; }

// Name of the `place`-th set this processor has, best first; null past the end.
KERAS_SPARSE_EXPORT const char* keras_sparse_available(int place) { return keras_sparse::available_kernels(place); }

// Uses the named set from now on; 0 if this processor does not have it.
KERAS_SPARSE_EXPORT int keras_sparse_use(const char* name) {
  const keras_sparse::Kernels* kernels = keras_sparse::find_kernels(name);
  if (kernels) keras_sparse::chosen_kernels = kernels;
  return kernels != nullptr;
}

KERAS_SPARSE_EXPORT int keras_sparse_threads() { return keras_sparse::thread_count(); }
KERAS_SPARSE_EXPORT void keras_sparse_set_threads(int threads) { keras_sparse::set_thread_count(threads); }
