#include "convolution_ops.h"

#include "convolution.h"
#include "op_register.h"
#include "op_shapes.h"

namespace keras_sparse {

extern const Kernels* chosen_kernels;

namespace {

struct ConvolutionAttributes {
  Attributes junction;
  Convolution shape;
};

void* create_convolution(TF_OpKernelConstruction* construction) {
  auto* a = new (std::nothrow) ConvolutionAttributes;
  StatusHolder s;
  if (!a || !read_attributes(construction, &a->junction, s)) return a;
  int64_t padding = 0;
  Convolution& c = a->shape;
  const struct {
    const char* name;
    int64_t* target;
  } numbers[] = {{"channels", &c.channels},        {"groups", &c.groups},           {"window_rows", &c.down.size},
                 {"window_columns", &c.across.size}, {"down", &c.down.stride},        {"across", &c.across.stride},
                 {"row_gap", &c.down.gap},         {"column_gap", &c.across.gap},   {"padding", &padding}};
  constexpr int64_t kMost = 1 << 20;
  bool sane = true;
  for (const auto& number : numbers) {
    if (s.ok()) tf.TF_OpKernelConstruction_GetAttrInt64(construction, number.name, number.target, s.status);
    sane &= *number.target >= (number.target != &padding) && *number.target <= kMost;
  }
  sane = sane && padding <= 2 && c.channels % c.groups == 0 && a->junction.n_out % c.groups == 0 &&
         c.down.size * c.across.size * c.group_channels() == a->junction.n_in;
  if (s.ok() && !sane) {
    tf.TF_SetStatus(s.status, TF_INVALID_ARGUMENT,
                    "a convolution needs sizes in [1, 2^20], channels and filters that are multiples of groups, and "
                    "n_in = window_rows * window_columns * channels / groups");
  }
  c.down.padding = c.across.padding = static_cast<Padding>(padding);
  if (!s.ok()) tf.TF_OpKernelConstruction_Failure(construction, s.status);
  return a;
}

void destroy_convolution(void* attributes) { delete static_cast<ConvolutionAttributes*>(attributes); }

Images read_images(Run& run, int place, const char* name, int64_t channels) {
  TF_Tensor* tensor = run.input(place, 4, name);
  if (!tensor) return {};
  const Images images{static_cast<float*>(tf.TF_TensorData(tensor)), tf.TF_Dim(tensor, 0), tf.TF_Dim(tensor, 1),
                      tf.TF_Dim(tensor, 2), tf.TF_Dim(tensor, 3)};
  run.require(images.channels == channels,
              std::string(name) + text(" must have %lld channels, but has %lld", channels, images.channels));
  return images;
}

// What comes of images of the size of `x`, without memory.
Images output_of(const Convolution& c, const Images& x, int64_t filters) {
  return {nullptr, x.batch, c.down.output(x.height), c.across.output(x.width), filters};
}

void compute_convolve(void* attributes, TF_OpKernelContext* context) {
  const auto& all = *static_cast<ConvolutionAttributes*>(attributes);
  const Attributes& a = all.junction;
  Convolution c = all.shape;
  Run run(context);
  TF_Tensor* values = run.input(1, 1, "values");
  if (!values || !read_junction(run, a, 3, values, &c.w)) return;
  const Finish finish{read_bias(run, a, 2), a.relu};
  const Images x = read_images(run, 0, "x", c.channels);
  if (!run.ok()) return;
  Images y = output_of(c, x, a.n_out);
  const int64_t dims[] = {y.batch, y.height, y.width, y.channels};
  y.data = static_cast<float*>(run.output(0, TF_FLOAT, dims, 4));
  if (run.ok()) report(run, convolve(*chosen_kernels, c, x, y, finish), c.w);
}

template <bool with_dx>
void compute_convolution_gradients(void* attributes, TF_OpKernelContext* context) {
  const auto& all = *static_cast<ConvolutionAttributes*>(attributes);
  const Attributes& a = all.junction;
  Convolution c = all.shape;
  Run run(context);
  TF_Tensor* values = with_dx ? run.input(3, 1, "values") : nullptr;
  if (!run.ok() || !read_junction(run, a, 3 + with_dx, values, &c.w)) return;
  ConvolutionBackward g;
  g.x = read_images(run, 0, "x", c.channels);
  g.dy = read_images(run, 2, "dy", a.n_out);
  const auto fits = [&](const Images& images, const char* name) {
    const Images y = output_of(c, g.x, a.n_out);
    run.require(images.batch == y.batch && images.height == y.height && images.width == y.width,
                std::string(name) + text(" must be %lld images of %lld x %lld pixels", y.batch, y.height, y.width));
  };
  fits(g.dy, "dy");
  if (a.relu) {
    const Images y = read_images(run, 1, "y", a.n_out);
    fits(y, "y");
    g.gate = y.data;
  }
  if (!run.ok()) return;
  const int64_t dims[] = {g.x.batch, g.x.height, g.x.width, g.x.channels}, outputs = a.with_bias ? a.n_out : 0;
  if (with_dx) {
    g.dx = g.x;
    g.dx.data = static_cast<float*>(run.output(0, TF_FLOAT, dims, 4));
  }
  g.dw = static_cast<float*>(run.output(with_dx, TF_FLOAT, &c.w.capacity, 1));
  auto* dbias = static_cast<float*>(run.output(with_dx + 1, TF_FLOAT, &outputs, 1));
  if (a.with_bias) g.dbias = dbias;
  if (run.ok()) report(run, gradients(*chosen_kernels, c, g), c.w);
}

// [first dimension of x, unknown, unknown, unknown]
TF_ShapeHandle* images_of(Shapes& shapes, TF_ShapeHandle* x, TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* whole = shapes.batch_of(x);
  for (int i = 0; i < 2; i++) {
    TF_ShapeHandle *part = whole, *unknown = shapes.unknown_vector();
    whole = shapes.fresh();
    if (shapes.ok()) tf.TF_ShapeInferenceContextConcatenateShapes(context, part, unknown, whole, status);
  }
  return whole;
}

void shape_convolve(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = shapes.input(0, 4);
  for (int place = 1; place < 5; place++) shapes.input(place, 1);
  shapes.output(0, images_of(shapes, x, context, status));
}

template <bool with_dx>
void shape_convolution_gradients(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  TF_ShapeHandle* x = shapes.input(0, 4);
  for (int place = 1; place < 3; place++) shapes.input(place, 4);
  for (int place = 3; place < 5 + with_dx; place++) shapes.input(place, 1);
  if (with_dx) shapes.output(0, images_of(shapes, x, context, status));
  for (int place = with_dx; place < 2 + with_dx; place++) shapes.output(place, shapes.unknown_vector());
}

const Op kConvolutions[] = {
    {"KerasSparseConv", {"x: T", "values: float", "bias: float"}, {"y: T"}, shape_convolve, compute_convolve},
    {"KerasSparseConvGradients", {"x: T", "y: T", "dy: T", "values: float"},
     {"dx: T", "dvalues: float", "dbias: float"}, shape_convolution_gradients<true>,
     compute_convolution_gradients<true>},
    {"KerasSparseConvOuter", {"x: T", "y: T", "dy: T"}, {"dvalues: float", "dbias: float"},
     shape_convolution_gradients<false>, compute_convolution_gradients<false>},
};

constexpr const char* kWindow[] = {"channels: int", "groups: int", "window_rows: int", "window_columns: int",
                                   "down: int",     "across: int", "row_gap: int",     "column_gap: int",
                                   "padding: int"};

}  // namespace

const char* register_convolutions() {
  for (const Op& op : kConvolutions) {
    if (!register_op(op, "T: {float}", {TF_FLOAT}, kWindow, create_convolution, destroy_convolution)) return op.name;
  }
  return nullptr;
}

}  // namespace keras_sparse
