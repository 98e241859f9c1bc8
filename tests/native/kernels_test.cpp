// The native kernels without TensorFlow, for sanitizers: random junctions against sums in float64, hostile indices,
// and several threads at once. See `make sanitize`.
//
//   kernels_test [cases] [seed]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "convert.h"
#include "product.h"
#include "thread_pool.h"

using namespace keras_sparse;

namespace {

using Random = std::mt19937_64;

int64_t pick(Random& random, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random);
}

// The buffers have exactly the promised length, so that an address sanitizer sees the first step outside.
struct Case {
  int64_t n_in, n_out, block, blocks, batch, capacity;
  bool wide, relu;
  Element element;
  std::vector<float> values, x, dy, bias, y;
  std::vector<uint16_t> ids16, x16, dy16, y16;
  std::vector<uint32_t> ids32;
  std::vector<int64_t> rows{0}, inputs, outputs;

  // `large`: with so many inputs or outputs that the batch does not go into panels all at once.
  explicit Case(Random& random, bool large = false) {
    n_in = pick(random, 1, 90);
    n_out = pick(random, 1, 700);
    batch = pick(random, 0, 3) ? pick(random, 0, 150) : pick(random, 0, 3);
    if (large) {
      n_in = pick(random, 1, 8), n_out = pick(random, 33000, 40000), batch = pick(random, 128, 150);
      if (pick(random, 0, 1)) std::swap(n_in, n_out);
    }
    block = pick(random, 1, n_out);
    blocks = (n_out + block - 1) / block;
    wide = pick(random, 0, 3) == 0;
    element = static_cast<Element>(pick(random, 0, 5) % 3);
    const double density = std::pow(10.0, -std::uniform_real_distribution<>(0, 3)(random));
    std::bernoulli_distribution connected(density);
    std::normal_distribution<float> number;
    for (int64_t b = 0; b < blocks; b++) {
      for (int64_t i = 0; i < n_in; i++) {
        for (int64_t o = b * block; o < std::min((b + 1) * block, n_out); o++) {
          if (!connected(random)) continue;
          inputs.push_back(i);
          outputs.push_back(o);
          values.push_back(number(random));
          wide ? ids32.push_back(static_cast<uint32_t>(o - b * block))
               : ids16.push_back(static_cast<uint16_t>(o - b * block));
        }
        rows.push_back(static_cast<int64_t>(values.size()));
      }
    }
    capacity = static_cast<int64_t>(values.size()) + pick(random, 0, 9);
    values.resize(capacity, std::numeric_limits<float>::quiet_NaN());  // the tail must not be read
    ids16.resize(wide ? 0 : capacity, 0xffff);
    ids32.resize(wide ? capacity : 0, 0xffffffff);
    fill(random, n_in, x, x16);
    fill(random, n_out, dy, dy16);
    fill(random, n_out, y, y16);
    if (pick(random, 0, 1)) {
      for (int64_t o = 0; o < n_out; o++) bias.push_back(number(random));
    }
    relu = pick(random, 0, 1);
  }

  int64_t count() const { return static_cast<int64_t>(inputs.size()); }

  Junction junction() const {
    const void* ids = wide ? static_cast<const void*>(ids32.data()) : ids16.data();
    return {n_in, n_out, block, blocks, capacity, values.data(), ids, rows.data(), wide};
  }
  Activations left() { return {element == Element::float32 ? (void*)x.data() : x16.data(), batch, element}; }
  Activations right() { return {element == Element::float32 ? (void*)dy.data() : dy16.data(), batch, element}; }
  Finish finish() const { return {bias.empty() ? nullptr : bias.data(), relu}; }
  void* gate() { return !relu ? nullptr : element == Element::float32 ? (void*)y.data() : y16.data(); }

 private:
  void fill(Random& random, int64_t features, std::vector<float>& full, std::vector<uint16_t>& half) {
    std::normal_distribution<float> number;
    for (int64_t i = 0; i < batch * features; i++) {
      float f = number(random);
      if (pick(random, 0, 5000) == 0) f = std::numeric_limits<float>::infinity();
      if (element == Element::bfloat16) half.push_back(BFloat16::write(f)), f = BFloat16::read(half.back());
      if (element == Element::float16) half.push_back(Float16::write(f)), f = Float16::read(half.back());
      full.push_back(f);
    }
  }
};

struct Output {
  Element element;
  std::vector<float> full;
  std::vector<uint16_t> half;
  Output(Element e, int64_t size) : element(e), full(size, 7.0f), half(size, 0x1234) {}
  Activations as(int64_t batch) {
    return {element == Element::float32 ? (void*)full.data() : half.data(), batch, element};
  }
  float at(int64_t i) const {
    if (element == Element::float32) return full[i];
    return element == Element::bfloat16 ? BFloat16::read(half[i]) : Float16::read(half[i]);
  }
};

[[noreturn]] void fail(const Case& c, const Kernels& kernels, const char* what, int64_t place, double got, double want) {
  std::printf("%s: %s[%lld] is %g, not %g; %lld x %lld, block %lld, batch %lld, %lld connections, element %d\n",
              kernels.name, what, (long long)place, got, want, (long long)c.n_in, (long long)c.n_out,
              (long long)c.block, (long long)c.batch, (long long)c.count(), static_cast<int>(c.element));
  std::exit(1);
}

void compare(const Case& c, const Kernels& kernels, const char* what, const std::vector<double>& want,
             const std::vector<double>& magnitude, Element e, int64_t place, double got) {
  const double relative = e == Element::float32 ? 1e-5 : e == Element::bfloat16 ? 1e-2 : 2e-3;
  const double w = want[place];
  const bool same = std::isnan(w) ? std::isnan(got)
                    : std::isinf(w) ? w == got
                                    : std::abs(got - w) <= relative * (1e-3 + magnitude[place]);
  if (!same) fail(c, kernels, what, place, got, w);
}

void check(const Kernels& kernels, Case& c) {
  const Junction w = c.junction();
  std::vector<double> y(c.batch * c.n_out), dx(c.batch * c.n_in), dw(c.capacity), dbias(c.n_out);
  std::vector<double> y_size(y.size()), dx_size(dx.size()), dw_size(dw.size()), dbias_size(c.n_out);
  std::vector<float> dy = c.dy;
  for (int64_t i = 0; i < c.batch * c.n_out; i++) {
    if (c.relu && !(c.y[i] > 0)) dy[i] = 0;
    if (!c.bias.empty()) y[i] = c.bias[i % c.n_out], y_size[i] = std::abs(y[i]);
    dbias[i % c.n_out] += dy[i], dbias_size[i % c.n_out] += std::abs(dy[i]);
  }
  for (int64_t k = 0; k < c.count(); k++) {
    for (int64_t s = 0; s < c.batch; s++) {
      const int64_t i = s * c.n_in + c.inputs[k], o = s * c.n_out + c.outputs[k];
      const double terms[] = {double(c.values[k]) * c.x[i], double(c.values[k]) * dy[o], double(c.x[i]) * dy[o]};
      y[o] += terms[0], y_size[o] += std::abs(terms[0]);
      dx[i] += terms[1], dx_size[i] += std::abs(terms[1]);
      dw[k] += terms[2], dw_size[k] += std::abs(terms[2]);
    }
  }
  for (double& number : y) number = c.relu && number < 0 ? 0 : number;
  Output got_y(c.element, c.batch * c.n_out), got_dx(c.element, c.batch * c.n_in), only_dx = got_dx;
  std::vector<float> got_dw(c.capacity, 7.0f), only_dw = got_dw, got_dbias(c.n_out, 7.0f);
  Backward whole{c.left(), c.right(), got_dx.as(c.batch), got_dw.data(), c.gate(), got_dbias.data()};
  Backward to_inputs{{}, c.right(), only_dx.as(c.batch), nullptr, c.gate(), nullptr};
  Backward to_weights{c.left(), c.right(), {}, only_dw.data(), c.gate(), nullptr};
  const bool fine = multiply(kernels, w, c.left(), got_y.as(c.batch), c.finish()) == Status::ok &&
                    gradients(kernels, w, whole) == Status::ok && gradients(kernels, w, to_inputs) == Status::ok &&
                    gradients(kernels, w, to_weights) == Status::ok;
  if (!fine) fail(c, kernels, "status", 0, 0, 0);
  for (int64_t i = 0; i < c.batch * c.n_out; i++) compare(c, kernels, "y", y, y_size, c.element, i, got_y.at(i));
  for (int64_t i = 0; i < c.batch * c.n_in; i++) {
    compare(c, kernels, "dx", dx, dx_size, c.element, i, got_dx.at(i));
    compare(c, kernels, "dx alone", dx, dx_size, c.element, i, only_dx.at(i));
  }
  for (int64_t k = 0; k < c.capacity; k++) {
    compare(c, kernels, "dw", dw, dw_size, Element::float32, k, got_dw[k]);
    compare(c, kernels, "dw alone", dw, dw_size, Element::float32, k, only_dw[k]);
  }
  for (int64_t o = 0; o < c.n_out; o++) compare(c, kernels, "dbias", dbias, dbias_size, Element::float32, o, got_dbias[o]);
}

// Some of the activations as entries, in any order.
struct Chosen {
  std::vector<int64_t> at;
  std::vector<float> numbers;

  Chosen(Random& random, const Case& c) {
    std::bernoulli_distribution there(std::uniform_real_distribution<>(0, 1)(random));
    for (int64_t place : order(random, c.batch * c.n_in)) {
      if (!there(random)) continue;
      at.push_back(place / c.n_in), at.push_back(place % c.n_in);
      numbers.push_back(c.x[place]);
    }
  }
  Entries entries() const { return {at.data(), numbers.data(), static_cast<int64_t>(numbers.size())}; }

 private:
  static std::vector<int64_t> order(Random& random, int64_t size) {
    std::vector<int64_t> places(size);
    for (int64_t i = 0; i < size; i++) places[i] = i;
    if (pick(random, 0, 1)) std::shuffle(places.begin(), places.end(), random);
    return places;
  }
};

void check_entries(const Kernels& kernels, Random& random, const Case& c) {
  const Junction w = c.junction();
  const Chosen x(random, c);
  const int64_t count = x.entries().count;
  std::vector<double> y(c.batch * c.n_out), dx(count), dw(c.capacity), y_size(y.size()), dx_size(count), dw_size(c.capacity);
  for (int64_t e = 0; e < count; e++) {
    for (int64_t k = 0; k < c.count(); k++) {
      if (c.inputs[k] != x.at[2 * e + 1]) continue;
      const int64_t o = x.at[2 * e] * c.n_out + c.outputs[k];
      const double terms[] = {double(c.values[k]) * x.numbers[e], double(c.values[k]) * c.dy[o], double(x.numbers[e]) * c.dy[o]};
      y[o] += terms[0], y_size[o] += std::abs(terms[0]);
      dx[e] += terms[1], dx_size[e] += std::abs(terms[1]);
      dw[k] += terms[2], dw_size[k] += std::abs(terms[2]);
    }
  }
  std::vector<float> got_y(y.size(), 7.0f), got_dx(count, 7.0f), got_dw(c.capacity, 7.0f);
  if (!in_range(x.entries(), c.batch, c.n_in) || multiply(w, x.entries(), c.batch, got_y.data()) != Status::ok ||
      gradients(w, x.entries(), c.dy.data(), got_dx.data(), got_dw.data()) != Status::ok) {
    fail(c, kernels, "status of entries", 0, 0, 0);
  }
  for (size_t i = 0; i < y.size(); i++) compare(c, kernels, "y of entries", y, y_size, Element::float32, i, got_y[i]);
  for (int64_t e = 0; e < count; e++) compare(c, kernels, "dnumbers", dx, dx_size, Element::float32, e, got_dx[e]);
  for (int64_t k = 0; k < c.capacity; k++) compare(c, kernels, "dw of entries", dw, dw_size, Element::float32, k, got_dw[k]);
}

// Whatever the index holds, nothing outside the buffers is touched; the sanitizer watches.
void attack(const Kernels& kernels, Random& random, Case c) {
  const int64_t bad[] = {-1, 1, c.capacity + 1, c.capacity * 3 + 7, int64_t{1} << 40, std::numeric_limits<int64_t>::max(),
                         std::numeric_limits<int64_t>::min()};
  for (int64_t n = pick(random, 1, 3); n > 0; n--) {
    const int64_t place = pick(random, 0, 2);
    if (place == 0) c.rows[pick(random, 0, static_cast<int64_t>(c.rows.size()) - 1)] = bad[pick(random, 0, 6)];
    if (place == 1 && !c.ids16.empty()) c.ids16[pick(random, 0, c.capacity - 1)] = static_cast<uint16_t>(pick(random, 0, 65535));
    if (place == 2 && !c.ids32.empty()) c.ids32[pick(random, 0, c.capacity - 1)] = static_cast<uint32_t>(random());
  }
  const Junction w = c.junction();
  Output y(c.element, c.batch * c.n_out), dx(c.element, c.batch * c.n_in);
  std::vector<float> dw(c.capacity);
  multiply(kernels, w, c.left(), y.as(c.batch), c.finish());
  gradients(kernels, w, {c.left(), c.right(), dx.as(c.batch), dw.data(), c.gate(), nullptr});
  gradients(kernels, w, {{}, c.right(), dx.as(c.batch), nullptr, nullptr, nullptr});
  gradients(kernels, w, {c.left(), c.right(), {}, dw.data(), c.gate(), nullptr});
  std::vector<float> matrix(c.n_in * c.n_out);
  const Chosen chosen(random, c);
  std::vector<float> y32(c.batch * c.n_out), numbers(chosen.numbers.size());
  multiply(w, chosen.entries(), c.batch, y32.data());
  gradients(w, chosen.entries(), c.dy.data(), numbers.data(), dw.data());
  to_dense(kernels, w, Element::float32, matrix.data());
  from_dense(kernels, w, Element::float32, matrix.data(), dw.data());
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 200;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  for (int place = 0; available_kernels(place); place++) {
    const Kernels& kernels = *find_kernels(available_kernels(place));
    Random random(seed);
    for (int n = 0; n < cases; n++) {
      set_thread_count(static_cast<int>(pick(random, 1, 5)));
      Case c(random);
      check(kernels, c);
      check_entries(kernels, random, c);
      attack(kernels, random, c);
    }
    std::printf("%s: %d cases\n", kernels.name, cases);
    const int large = std::min(cases, 6);
    for (int n = 0; n < large; n++) {
      set_thread_count(1 + n % 3);
      Case c(random, true);
      check(kernels, c);
    }
    std::printf("%s: %d large cases\n", kernels.name, large);
    std::vector<std::thread> together;  // products that want the workers at once
    for (uint64_t t = 0; t < 4; t++) {
      together.emplace_back([&, t] {
        Random own(seed + 100 + t);
        for (int n = 0; n < cases / 4; n++) {
          Case c(own);
          check(kernels, c);
        }
      });
    }
    for (auto& thread : together) thread.join();
    std::printf("%s: %d cases in 4 threads\n", kernels.name, cases);
  }
}
