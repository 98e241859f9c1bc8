// Times the native kernels without TensorFlow around them, caches warm; see `make bench-kernels`.
//
//   kernels [shape density% batch threads block]...    such as 784x1000 10 128 2 1000
//
// Prints milliseconds of the forward and of both gradients (medians) and their GFLOP/s, for every instruction set.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "product.h"
#include "thread_pool.h"

using namespace keras_sparse;

namespace {

struct Work {
  std::vector<float> values, x, dy, y, dx, dw;
  std::vector<uint16_t> ids;
  std::vector<int64_t> rows{0};
  Junction w{};
  int64_t batch;

  Work(int64_t n_in, int64_t n_out, double density, int64_t samples, int64_t block) : batch(samples) {
    std::mt19937_64 random(1);
    std::geometric_distribution<int64_t> gap(density);
    const int64_t blocks = (n_out + block - 1) / block;
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t size = std::min(block, n_out - b * block);
      for (int64_t i = 0; i < n_in; i++) {
        for (int64_t o = gap(random); o < size; o += 1 + gap(random)) ids.push_back(static_cast<uint16_t>(o));
        rows.push_back(static_cast<int64_t>(ids.size()));
      }
    }
    std::normal_distribution<float> number;
    const auto fill = [&](std::vector<float>& v, int64_t size) {
      v.resize(static_cast<size_t>(size));
      for (float& f : v) f = number(random);
    };
    fill(values, count());
    fill(dw, count());
    fill(x, batch * n_in);
    fill(dx, batch * n_in);
    fill(y, batch * n_out);
    fill(dy, batch * n_out);
    w = {n_in, n_out, block, blocks, count(), values.data(), ids.data(), rows.data(), false};
  }
  int64_t count() const { return static_cast<int64_t>(ids.size()); }
};

template <class Call>
double milliseconds(Call call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (const auto start = Clock::now(); times.size() < 5 || Clock::now() - start < std::chrono::milliseconds(400);) {
    const auto before = Clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - before).count());
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("    shape      batch  density  threads  set       forward ms  GFLOP/s  backward ms  GFLOP/s\n");
  for (int a = 1; a + 4 < argc; a += 5) {
    long long n_in = 0, n_out = 0;
    if (std::sscanf(argv[a], "%lldx%lld", &n_in, &n_out) != 2) return 1;
    const double percent = std::atof(argv[a + 1]);
    Work work(n_in, n_out, percent / 100, std::atoll(argv[a + 2]), std::atoll(argv[a + 4]));
    set_thread_count(std::atoi(argv[a + 3]));
    for (int place = 0; available_kernels(place); place++) {
      const Kernels& kernels = *find_kernels(available_kernels(place));
      const Activations x{work.x.data(), work.batch}, y{work.y.data(), work.batch};
      const double forward = milliseconds([&] { multiply(kernels, work.w, x, y); });
      const double backward = milliseconds([&] {
        gradients(kernels, work.w,
                  {x, {work.dy.data(), work.batch}, {work.dx.data(), work.batch}, work.dw.data(), nullptr, nullptr});
      });
      const double flops = 2e-6 * static_cast<double>(work.count() * work.batch);
      std::printf("%9s %9lld %7g%% %8s  %-10s %9.3f %8.1f %12.3f %8.1f\n", argv[a], (long long)work.batch, percent,
                  argv[a + 3], kernels.name, forward, flops / forward, backward, 2 * flops / backward);
    }
  }
}
