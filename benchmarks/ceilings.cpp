// What this machine allows any kernel: products and memory, without an algorithm around them; see `make bench-ceilings`.
//
//   ceilings [threads]
//
// One fused multiply-add on a vector of floats is two operations per float. A sparse product that adds to sums in memory
// (y[o] += w x) can go no faster than "read, add, write"; one that keeps its sums in registers no faster than "read".
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr int kWidth = 16, kChains = 12;  // enough sums at once that none waits for its own last addition
typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));

double gigaflops_of_products() {
  Vector sums[kChains] = {}, factor = Vector{} + 0.999f, step = Vector{} + 1e-3f;
  constexpr int64_t rounds = 40'000'000 / kChains;
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t r = 0; r < rounds; r++) {
    for (auto& sum : sums) {
      sum = sum * factor + step;
      asm volatile("" : "+v"(sum));
    }
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  return 2.0 * kWidth * kChains * rounds / time.count();
}

// Products with numbers from memory of `bytes`, whose sums stay in registers.
double gigaflops_of_reads(int64_t bytes) {
  std::vector<Vector> memory(bytes / sizeof(Vector), Vector{} + 1.0f);
  const int64_t vectors = bytes / sizeof(Vector) / kChains * kChains;
  const Vector* from = memory.data();
  Vector sums[kChains] = {}, factor = Vector{} + 0.5f;
  const int64_t rounds = std::max<int64_t>(1, 20'000'000 / vectors);
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t r = 0; r < rounds; r++) {
    for (int64_t v = 0; v < vectors; v += kChains) {
      for (int c = 0; c < kChains; c++) {
        sums[c] += from[v + c] * factor;
        asm volatile("" : "+v"(sums[c]));
      }
    }
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  return 2.0 * kWidth * vectors * rounds / time.count();
}

// Products that are added to sums in memory of `bytes`.
double gigaflops_of_updates(int64_t bytes) {
  std::vector<Vector> memory(bytes / sizeof(Vector), Vector{} + 1.0f);
  const int64_t vectors = bytes / sizeof(Vector);
  Vector* sums = memory.data();
  Vector factor = Vector{} + 1e-3f, other = Vector{} + 0.5f;
  const int64_t rounds = std::max<int64_t>(1, 20'000'000 / vectors);
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t r = 0; r < rounds; r++) {
    asm volatile("" : "+v"(factor), "+v"(other) : : "memory");
    for (int64_t v = 0; v < vectors; v++) sums[v] += factor * other;
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  return 2.0 * kWidth * vectors * rounds / time.count();
}

// The median of five runs, of all threads together.
double together(int threads, const std::function<double()>& work) {
  std::vector<double> results;
  for (int run = 0; run < 5; run++) {
    std::vector<double> each(threads);
    std::vector<std::thread> team;
    for (int t = 0; t < threads; t++) team.emplace_back([&, t] { each[t] = work(); });
    for (auto& thread : team) thread.join();
    double sum = 0;
    for (const double one : each) sum += one;
    results.push_back(sum);
  }
  std::nth_element(results.begin(), results.begin() + 2, results.end());
  return results[2];
}

}  // namespace

int main(int count, char** arguments) {
  const int most = count > 1 ? std::atoi(arguments[1]) : 2;
  std::printf("GFLOP/s of threads                       ");
  for (int t = 1; t <= most; t *= 2) std::printf("%9d", t);
  const auto row = [most](const char* name, const std::function<double()>& work) {
    std::printf("\n%-41s", name);
    for (int t = 1; t <= most; t *= 2) std::printf("%9.1f", together(t, work));
  };
  row("products in registers", gigaflops_of_products);
  row("one read a product, 16 KB", [] { return gigaflops_of_reads(16 << 10); });
  row("one read a product, 512 KB", [] { return gigaflops_of_reads(512 << 10); });
  row("one read a product, 16 MB", [] { return gigaflops_of_reads(16 << 20); });
  row("read, add, write, 16 KB", [] { return gigaflops_of_updates(16 << 10); });
  row("read, add, write, 512 KB", [] { return gigaflops_of_updates(512 << 10); });
  row("read, add, write, 16 MB", [] { return gigaflops_of_updates(16 << 20); });
  std::printf("\n");
}
