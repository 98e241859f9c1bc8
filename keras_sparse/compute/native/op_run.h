// One run of an op: its inputs and attributes, checked, its outputs, and its error.
#pragma once

#include <cstdio>
#include <initializer_list>
#include <new>
#include <string>
#include <utility>

#include "product.h"
#include "tensorflow_c_api.h"

namespace keras_sparse {

inline TensorFlow tf;

struct StatusHolder {
  TF_Status* status = tf.TF_NewStatus();
  ~StatusHolder() { tf.TF_DeleteStatus(status); }
  bool ok() const { return tf.TF_GetCode(status) == TF_OK; }
};

inline std::string text(const char* format, long long a = 0, long long b = 0, long long c = 0) {
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
  TF_Tensor* tensors_[24];  // no op has more inputs and outputs
  int held_ = 0;
  bool failed_ = false;
  TF_Code code_ = TF_OK;
  std::string message_;
};

// The attributes of an op.
struct Attributes {
  int64_t n_in = 0, n_out = 0, capacity = 0, block = 0, id_bits = 0;
  bool transpose = false, relu = false, with_bias = false;
  TF_DataType type = TF_FLOAT;

  Element element() const {
    return type == TF_FLOAT ? Element::float32 : type == TF_BFLOAT16 ? Element::bfloat16 : Element::float16;
  }
};

// Sets the status if they make no sense.
inline void check_attributes(const Attributes& a, StatusHolder& s) {
  constexpr int64_t kMost = int64_t{1} << 40;  // keeps products of sizes far from overflow
  const auto sane = [](int64_t size) { return size >= 0 && size <= kMost; };
  if (s.ok() && (!sane(a.n_in) || !sane(a.n_out) || !sane(a.capacity) || !sane(a.block) || a.block < 1 ||
                 (a.id_bits != 16 && a.id_bits != 32) || (a.id_bits == 16 && a.block > 65536))) {
    tf.TF_SetStatus(s.status, TF_INVALID_ARGUMENT,
                    "n_in, n_out and capacity must lie in [0, 2^40], block must be positive and id_bits 16 or 32 "
                    "(32 where a block has more than 65536 outputs)");
  }
}

// False if they make no sense; the construction then has failed.
inline bool read_attributes(TF_OpKernelConstruction* construction, Attributes* a, StatusHolder& s) {
  const auto number = [&](const char* name, int64_t* target) {
    if (s.ok()) tf.TF_OpKernelConstruction_GetAttrInt64(construction, name, target, s.status);
  };
  number("n_in", &a->n_in);
  number("n_out", &a->n_out);
  number("capacity", &a->capacity);
  number("block", &a->block);
  number("id_bits", &a->id_bits);
  const auto flag = [&](const char* name, bool* target) {
    unsigned char value = 0;
    if (s.ok()) tf.TF_OpKernelConstruction_GetAttrBool(construction, name, &value, s.status);
    *target = value != 0;
  };
  flag("transpose", &a->transpose);
  flag("relu", &a->relu);
  flag("with_bias", &a->with_bias);
  if (s.ok()) tf.TF_OpKernelConstruction_GetAttrType(construction, "T", &a->type, s.status);
  check_attributes(*a, s);
  if (!s.ok()) tf.TF_OpKernelConstruction_Failure(construction, s.status);
  return s.ok();
}

inline void* create(TF_OpKernelConstruction* construction) {
  StatusHolder s;
  auto* a = new (std::nothrow) Attributes;
  if (a) read_attributes(construction, a, s);
  return a;
}

inline void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

// Inputs `first` and `first` + 1: ids and rows. `values` may be null.
inline bool read_junction(Run& run, const Attributes& a, int first, TF_Tensor* values, Junction* w) {
  TF_Tensor* ids = run.input(first, 1, "ids");
  TF_Tensor* rows = run.input(first + 1, 1, "rows");
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

// Null without one.
inline const float* read_bias(Run& run, const Attributes& a, int place) {
  TF_Tensor* bias = run.input(place, 1, "bias");
  if (!bias || !a.with_bias) return nullptr;
  run.require(!a.transpose && tf.TF_Dim(bias, 0) == a.n_out,
              text("bias must hold %lld numbers, one per output, and the product not be transposed; it holds %lld",
                   a.n_out, tf.TF_Dim(bias, 0)));
  return static_cast<const float*>(tf.TF_TensorData(bias));
}

// Activations [batch, features].
inline Activations read_activations(Run& run, const Attributes& a, int place, const char* name, int64_t features) {
  TF_Tensor* tensor = run.input(place, 2, name);
  if (!tensor) return {};
  run.require(tf.TF_Dim(tensor, 1) == features, std::string(name) + text(" must have %lld features, but has %lld",
                                                                         features, tf.TF_Dim(tensor, 1)));
  return {tf.TF_TensorData(tensor), tf.TF_Dim(tensor, 0), a.element()};
}

// Inputs 0 and 1: pairs (sample, input) and the numbers there.
inline Entries read_entries(Run& run, const Attributes& a, int64_t batch) {
  TF_Tensor* at = run.input(0, 2, "entries");
  TF_Tensor* numbers = run.input(1, 1, "numbers");
  if (!run.ok()) return {};
  const int64_t count = tf.TF_Dim(at, 0);
  run.require(a.type == TF_FLOAT, "numbers must be float32");
  run.require(tf.TF_Dim(at, 1) == 2 && tf.TF_Dim(numbers, 0) == count,
              text("entries must be [n, 2] and numbers [n]; got [%lld, %lld] and [%lld]", count, tf.TF_Dim(at, 1),
                   tf.TF_Dim(numbers, 0)));
  const Entries x{static_cast<const int64_t*>(tf.TF_TensorData(at)),
                  static_cast<const float*>(tf.TF_TensorData(numbers)), count};
  run.require(!run.ok() || in_range(x, batch, a.n_in),
              text("entries must be pairs (sample, input) below (%lld, %lld)", batch, a.n_in));
  return x;
}

inline void report(Run& run, Status status, const Junction& w) {
  if (status == Status::no_memory) run.fail(TF_RESOURCE_EXHAUSTED, "not enough memory for the activations' panels");
  if (status == Status::bad_index) {
    run.fail(TF_INVALID_ARGUMENT,
             text("the index is broken: row pointers must rise from 0 to at most %lld, and ids lie in their block of "
                  "%lld outputs", w.capacity, w.block));
  }
}

}  // namespace keras_sparse
