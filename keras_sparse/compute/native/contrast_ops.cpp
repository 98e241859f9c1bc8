#include "contrast_ops.h"

#include "contrast.h"
#include "op_register.h"
#include "op_shapes.h"

namespace keras_sparse {

extern const Kernels* chosen_kernels;

namespace {

struct ContrastAttributes {
  Attributes junction;
  int64_t steps = 1;
};

void* create_contrast(TF_OpKernelConstruction* construction) {
  auto* a = new (std::nothrow) ContrastAttributes;
  StatusHolder s;
  if (!a || !read_attributes(construction, &a->junction, s)) return a;
  tf.TF_OpKernelConstruction_GetAttrInt64(construction, "steps", &a->steps, s.status);
  if (s.ok() && a->steps < 1) tf.TF_SetStatus(s.status, TF_INVALID_ARGUMENT, "steps must be positive");
  if (!s.ok()) tf.TF_OpKernelConstruction_Failure(construction, s.status);
  return a;
}

void destroy_contrast(void* attributes) { delete static_cast<ContrastAttributes*>(attributes); }

const float* read_vector(Run& run, int place, const char* name, int64_t length) {
  TF_Tensor* tensor = run.input(place, 1, name);
  if (!tensor) return nullptr;
  run.require(tf.TF_Dim(tensor, 0) == length,
              std::string(name) + text(" must hold %lld numbers; it holds %lld", length, tf.TF_Dim(tensor, 0)));
  return static_cast<const float*>(tf.TF_TensorData(tensor));
}

void compute_contrast(void* attributes, TF_OpKernelContext* context) {
  const auto& all = *static_cast<ContrastAttributes*>(attributes);
  const Attributes& a = all.junction;
  Run run(context);
  Junction w;
  TF_Tensor* values = run.input(1, 1, "values");
  if (!values || !read_junction(run, a, 5, values, &w)) return;
  Contrast c;
  c.x = read_activations(run, a, 0, "x", a.n_in);
  c.visible_bias = read_vector(run, 2, "visible_bias", a.n_in);
  c.hidden_bias = read_vector(run, 3, "hidden_bias", a.n_out);
  TF_Tensor* seed = run.input(4, 1, "seed");
  run.require(!seed || tf.TF_Dim(seed, 0) == 1, "seed must be one number");
  c.steps = all.steps;
  if (!run.ok()) return;
  c.seed = static_cast<uint64_t>(*static_cast<const int64_t*>(tf.TF_TensorData(seed)));
  const struct {
    float** target;
    int64_t length;
  } outputs[] = {{&c.dw, a.capacity}, {&c.dvisible, a.n_in}, {&c.dhidden, a.n_out}, {&c.error, c.x.batch},
                 {&c.energy, c.x.batch}};
  int place = 0;
  for (const auto& output : outputs) {
    if (run.ok()) *output.target = static_cast<float*>(run.output(place++, TF_FLOAT, &output.length, 1));
  }
  if (run.ok()) report(run, contrast(*chosen_kernels, w, c), w);
}

void shape_contrast(TF_ShapeInferenceContext* context, TF_Status* status) {
  Shapes shapes(context, status);
  shapes.input(0, 2);
  for (int place = 1; place < 7; place++) shapes.input(place, 1);
  for (int place = 0; place < 5; place++) shapes.output(place, shapes.unknown_vector());
}

const Op kContrast = {"KerasSparseContrast",
                      {"x: T", "values: float", "visible_bias: float", "hidden_bias: float", "seed: int64"},
                      {"dvalues: float", "dvisible: float", "dhidden: float", "error: float", "energy: float"},
                      shape_contrast, compute_contrast};

constexpr const char* kSteps[] = {"steps: int"};

}  // namespace

const char* register_contrast() {
  return register_op(kContrast, "T: {float}", {TF_FLOAT}, kSteps, create_contrast, destroy_contrast) ? nullptr
                                                                                                    : kContrast.name;
}

}  // namespace keras_sparse
