// The TensorFlow ops, registered when the library is loaded.
//
//   KerasSparseMatMul(x, values, ids, rows) -> y                        x W, or x Wᵀ with `transpose`
//   KerasSparseGradients(x, dy, values, ids, rows) -> dx, dvalues       the backward of x W
//   KerasSparseOuter(x, dy, ids, rows) -> dvalues                       the same without dx
//
// x and dy are [batch, n_in] and [batch, n_out]; values and dvalues [capacity]; ids the packed local output ids in int64 words;
// rows the row pointers of every block of outputs. Values and their gradient are float32 whatever the activations are.
#include <cstdio>
#include <new>
#include <string>

#include "product.h"
#include "tensorflow_c_api.h"
#include "thread_pool.h"

namespace keras_sparse {
namespace {

TensorFlow tf;
const Kernels* chosen_kernels = nullptr;

struct StatusHolder {
  TF_Status* status = tf.TF_NewStatus();
  ~StatusHolder() { tf.TF_DeleteStatus(status); }
  bool ok() const { return tf.TF_GetCode(status) == TF_OK; }
};

std::string text(const char* format, long long a = 0, long long b = 0, long long c = 0) {
  char buffer[320];
  std::snprintf(buffer, sizeof buffer, format, a, b, c);
  return buffer;
}

// One run of an op: its inputs and outputs, freed at the end, and the first thing that went wrong.
class Run {
 public:
  explicit Run(TF_OpKernelContext* context) : context_(context) {}
  ~Run() {
    for (int i = 0; i < held_; i++) tf.TF_DeleteTensor(tensors_[i]);
    if (failed_) {
      tf.TF_SetStatus(status_.status, code_, message_.c_str());
      tf.TF_OpKernelContext_Failure(context_, status_.status);
    }
  }

  bool ok() const { return !failed_; }
  void fail(TF_Code code, std::string message) {
    if (failed_) return;
    failed_ = true;
    code_ = code;
    message_ = std::move(message);
  }
  void require(bool condition, std::string message) {
    if (!condition) fail(TF_INVALID_ARGUMENT, std::move(message));
  }

  TF_Tensor* input(int place, int rank, const char* name) {
    TF_Tensor* tensor = nullptr;
    tf.TF_GetInput(context_, place, &tensor, status_.status);
    if (!keep(tensor)) return nullptr;
    require(tf.TF_NumDims(tensor) == rank,
            std::string(name) + text(" must have rank %lld, but has rank %lld", rank, tf.TF_NumDims(tensor)));
    return ok() ? tensor : nullptr;
  }

  void* output(int place, TF_DataType type, const int64_t* dims, int rank) {
    size_t bytes = type == TF_FLOAT ? 4 : 2;
    for (int i = 0; i < rank; i++) bytes *= static_cast<size_t>(dims[i]);
    TF_Tensor* tensor = tf.TF_AllocateOutput(context_, place, type, dims, rank, bytes, status_.status);
    return keep(tensor) ? tf.TF_TensorData(tensor) : nullptr;
  }

 private:
  bool keep(TF_Tensor* tensor) {
    if (tensor) tensors_[held_++] = tensor;
    if (!status_.ok()) fail(TF_RESOURCE_EXHAUSTED, "TensorFlow could not give the op a tensor");
    return !failed_ && tensor;
  }

  TF_OpKernelContext* context_;
  StatusHolder status_;
  TF_Tensor* tensors_[8];
  int held_ = 0;
  bool failed_ = false;
  TF_Code code_ = TF_OK;
  std::string message_;
};

// The attributes of an op.
struct Attributes {
  int64_t n_in = 0, n_out = 0, capacity = 0, block = 0, id_bits = 0;
  bool transpose = false;
  TF_DataType type = TF_FLOAT;

  Element element() const {
    return type == TF_FLOAT ? Element::float32 : type == TF_BFLOAT16 ? Element::bfloat16 : Element::float16;
  }
};

void* create(TF_OpKernelConstruction* construction) {
  StatusHolder s;
  auto* a = new (std::nothrow) Attributes;
  if (!a) return nullptr;
  unsigned char transpose = 0;
  const auto number = [&](const char* name, int64_t* target) {
    if (s.ok()) tf.TF_OpKernelConstruction_GetAttrInt64(construction, name, target, s.status);
  };
  number("n_in", &a->n_in);
  number("n_out", &a->n_out);
  number("capacity", &a->capacity);
  number("block", &a->block);
  number("id_bits", &a->id_bits);
  if (s.ok()) tf.TF_OpKernelConstruction_GetAttrBool(construction, "transpose", &transpose, s.status);
  if (s.ok()) tf.TF_OpKernelConstruction_GetAttrType(construction, "T", &a->type, s.status);
  a->transpose = transpose != 0;
  constexpr int64_t kMost = int64_t{1} << 40;  // keeps products of sizes far from overflow
  const auto sane = [](int64_t size) { return size >= 0 && size <= kMost; };
  if (s.ok() && (!sane(a->n_in) || !sane(a->n_out) || !sane(a->capacity) || !sane(a->block) || a->block < 1 ||
                 (a->id_bits != 16 && a->id_bits != 32) || (a->id_bits == 16 && a->block > 65536))) {
    tf.TF_SetStatus(s.status, TF_INVALID_ARGUMENT,
                    "n_in, n_out and capacity must lie in [0, 2^40], block must be positive and id_bits 16 or 32 "
                    "(32 where a block has more than 65536 outputs)");
  }
  if (!s.ok()) tf.TF_OpKernelConstruction_Failure(construction, s.status);
  return a;
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

// Inputs from `first` on: values if the op has them, ids, rows.
bool read_junction(Run& run, const Attributes& a, int first, bool has_values, Junction* w) {
  TF_Tensor* values = has_values ? run.input(first, 1, "values") : nullptr;
  TF_Tensor* ids = run.input(first + has_values, 1, "ids");
  TF_Tensor* rows = run.input(first + has_values + 1, 1, "rows");
  if (!run.ok()) return false;
  w->n_in = a.n_in;
  w->n_out = a.n_out;
  w->block = a.block;
  w->blocks = (a.n_out + a.block - 1) / a.block;
  w->capacity = a.capacity;
  w->wide = a.id_bits == 32;
  w->values = values ? static_cast<const float*>(tf.TF_TensorData(values)) : nullptr;
  w->ids = tf.TF_TensorData(ids);
  w->rows = static_cast<const int64_t*>(tf.TF_TensorData(rows));
  run.require(!values || tf.TF_Dim(values, 0) == a.capacity,
              text("values must hold %lld numbers, the capacity; it holds %lld", a.capacity,
                   values ? tf.TF_Dim(values, 0) : 0));
  run.require(static_cast<unsigned __int128>(w->blocks) * w->n_in + 1 == static_cast<unsigned __int128>(tf.TF_Dim(rows, 0)),
              text("rows must hold a row pointer per input and block, %lld x %lld + 1; it holds %lld", w->n_in,
                   w->blocks, tf.TF_Dim(rows, 0)));
  run.require(tf.TF_Dim(ids, 0) >= (w->capacity + 64 / a.id_bits - 1) / (64 / a.id_bits),
              text("ids must hold %lld packed ids, one per value; it holds %lld words of %lld bits", w->capacity,
                   tf.TF_Dim(ids, 0), 64));
  return run.ok();
}

// Activations [batch, features].
Activations read_activations(Run& run, const Attributes& a, int place, const char* name, int64_t features) {
  TF_Tensor* tensor = run.input(place, 2, name);
  if (!tensor) return {};
  run.require(tf.TF_Dim(tensor, 1) == features, std::string(name) + text(" must have %lld features, but has %lld",
                                                                         features, tf.TF_Dim(tensor, 1)));
  return {tf.TF_TensorData(tensor), tf.TF_Dim(tensor, 0), a.element()};
}

void report(Run& run, Status status, const Junction& w) {
  if (status == Status::no_memory) run.fail(TF_RESOURCE_EXHAUSTED, "not enough memory for the activations' panels");
  if (status == Status::bad_index) {
    run.fail(TF_INVALID_ARGUMENT,
             text("the index is broken: row pointers must rise from 0 to at most %lld, and ids lie in their block of "
                  "%lld outputs", w.capacity, w.block));
  }
}

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

// Checks the rank of every input and returns the handle of the first ones in `shapes`.
class Shapes {
 public:
  Shapes(TF_ShapeInferenceContext* context, TF_Status* status) : context_(context), status_(status) {}
  ~Shapes() {
    for (int i = 0; i < held_; i++) tf.TF_DeleteShapeHandle(handles_[i]);
  }
  TF_ShapeHandle* hold(TF_ShapeHandle* handle) { return handles_[held_++] = handle; }
  TF_ShapeHandle* fresh() { return hold(tf.TF_NewShapeHandle()); }
  bool ok() const { return tf.TF_GetCode(status_) == TF_OK; }

  TF_ShapeHandle* input(int place, int64_t rank) {
    TF_ShapeHandle *shape = fresh(), *ranked = fresh();
    if (ok()) tf.TF_ShapeInferenceContextGetInput(context_, place, shape, status_);
    if (ok()) tf.TF_ShapeInferenceContextWithRank(context_, shape, rank, ranked, status_);
    return ranked;
  }
  TF_ShapeHandle* unknown_vector() {
    return hold(tf.TF_ShapeInferenceContextVectorFromSize(context_, static_cast<size_t>(-1)));
  }
  // [batch of x, unknown]: the C API gives shape functions no access to integer attributes.
  TF_ShapeHandle* batch_of(TF_ShapeHandle* x) {
    TF_ShapeHandle *batch = fresh(), *whole = fresh(), *unknown = unknown_vector();
    if (ok()) tf.TF_ShapeInferenceContextSubshape(context_, x, 0, 1, batch, status_);
    if (ok()) tf.TF_ShapeInferenceContextConcatenateShapes(context_, batch, unknown, whole, status_);
    return whole;
  }
  void output(int place, TF_ShapeHandle* shape) {
    if (ok()) tf.TF_ShapeInferenceContextSetOutput(context_, place, shape, status_);
  }

 private:
  TF_ShapeInferenceContext* context_;
  TF_Status* status_;
  TF_ShapeHandle* handles_[16];
  int held_ = 0;
};

void shape_multiply(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = shapes.input(0, 2);
  for (int place = 1; place < 4; place++) shapes.input(place, 1);
  shapes.output(0, shapes.batch_of(x));
}

void shape_gradients(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = shapes.input(0, 2);
  shapes.input(1, 2);
  TF_ShapeHandle* values = shapes.input(2, 1);
  for (int place = 3; place < 5; place++) shapes.input(place, 1);
  shapes.output(0, shapes.batch_of(x));
  shapes.output(1, values);
}

void shape_outer(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  for (int place = 0; place < 2; place++) shapes.input(place, 2);
  for (int place = 2; place < 4; place++) shapes.input(place, 1);
  shapes.output(0, shapes.unknown_vector());
}

struct Op {
  const char* name;
  const char *right, *values, *outputs[2];  // null where there is none
  void (*shape)(TF_ShapeInferenceContext*, TF_Status*);
  void (*compute)(void*, TF_OpKernelContext*);
};

const Op kOps[] = {
    {"KerasSparseMatMul", nullptr, "values: float", {"y: T", nullptr}, shape_multiply, compute_multiply},
    {"KerasSparseGradients", "dy: T", "values: float", {"dx: T", "dvalues: float"}, shape_gradients,
     compute_gradients<true>},
    {"KerasSparseOuter", "dy: T", nullptr, {"dvalues: float", nullptr}, shape_outer, compute_gradients<false>},
};

bool register_op(const Op& op) {
  TF_OpDefinitionBuilder* builder = tf.TF_NewOpDefinitionBuilder(op.name);
  for (const char* attribute : {"T: {float, bfloat16, half}", "n_in: int", "n_out: int", "capacity: int", "block: int",
                                "id_bits: int", "transpose: bool = false"}) {
    tf.TF_OpDefinitionBuilderAddAttr(builder, attribute);
  }
  for (const char* input : {"x: T", op.right, op.values, "ids: int64", "rows: int64"}) {
    if (input) tf.TF_OpDefinitionBuilderAddInput(builder, input);
  }
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
