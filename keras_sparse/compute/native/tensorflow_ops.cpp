// The TensorFlow ops, registered when the library is loaded.
//
//   KerasSparseMatMul(x, values, ids, rows) -> y                        x W, or x Wᵀ with `transpose`
//   KerasSparseGradients(x, dy, values, ids, rows) -> dx, dvalues       the backward of x W
//   KerasSparseOuter(x, dy, ids, rows) -> dvalues                       the same without dx
//   KerasSparseToDense(values, ids, rows) -> matrix                     [n_in, n_out]
//   KerasSparseFromDense(matrix, ids, rows) -> values                   its entries at the connections
//
// x and dy are [batch, n_in] and [batch, n_out]; values and dvalues [capacity]; ids the packed local output ids in int64
// words; rows the row pointers of every block of outputs. Values and their gradient are float32 whatever the
// activations are.
#include "op_run.h"
#include "op_shapes.h"
#include "thread_pool.h"

namespace keras_sparse {
namespace {

const Kernels* chosen_kernels = nullptr;

void compute_multiply(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  if (!read_junction(run, a, 1, true, &w)) return;
  const Activations x = read_activations(run, a, 0, "x", a.transpose ? a.n_out : a.n_in);
  if (!run.ok()) return;
  const int64_t dims[] = {x.batch, a.transpose ? a.n_in : a.n_out};
  const Activations y{run.output(0, a.type, dims, 2), x.batch, x.element};
  if (!run.ok()) return;
  report(run, a.transpose ? gradients(*chosen_kernels, w, {}, x, y, nullptr) : multiply(*chosen_kernels, w, x, y), w);
}

template <bool with_dx>
void compute_gradients(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  if (!read_junction(run, a, 2, with_dx, &w)) return;
  const Activations x = read_activations(run, a, 0, "x", a.n_in);
  const Activations dy = read_activations(run, a, 1, "dy", a.n_out);
  run.require(x.batch == dy.batch, text("x has a batch of %lld and dy of %lld", x.batch, dy.batch));
  if (!run.ok()) return;
  const int64_t dims[] = {x.batch, a.n_in};
  void* dx = with_dx ? run.output(0, a.type, dims, 2) : nullptr;
  auto* dw = static_cast<float*>(run.output(with_dx, TF_FLOAT, &w.capacity, 1));
  if (!run.ok()) return;
  report(run, gradients(*chosen_kernels, w, x, dy, {dx, x.batch, x.element}, dw), w);
}

void compute_to_dense(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  if (!read_junction(run, a, 0, true, &w)) return;
  const int64_t dims[] = {a.n_in, a.n_out};
  void* matrix = run.output(0, a.type, dims, 2);
  if (run.ok()) report(run, to_dense(*chosen_kernels, w, a.element(), matrix), w);
}

void compute_from_dense(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Run run(context);
  Junction w;
  if (!read_junction(run, a, 1, false, &w)) return;
  const Activations matrix = read_activations(run, a, 0, "matrix", a.n_out);
  run.require(matrix.batch == a.n_in, text("matrix must have %lld rows, but has %lld", a.n_in, matrix.batch));
  auto* values = run.ok() ? static_cast<float*>(run.output(0, TF_FLOAT, &a.capacity, 1)) : nullptr;
  if (run.ok()) report(run, from_dense(*chosen_kernels, w, a.element(), matrix.data, values), w);
}

struct Op {
  const char* name;
  const char *inputs[3], *outputs[2];  // null where there is none; ids and rows follow
  void (*shape)(TF_ShapeInferenceContext*, TF_Status*);
  void (*compute)(void*, TF_OpKernelContext*);
};

const Op kOps[] = {
    {"KerasSparseMatMul", {"x: T", "values: float"}, {"y: T"}, shape_multiply, compute_multiply},
    {"KerasSparseGradients", {"x: T", "dy: T", "values: float"}, {"dx: T", "dvalues: float"}, shape_gradients,
     compute_gradients<true>},
    {"KerasSparseOuter", {"x: T", "dy: T"}, {"dvalues: float"}, shape_outer, compute_gradients<false>},
    {"KerasSparseToDense", {"values: float"}, {"matrix: T"}, shape_to_dense, compute_to_dense},
    {"KerasSparseFromDense", {"matrix: T"}, {"values: float"}, shape_from_dense, compute_from_dense},
};

bool register_op(const Op& op) {
  TF_OpDefinitionBuilder* builder = tf.TF_NewOpDefinitionBuilder(op.name);
  for (const char* attribute : {"T: {float, bfloat16, half}", "n_in: int", "n_out: int", "capacity: int", "block: int",
                                "id_bits: int", "transpose: bool = false"}) {
    tf.TF_OpDefinitionBuilderAddAttr(builder, attribute);
  }
  for (const char* input : op.inputs) {
    if (input) tf.TF_OpDefinitionBuilderAddInput(builder, input);
  }
  tf.TF_OpDefinitionBuilderAddInput(builder, "ids: int64");
  tf.TF_OpDefinitionBuilderAddInput(builder, "rows: int64");
  for (const char* output : op.outputs) {
    if (output) tf.TF_OpDefinitionBuilderAddOutput(builder, output);
  }
  tf.TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, op.shape);
  StatusHolder s;
  tf.TF_RegisterOpDefinition(builder, s.status);
  for (const TF_DataType type : {TF_FLOAT, TF_BFLOAT16, TF_HALF}) {
    if (!s.ok()) return false;
    TF_KernelBuilder* kernel = tf.TF_NewKernelBuilder(op.name, "CPU", create, op.compute, destroy);
    tf.TF_KernelBuilder_TypeConstraint(kernel, "T", type, s.status);
    if (s.ok()) tf.TF_RegisterKernelBuilder(op.name, kernel, s.status);
  }
  return s.ok();
}

const char* problem = "";

struct Registration {
  Registration() {
    chosen_kernels = find_kernels(nullptr);
    const char* missing = nullptr;
    if (!tf.find(&missing)) {
      problem = missing;
      return;
    }
    for (const Op& op : kOps) {
      if (!register_op(op)) problem = op.name;
    }
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
