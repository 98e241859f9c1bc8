#include "recurrent_ops.h"

#include "op_register.h"
#include "op_shapes.h"
#include "recurrent.h"

namespace keras_sparse {

extern const Kernels* chosen_kernels;

namespace {

struct RecurrentAttributes {
  Attributes kernel, recurrent;
  Cell cell = Cell::lstm;
  bool backwards = false, every = false, keep = false, with_dx = false;
};

int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

void* create_recurrence(TF_OpKernelConstruction* construction) {
  auto* a = new (std::nothrow) RecurrentAttributes;
  StatusHolder s;
  if (!a || !read_attributes(construction, &a->kernel, s)) return a;
  int64_t cell = 0;
  a->recurrent = a->kernel;
  const struct {
    const char* name;
    int64_t* target;
  } numbers[] = {{"cell", &cell},
                 {"recurrent_capacity", &a->recurrent.capacity},
                 {"recurrent_block", &a->recurrent.block},
                 {"recurrent_id_bits", &a->recurrent.id_bits}};
  for (const auto& number : numbers) {
    if (s.ok()) tf.TF_OpKernelConstruction_GetAttrInt64(construction, number.name, number.target, s.status);
  }
  const struct {
    const char* name;
    bool* target;
  } flags[] = {{"backwards", &a->backwards}, {"every", &a->every}, {"keep", &a->keep}, {"with_dx", &a->with_dx}};
  for (const auto& flag : flags) {
    unsigned char value = 0;
    if (s.ok()) tf.TF_OpKernelConstruction_GetAttrBool(construction, flag.name, &value, s.status);
    *flag.target = value != 0;
  }
  if (s.ok() && (cell < 0 || cell > 2 || a->kernel.n_out % gates_of(static_cast<Cell>(cell)) != 0)) {
    tf.TF_SetStatus(s.status, TF_INVALID_ARGUMENT, "cell must be 0, 1 or 2, and n_out a multiple of its gates");
  }
  if (s.ok()) {
    a->cell = static_cast<Cell>(cell);
    a->recurrent.n_in = a->kernel.n_out / gates_of(a->cell);
    check_attributes(a->recurrent, s);
  }
  if (!s.ok()) tf.TF_OpKernelConstruction_Failure(construction, s.status);
  return a;
}

void destroy_recurrence(void* attributes) { delete static_cast<RecurrentAttributes*>(attributes); }

// What both ops begin with: x, mask, h, c, values and recurrent values; the index from `index` on.
struct Inputs {
  Recurrence recurrence;
  Steps steps;
  int64_t batch = 0;

  bool read(Run& run, const RecurrentAttributes& a, int index) {
    TF_Tensor* x = run.input(0, 3, "x");
    TF_Tensor* mask = run.input(1, 2, "mask");
    TF_Tensor* values = run.input(4, 1, "values");
    TF_Tensor* recurrent_values = run.input(5, 1, "recurrent_values");
    if (!run.ok()) return false;
    recurrence.cell = a.cell;
    recurrence.backwards = a.backwards;
    if (!read_junction(run, a.recurrent, index, recurrent_values, &recurrence.recurrent)) return false;
    if (!read_junction(run, a.kernel, index + 2, values, &recurrence.kernel)) return false;
    batch = tf.TF_Dim(x, 0);
    steps.time = tf.TF_Dim(x, 1);
    run.require(tf.TF_Dim(x, 2) == a.kernel.n_in,
                text("x must have %lld features, but has %lld", a.kernel.n_in, tf.TF_Dim(x, 2)));
    steps.x = {tf.TF_TensorData(x), batch, a.kernel.element()};
    const bool masked = tf.TF_Dim(mask, 0) > 0 && tf.TF_Dim(mask, 1) > 0;
    run.require(!masked || (tf.TF_Dim(mask, 0) == batch && tf.TF_Dim(mask, 1) == steps.time),
                text("mask must be empty or %lld x %lld", batch, steps.time));
    if (masked) steps.live = static_cast<const unsigned char*>(tf.TF_TensorData(mask));
    steps.h = state(run, 2, "h");
    if (recurrence.remembers()) steps.c = state(run, 3, "c");
    return run.ok();
  }

  // A state, or its gradient.
  void* state(Run& run, int place, const char* name) const {
    TF_Tensor* tensor = run.input(place, 2, name);
    if (!tensor) return nullptr;
    run.require(tf.TF_Dim(tensor, 0) == batch && tf.TF_Dim(tensor, 1) == recurrence.units(),
                std::string(name) + text(" must be %lld x %lld", batch, recurrence.units()));
    return tf.TF_TensorData(tensor);
  }

  const float* bias(Run& run, int place) const {
    TF_Tensor* tensor = run.input(place, 1, "bias");
    if (!tensor || tf.TF_Dim(tensor, 0) == 0) return nullptr;
    run.require(tf.TF_Dim(tensor, 0) == recurrence.sums(),
                text("a bias must hold %lld numbers; it holds %lld", recurrence.sums(), tf.TF_Dim(tensor, 0)));
    return static_cast<const float*>(tf.TF_TensorData(tensor));
  }

  // A state of this size, empty where there is none.
  void* new_state(Run& run, const RecurrentAttributes& a, int place, bool present) const {
    const int64_t dims[] = {present ? batch : 0, recurrence.units()};
    return run.output(place, a.kernel.type, dims, 2);
  }
};

void compute_recurrence(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<RecurrentAttributes*>(attributes);
  Run run(context);
  Inputs in;
  if (!in.read(run, a, 8)) return;
  Recurrence& r = in.recurrence;
  r.bias = in.bias(run, 6);
  r.recurrent_bias = in.bias(run, 7);
  if (!run.ok()) return;
  const int64_t dims[] = {in.batch, a.every ? in.steps.time : 1, r.units()};
  void* y = run.output(0, a.kernel.type, dims, 3);
  void* c = in.new_state(run, a, 1, r.remembers());
  const int64_t saved_size = a.keep ? saved_floats(*chosen_kernels, r, in.batch, in.steps.time) : 0;
  void* saved = run.ok() ? run.output(2, TF_FLOAT, &saved_size, 1) : nullptr;
  if (!run.ok()) return;
  auto* frames = saved_size ? static_cast<float*>(saved) : nullptr;
  report(run, keras_sparse::run(*chosen_kernels, r, in.steps, a.every, y, c, frames), r.recurrent);
}

void compute_recurrence_gradients(void* attributes, TF_OpKernelContext* context) {
  const auto& a = *static_cast<RecurrentAttributes*>(attributes);
  Run run(context);
  Inputs in;
  if (!in.read(run, a, 9)) return;
  Recurrence& r = in.recurrence;
  RecurrentBackward g;
  TF_Tensor* saved = run.input(6, 1, "saved");
  TF_Tensor* dy = run.input(7, 3, "dy");
  if (!run.ok()) return;
  const int64_t saved_size = saved_floats(*chosen_kernels, r, in.batch, in.steps.time);
  run.require(saved_size && tf.TF_Dim(saved, 0) == saved_size,
              text("saved must hold the %lld numbers that the forward kept; it holds %lld. It is not meant for another "
                   "number of threads", saved_size, tf.TF_Dim(saved, 0)));
  const int64_t steps = a.every ? in.steps.time : 1;
  run.require(tf.TF_Dim(dy, 0) == in.batch && tf.TF_Dim(dy, 1) == steps && tf.TF_Dim(dy, 2) == r.units(),
              text("dy must be %lld x %lld x %lld", in.batch, steps, r.units()));
  g.every = a.every;
  g.saved = static_cast<const float*>(tf.TF_TensorData(saved));
  g.dy = tf.TF_TensorData(dy);
  if (r.remembers()) g.dc = in.state(run, 8, "dc_after");
  if (!run.ok()) return;
  const int64_t dims[] = {a.with_dx ? in.batch : 0, in.steps.time, r.kernel.n_in};
  const int64_t sums = r.sums(), recurrent_sums = r.cell == Cell::gru ? sums : 0;
  void* dx = run.output(0, a.kernel.type, dims, 3);
  g.dx = a.with_dx ? dx : nullptr;
  g.dh = in.new_state(run, a, 1, true);
  g.dc_before = in.new_state(run, a, 2, r.remembers());
  g.dkernel = static_cast<float*>(run.output(3, TF_FLOAT, &r.kernel.capacity, 1));
  g.drecurrent = static_cast<float*>(run.output(4, TF_FLOAT, &r.recurrent.capacity, 1));
  g.dbias = static_cast<float*>(run.output(5, TF_FLOAT, &sums, 1));
  auto* drecurrent_bias = static_cast<float*>(run.output(6, TF_FLOAT, &recurrent_sums, 1));
  g.drecurrent_bias = recurrent_sums ? drecurrent_bias : nullptr;
  if (run.ok()) report(run, gradients(*chosen_kernels, r, in.steps, g), r.recurrent);
}

// [first dimension of x, unknown, unknown]
TF_ShapeHandle* sequences_of(Shapes& shapes, TF_ShapeHandle* x, TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle *part = shapes.batch_of(x), *unknown = shapes.unknown_vector(), *whole = shapes.fresh();
  if (shapes.ok()) tf.TF_ShapeInferenceContextConcatenateShapes(context, part, unknown, whole, status);
  return whole;
}

template <size_t N>
TF_ShapeHandle* check_ranks(Shapes& shapes, const int (&ranks)[N]) {
  TF_ShapeHandle* first = nullptr;
  for (size_t place = 0; place < N; place++) {
    TF_ShapeHandle* input = shapes.input(static_cast<int>(place), ranks[place]);
    if (place == 0) first = input;
  }
  return first;
}

void shape_recurrence(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = check_ranks(shapes, {3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1});
  shapes.output(0, sequences_of(shapes, x, context, status));
  shapes.output(1, shapes.batch_of(shapes.unknown_vector()));
  shapes.output(2, shapes.unknown_vector());
}

void shape_recurrence_gradients(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  check_ranks(shapes, {3, 2, 2, 2, 1, 1, 1, 3, 2, 1, 1, 1, 1});
  shapes.output(0, sequences_of(shapes, shapes.unknown_vector(), context, status));
  for (int place = 1; place < 3; place++) shapes.output(place, shapes.batch_of(shapes.unknown_vector()));
  for (int place = 3; place < 7; place++) shapes.output(place, shapes.unknown_vector());
}

const Op kRecurrences[] = {
    {"KerasSparseRecurrence",
     {"x: T", "mask: bool", "h: T", "c: T", "values: float", "recurrent_values: float", "bias: float",
      "recurrent_bias: float", "recurrent_ids: int64", "recurrent_rows: int64"},
     {"y: T", "c_after: T", "saved: float"}, shape_recurrence, compute_recurrence},
    {"KerasSparseRecurrenceGradients",
     {"x: T", "mask: bool", "h: T", "c: T", "values: float", "recurrent_values: float", "saved: float", "dy: T",
      "dc_after: T", "recurrent_ids: int64", "recurrent_rows: int64"},
     {"dx: T", "dh: T", "dc: T", "dvalues: float", "drecurrent_values: float", "dbias: float",
      "drecurrent_bias: float"},
     shape_recurrence_gradients, compute_recurrence_gradients},
};

constexpr const char* kMore[] = {"cell: int",           "recurrent_capacity: int", "recurrent_block: int",
                                 "recurrent_id_bits: int", "backwards: bool = false", "every: bool = false",
                                 "keep: bool = false",  "with_dx: bool = false"};

}  // namespace

const char* register_recurrences() {
  for (const Op& op : kRecurrences) {
    if (!register_op(op, "T: {float, bfloat16, half}", {TF_FLOAT, TF_BFLOAT16, TF_HALF}, kMore, create_recurrence,
                     destroy_recurrence)) {
      return op.name;
    }
  }
  return nullptr;
}

}  // namespace keras_sparse
