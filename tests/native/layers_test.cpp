// Recurrent layers and contrastive divergence without TensorFlow, for sanitizers: random shapes, hostile indices, and
// several threads at once. The forward of recurrent layers is held against sums in float64, all else of several threads
// against that of one (its numbers are tested from Python). See `make sanitize`.
//
//   layers_test [cases] [seed]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "contrast.h"
#include "recurrent.h"
#include "thread_pool.h"

using namespace keras_sparse;

namespace {

using Random = std::mt19937_64;

int64_t pick(Random& random, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random);
}

// The buffers have exactly the promised length, so that an address sanitizer sees the first step outside.
struct Weights {
  Junction w{};
  std::vector<float> values;
  std::vector<uint16_t> ids;
  std::vector<int64_t> rows{0};
  std::vector<double> matrix;

  Weights(Random& random, int64_t n_in, int64_t n_out) {
    w.n_in = n_in;
    w.n_out = n_out;
    w.block = pick(random, 1, n_out);
    w.blocks = (n_out + w.block - 1) / w.block;
    matrix.resize(n_in * n_out);
    std::bernoulli_distribution connected(std::pow(10.0, -std::uniform_real_distribution<>(0, 1.5)(random)));
    std::normal_distribution<float> number(0, 0.5);
    for (int64_t b = 0; b < w.blocks; b++) {
      for (int64_t i = 0; i < n_in; i++) {
        for (int64_t o = b * w.block; o < std::min((b + 1) * w.block, n_out); o++) {
          if (!connected(random)) continue;
          values.push_back(number(random));
          ids.push_back(static_cast<uint16_t>(o - b * w.block));
          matrix[i * n_out + o] = values.back();
        }
        rows.push_back(static_cast<int64_t>(values.size()));
      }
    }
    w.capacity = static_cast<int64_t>(values.size()) + pick(random, 0, 9);
    values.resize(w.capacity, std::numeric_limits<float>::quiet_NaN());  // the tail must not be read
    ids.resize(w.capacity, 0xffff);
  }
  Junction junction() {
    w.values = values.data();
    w.ids = ids.data();
    w.rows = rows.data();
    return w;
  }
};

int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

struct Case {
  Cell cell;
  int64_t batch, time, n_in, units;
  bool every, backwards, masked;
  Weights kernel, recurrent;
  std::vector<float> x, h, c, dy, dc, bias, recurrent_bias;
  std::vector<unsigned char> live;

  explicit Case(Random& random)
      : cell(static_cast<Cell>(pick(random, 0, 2))),
        batch(pick(random, 0, 1) ? pick(random, 0, 4) : pick(random, 1, 150)),
        time(pick(random, 0, 6)),
        n_in(pick(random, 1, 40)),
        units(pick(random, 1, 50)),
        every(pick(random, 0, 1)),
        backwards(pick(random, 0, 1)),
        masked(pick(random, 0, 1)),
        kernel(random, n_in, gates_of(cell) * units),
        recurrent(random, units, gates_of(cell) * units) {
    std::normal_distribution<float> number;
    const auto fill = [&](std::vector<float>& numbers, int64_t count) {
      for (int64_t i = 0; i < count; i++) numbers.push_back(number(random));
    };
    fill(x, batch * time * n_in), fill(h, batch * units), fill(c, batch * units), fill(dc, batch * units);
    fill(dy, batch * (every ? time : 1) * units);
    if (pick(random, 0, 1)) fill(bias, sums());
    if (cell == Cell::gru && pick(random, 0, 1)) fill(recurrent_bias, sums());
    for (int64_t i = 0; masked && i < batch * time; i++) live.push_back(pick(random, 0, 2) > 0);
  }
  int64_t sums() const { return gates_of(cell) * units; }

  Recurrence recurrence() {
    const auto data = [](std::vector<float>& numbers) { return numbers.empty() ? nullptr : numbers.data(); };
    return {cell, kernel.junction(), recurrent.junction(), data(bias), data(recurrent_bias), backwards};
  }
  Steps steps() {
    return {{x.data(), batch, Element::float32}, time, live.empty() ? nullptr : live.data(), h.data(),
            cell == Cell::lstm ? c.data() : nullptr};
  }
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// h after every step, [batch][time][units].
std::vector<double> reference(const Case& k) {
  std::vector<double> y(k.batch * k.time * k.units);
  for (int64_t s = 0; s < k.batch; s++) {
    std::vector<double> h(k.h.begin() + s * k.units, k.h.begin() + (s + 1) * k.units);
    std::vector<double> c(k.c.begin() + s * k.units, k.c.begin() + (s + 1) * k.units);
    for (int64_t t = 0; t < k.time; t++) {
      const int64_t at = s * k.time + (k.backwards ? k.time - 1 - t : t), u = k.units;
      if (!k.masked || k.live[at]) {
        std::vector<double> a(k.bias.begin(), k.bias.end()), b(k.recurrent_bias.begin(), k.recurrent_bias.end());
        a.resize(k.sums()), b.resize(k.sums());
        for (int64_t o = 0; o < k.sums(); o++) {
          for (int64_t i = 0; i < k.n_in; i++) a[o] += k.kernel.matrix[i * k.sums() + o] * k.x[at * k.n_in + i];
          for (int64_t i = 0; i < u; i++) b[o] += k.recurrent.matrix[i * k.sums() + o] * h[i];
        }
        for (int64_t j = 0; j < u; j++) {
          if (k.cell == Cell::simple) h[j] = std::tanh(a[j] + b[j]);
          if (k.cell == Cell::lstm) {
            c[j] = sigmoid(a[u + j] + b[u + j]) * c[j] + sigmoid(a[j] + b[j]) * std::tanh(a[2 * u + j] + b[2 * u + j]);
            h[j] = sigmoid(a[3 * u + j] + b[3 * u + j]) * std::tanh(c[j]);
          }
          if (k.cell == Cell::gru) {
            const double z = sigmoid(a[j] + b[j]), r = sigmoid(a[u + j] + b[u + j]);
            h[j] = z * h[j] + (1 - z) * std::tanh(a[2 * u + j] + r * b[2 * u + j]);
          }
        }
      }
      std::copy(h.begin(), h.end(), y.begin() + (s * k.time + t) * u);
    }
  }
  return y;
}

[[noreturn]] void fail(const Case& k, const Kernels& kernels, const char* what, double got, double want) {
  std::printf("%s: %s is %g, not %g; cell %d, %lld samples, %lld steps, %lld to %lld, every %d, backwards %d, masked %d\n",
              kernels.name, what, got, want, static_cast<int>(k.cell), (long long)k.batch, (long long)k.time,
              (long long)k.n_in, (long long)k.units, k.every, k.backwards, k.masked);
  std::exit(1);
}

// All gradients, one after another; empty if the op refuses.
std::vector<float> results(const Kernels& kernels, Case& k, std::vector<float>* y) {
  const Recurrence r = k.recurrence();
  const Steps steps = k.steps();
  std::vector<float> saved(saved_floats(kernels, r, k.batch, k.time)), c(k.batch * k.units), unsaved(k.dy.size());
  y->assign(k.dy.size(), 7.0f);
  if (run(kernels, r, steps, k.every, unsaved.data(), c.data(), nullptr) != Status::ok) return {};
  if (saved.empty() || run(kernels, r, steps, k.every, y->data(), c.data(), saved.data()) != Status::ok) return {};
  if (*y != unsaved) fail(k, kernels, "what is not saved", 0, 1);
  std::vector<float> dx(k.x.size()), dh(k.h.size()), dc(k.h.size()), dkernel(k.kernel.w.capacity);
  std::vector<float> drecurrent(k.recurrent.w.capacity), dbias(k.sums()), drecurrent_bias(k.sums());
  RecurrentBackward g{saved.data(), k.dy.data(), k.dc.data(), k.every, dx.data(), dh.data(), dc.data(),
                      dkernel.data(), drecurrent.data(), dbias.data(), drecurrent_bias.data()};
  if (gradients(kernels, r, steps, g) != Status::ok) return {};
  std::vector<float> all{1.0f};
  for (auto* part : {&dx, &dh, &dkernel, &drecurrent, &dbias, &drecurrent_bias}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  return all;
}

// A step of contrastive divergence with the recurrent kernel; all its results, empty if it refuses.
std::vector<float> contrasted(const Kernels& kernels, Case& k) {
  const Junction w = k.recurrent.junction();
  std::vector<float> b(k.units, 0.1f), c(k.sums(), -0.1f), dw(w.capacity), dv(k.units), dh(k.sums()), error(k.batch);
  std::vector<float> energy(k.batch);
  const Contrast step{{k.h.data(), k.batch, Element::float32}, b.data(), c.data(), 1 + k.time % 3, 7, dw.data(),
                      dv.data(), dh.data(), error.data(), energy.data()};
  if (contrast(kernels, w, step) != Status::ok) return {};
  std::vector<float> all{1.0f};
  for (auto* part : {&dw, &dv, &dh, &error, &energy}) all.insert(all.end(), part->begin(), part->end());
  return all;
}

void compare(const Case& k, const Kernels& kernels, const char* what, const std::vector<float>& several,
             const std::vector<float>& one) {
  if (several.size() != one.size() || one.empty()) fail(k, kernels, what, 0, 1);
  for (size_t i = 0; i < one.size(); i++) {
    if (!(std::abs(one[i] - several[i]) <= 1e-3 * (1 + std::abs(one[i])))) fail(k, kernels, what, several[i], one[i]);
  }
}

// The number of threads is everybody's, so only one thread may change it.
void check(const Kernels& kernels, Case& k, bool alone) {
  std::vector<float> y;
  const std::vector<float> several = results(kernels, k, &y);
  if (several.empty()) fail(k, kernels, "status", 0, 0);
  const std::vector<double> want = reference(k);
  for (int64_t i = 0; i < static_cast<int64_t>(y.size()) && k.time; i++) {
    const int64_t s = i / k.units, from = k.every ? i : ((s + 1) * k.time - 1) * k.units + i % k.units;
    if (!(std::abs(y[i] - want[from]) < 1e-4)) fail(k, kernels, "y", y[i], want[from]);
  }
  const std::vector<float> statistics = contrasted(kernels, k);
  if (!alone) return;
  set_thread_count(1);
  compare(k, kernels, "a gradient of several threads", several, results(kernels, k, &y));
  compare(k, kernels, "a statistic of several threads", statistics, contrasted(kernels, k));
}

// Whatever the index holds, nothing outside the buffers is touched; the sanitizer watches.
void attack(const Kernels& kernels, Random& random, Case k) {
  Weights& victim = pick(random, 0, 1) ? k.kernel : k.recurrent;
  const int64_t capacity = victim.w.capacity;
  const int64_t bad[] = {-1, 1, capacity + 1, capacity * 3 + 7, int64_t{1} << 40, std::numeric_limits<int64_t>::max(),
                         std::numeric_limits<int64_t>::min()};
  for (int64_t n = pick(random, 1, 3); n > 0; n--) {
    if (pick(random, 0, 1)) {
      victim.rows[pick(random, 0, static_cast<int64_t>(victim.rows.size()) - 1)] = bad[pick(random, 0, 6)];
    } else if (!victim.ids.empty()) {
      victim.ids[pick(random, 0, capacity - 1)] = static_cast<uint16_t>(pick(random, 0, 65535));
    }
  }
  std::vector<float> y;
  const Recurrence r = k.recurrence();
  std::vector<float> saved(saved_floats(kernels, r, k.batch, k.time));
  y.resize(k.dy.size());
  std::vector<float> c(k.batch * k.units);
  run(kernels, r, k.steps(), k.every, y.data(), c.data(), saved.empty() ? nullptr : saved.data());
  contrasted(kernels, k);
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
      check(kernels, c, true);
      attack(kernels, random, c);
    }
    std::printf("%s: %d cases\n", kernels.name, cases);
    set_thread_count(3);
    std::vector<std::thread> together;  // sequences that want the workers at once
    for (uint64_t t = 0; t < 4; t++) {
      together.emplace_back([&, t] {
        Random own(seed + 100 + t);
        for (int n = 0; n < cases / 8; n++) {
          Case c(own);
          check(kernels, c, false);
        }
      });
    }
    for (auto& thread : together) thread.join();
    std::printf("%s: %d cases in 4 threads\n", kernels.name, cases / 8 * 4);
  }
}
