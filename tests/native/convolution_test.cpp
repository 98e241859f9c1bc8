// The convolutions without TensorFlow, for sanitizers: random shapes against sums in float64, hostile indices, and several
// threads at once. See `make sanitize`.
//
//   convolution_test [cases] [seed]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "convolution.h"
#include "thread_pool.h"

using namespace keras_sparse;

namespace {

using Random = std::mt19937_64;

int64_t pick(Random& random, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random);
}

// The buffers have exactly the promised length, so that an address sanitizer sees the first step outside.
struct Case {
  Convolution c;
  Images in, out;
  bool wide, relu;
  std::vector<float> values, x, dy, y, bias;
  std::vector<uint16_t> ids16;
  std::vector<uint32_t> ids32;
  std::vector<int64_t> rows{0}, inputs, outputs;

  explicit Case(Random& random) {
    c.groups = pick(random, 0, 3) ? 1 : pick(random, 2, 4);
    c.channels = c.groups * (pick(random, 0, 1) ? pick(random, 1, 5) : pick(random, 1, 40));
    c.w.n_out = c.groups * (pick(random, 0, 1) ? pick(random, 1, 5) : pick(random, 1, 70));
    const auto padding = static_cast<Padding>(pick(random, 0, 2));
    for (Window* window : {&c.down, &c.across}) {
      *window = {pick(random, 1, 4), pick(random, 0, 1) ? 1 : pick(random, 1, 3), 1, padding};
      if (window->stride == 1) window->gap = pick(random, 0, 1) ? 1 : pick(random, 1, 3);
    }
    wide = pick(random, 0, 3) == 0;
    c.w.n_in = c.down.size * c.across.size * c.group_channels();
    c.w.block = pick(random, 1, c.w.n_out);
    c.w.blocks = (c.w.n_out + c.w.block - 1) / c.w.block;
    const double density = std::pow(10.0, -std::uniform_real_distribution<>(0, 2)(random));
    std::bernoulli_distribution connected(density);
    std::normal_distribution<float> number;
    for (int64_t b = 0; b < c.w.blocks; b++) {
      for (int64_t i = 0; i < c.w.n_in; i++) {
        for (int64_t o = b * c.w.block; o < std::min((b + 1) * c.w.block, c.w.n_out); o++) {
          if (!connected(random)) continue;
          inputs.push_back(i);
          outputs.push_back(o);
          values.push_back(number(random));
          wide ? ids32.push_back(static_cast<uint32_t>(o - b * c.w.block))
               : ids16.push_back(static_cast<uint16_t>(o - b * c.w.block));
        }
        rows.push_back(count());
      }
    }
    c.w.capacity = count() + pick(random, 0, 9);
    values.resize(c.w.capacity, std::numeric_limits<float>::quiet_NaN());  // the tail must not be read
    ids16.resize(wide ? 0 : c.w.capacity, 0xffff);
    ids32.resize(wide ? c.w.capacity : 0, 0xffffffff);
    const auto length = [&](const Window& w) {
      return (padding == Padding::valid ? w.reach() : 1) + pick(random, 0, pick(random, 0, 1) ? 5 : 24);
    };
    in = {nullptr, pick(random, 0, 1) ? pick(random, 0, 4) : pick(random, 1, 40), length(c.down), length(c.across),
          c.channels};
    out = {nullptr, in.batch, c.down.output(in.height), c.across.output(in.width), c.w.n_out};
    const auto fill = [&](std::vector<float>& numbers, const Images& images) {
      for (int64_t i = 0; i < images.batch * images.size(); i++) numbers.push_back(number(random));
    };
    fill(x, in), fill(dy, out), fill(y, out);
    if (pick(random, 0, 1)) {
      for (int64_t o = 0; o < c.w.n_out; o++) bias.push_back(number(random));
    }
    relu = pick(random, 0, 1);
    point();
  }
  Case(const Case& other) = default;

  int64_t count() const { return static_cast<int64_t>(outputs.size()); }
  // After a copy: to its own buffers.
  void point() {
    c.w.wide = wide;
    c.w.values = values.data();
    c.w.ids = wide ? static_cast<const void*>(ids32.data()) : ids16.data();
    c.w.rows = rows.data();
  }
  static Images with(Images images, std::vector<float>& numbers) {
    images.data = numbers.data();
    return images;
  }
};

[[noreturn]] void fail(const Case& c, const Kernels& kernels, const char* what, int64_t place, double got, double want) {
  std::printf("%s: %s[%lld] is %g, not %g; %lld images of %lld x %lld x %lld to %lld x %lld x %lld in %lld groups, window "
              "%lld x %lld, strides %lld x %lld, gaps %lld x %lld, padding %d, %lld connections\n",
              kernels.name, what, (long long)place, got, want, (long long)c.in.batch, (long long)c.in.height,
              (long long)c.in.width, (long long)c.in.channels, (long long)c.out.height, (long long)c.out.width,
              (long long)c.out.channels, (long long)c.c.groups, (long long)c.c.down.size, (long long)c.c.across.size,
              (long long)c.c.down.stride, (long long)c.c.across.stride, (long long)c.c.down.gap,
              (long long)c.c.across.gap, static_cast<int>(c.c.down.padding), (long long)c.count());
  std::exit(1);
}

struct Sum {
  double value = 0, magnitude = 0;
  void add(double term) { value += term, magnitude += std::abs(term); }
};

void compare(const Case& c, const Kernels& kernels, const char* what, const std::vector<Sum>& want,
             const std::vector<float>& got) {
  for (size_t i = 0; i < want.size(); i++) {
    if (std::abs(got[i] - want[i].value) <= 1e-5 * (1e-3 + want[i].magnitude)) continue;
    fail(c, kernels, what, static_cast<int64_t>(i), got[i], want[i].value);
  }
}

void check(const Kernels& kernels, Case& k) {
  const Convolution& c = k.c;
  std::vector<Sum> y(k.y.size()), dx(k.x.size()), dw(c.w.capacity), dbias(c.w.n_out);
  std::vector<float> dy = k.dy;
  for (size_t i = 0; i < dy.size(); i++) {
    if (k.relu && !(k.y[i] > 0)) dy[i] = 0;
    if (!k.bias.empty()) y[i].add(k.bias[i % c.w.n_out]);
    dbias[i % c.w.n_out].add(dy[i]);
  }
  const int64_t inner = c.group_channels(), outer = c.w.n_out / c.groups;
  for (int64_t n = 0; n < k.count(); n++) {
    const int64_t tap = k.inputs[n] / inner, channel = k.inputs[n] % inner + k.outputs[n] / outer * inner;
    const int64_t ky = tap / c.across.size, kx = tap % c.across.size;
    for (int64_t s = 0; s < k.in.batch; s++) {
      for (int64_t oy = 0; oy < k.out.height; oy++) {
        for (int64_t ox = 0; ox < k.out.width; ox++) {
          const int64_t iy = oy * c.down.stride + ky * c.down.gap - c.down.before(k.in.height);
          const int64_t ix = ox * c.across.stride + kx * c.across.gap - c.across.before(k.in.width);
          if (iy < 0 || ix < 0 || iy >= k.in.height || ix >= k.in.width) continue;
          const int64_t i = ((s * k.in.height + iy) * k.in.width + ix) * c.channels + channel;
          const int64_t o = ((s * k.out.height + oy) * k.out.width + ox) * c.w.n_out + k.outputs[n];
          y[o].add(double(k.values[n]) * k.x[i]);
          dx[i].add(double(k.values[n]) * dy[o]);
          dw[n].add(double(k.x[i]) * dy[o]);
        }
      }
    }
  }
  for (Sum& sum : y) sum.value = k.relu && sum.value < 0 ? 0 : sum.value;
  std::vector<float> got_y(y.size(), 7.0f), got_dx(dx.size(), 7.0f), only_dx = got_dx;
  std::vector<float> got_dw(c.w.capacity, 7.0f), only_dw = got_dw, got_dbias(c.w.n_out, 7.0f);
  float* gate = k.relu ? k.y.data() : nullptr;
  const Images x = Case::with(k.in, k.x), right = Case::with(k.out, k.dy);
  const Finish finish{k.bias.empty() ? nullptr : k.bias.data(), k.relu};
  const bool fine =
      convolve(kernels, c, x, Case::with(k.out, got_y), finish) == Status::ok &&
      gradients(kernels, c, {x, right, Case::with(k.in, got_dx), got_dw.data(), gate, got_dbias.data()}) == Status::ok &&
      gradients(kernels, c, {x, right, Case::with(k.in, only_dx), nullptr, gate, nullptr}) == Status::ok &&
      gradients(kernels, c, {x, right, {}, only_dw.data(), gate, nullptr}) == Status::ok;
  if (!fine) fail(k, kernels, "status", 0, 0, 0);
  compare(k, kernels, "y", y, got_y);
  compare(k, kernels, "dx", dx, got_dx);
  compare(k, kernels, "dx alone", dx, only_dx);
  compare(k, kernels, "dw", dw, got_dw);
  compare(k, kernels, "dw alone", dw, only_dw);
  compare(k, kernels, "dbias", dbias, got_dbias);
}

// Whatever the index holds, nothing outside the buffers is touched; the sanitizer watches.
void attack(const Kernels& kernels, Random& random, Case k) {
  const int64_t capacity = k.c.w.capacity;
  const int64_t bad[] = {-1, 1, capacity + 1, capacity * 3 + 7, int64_t{1} << 40, std::numeric_limits<int64_t>::max(),
                         std::numeric_limits<int64_t>::min()};
  for (int64_t n = pick(random, 1, 3); n > 0; n--) {
    const int64_t place = pick(random, 0, 2);
    if (place == 0) k.rows[pick(random, 0, static_cast<int64_t>(k.rows.size()) - 1)] = bad[pick(random, 0, 6)];
    if (place == 1 && !k.ids16.empty()) k.ids16[pick(random, 0, capacity - 1)] = static_cast<uint16_t>(pick(random, 0, 65535));
    if (place == 2 && !k.ids32.empty()) k.ids32[pick(random, 0, capacity - 1)] = static_cast<uint32_t>(random());
  }
  k.point();
  std::vector<float> y(k.y.size()), dx(k.x.size()), dw(capacity), dbias(k.c.w.n_out);
  const Images x = Case::with(k.in, k.x), right = Case::with(k.out, k.dy);
  convolve(kernels, k.c, x, Case::with(k.out, y));
  gradients(kernels, k.c, {x, right, Case::with(k.in, dx), dw.data(), nullptr, dbias.data()});
  gradients(kernels, k.c, {x, right, Case::with(k.in, dx), nullptr, nullptr, nullptr});
  gradients(kernels, k.c, {x, right, {}, dw.data(), k.y.data(), nullptr});
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 100;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  for (int place = 0; available_kernels(place); place++) {
    const Kernels& kernels = *find_kernels(available_kernels(place));
    Random random(seed);
    for (int n = 0; n < cases; n++) {
      set_thread_count(static_cast<int>(pick(random, 1, 5)));
      Case c(random);
      check(kernels, c);
      attack(kernels, random, c);
    }
    std::printf("%s: %d cases\n", kernels.name, cases);
    std::vector<std::thread> together;  // convolutions that want the workers at once
    for (uint64_t t = 0; t < 4; t++) {
      together.emplace_back([&, t] {
        Random own(seed + 100 + t);
        for (int n = 0; n < cases / 8; n++) {
          Case c(own);
          check(kernels, c);
        }
      });
    }
    for (auto& thread : together) thread.join();
    std::printf("%s: %d cases in 4 threads\n", kernels.name, cases / 8 * 4);
  }
}
