#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "processors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace keras_sparse {
namespace {

constexpr int kMostThreads = 256;
constexpr int kSpins = 4000;  // some tens of microseconds
constexpr size_t kKeptMemory = size_t{64} << 20;
constexpr size_t kKeptPerThread = size_t{8} << 20;  // if that is more in all
constexpr size_t kAlignment = 64;
constexpr size_t kLargePage = size_t{2} << 20;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Subnormal numbers slow the arithmetic down and are of no use to a network: they count as zero in here.
class FlushSubnormals {
 public:
#if defined(__x86_64__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | (uint64_t{1} << 24)));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#endif
};

// Large memory in large pages where the system has them: sums far apart need many.
void* allocate(size_t bytes) {
  const size_t alignment = bytes < kLargePage ? kAlignment : kLargePage;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes ? bytes : kAlignment) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
  if (bytes >= kLargePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

// One job at a time. `open_` is the number of the job that workers may join, 0 for none.
class Pool {
 public:
  void acquire() { team_mutex_.lock(); }

  void release() {
    team_present_.store(false, std::memory_order_relaxed);
    team_mutex_.unlock();
  }

  void run(int threads, int64_t tasks, const void* task, void (*call)(const void*, int64_t, int)) {
    while (started_ < threads - 1 && start_worker()) {
    }
    task_ = task;
    call_ = call;
    tasks_ = tasks;
    threads_ = threads;
    for (int t = 0; t < threads; t++) shares_[t].next.store(tasks * t / threads, std::memory_order_relaxed);
    team_present_.store(true, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      open_.store(++job_);
    }
    if (sleepers_.load() > 0) {
      distance_.keep(started_);
      wake_.notify_all();
    }
    work(0);
    open_.store(0);
    for (int spin = 0; active_.load() != 0; spin++) {
      if (spin < kSpins) relax(); else std::this_thread::yield();
    }
  }

  void* memory(size_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      memory_ = allocate(bytes);
      size_ = memory_ ? bytes : 0;
    }
    return memory_;
  }

 private:
  bool start_worker() {
    try {
      std::thread(&Pool::worker, this, started_ + 1).detach();
      started_++;
      return true;
    } catch (...) {  // no more threads to be had: the tasks are done by those there are
      return false;
    }
  }

  // Each thread begins with its own share, the same at every product, so that a junction stays in the caches of
  // those who had it before; then it helps the others.
  void work(int thread) {
    FlushSubnormals flush;
    for (int i = 0; i < threads_; i++) {
      const int owner = (thread + i) % threads_;
      const int64_t end = tasks_ * (owner + 1) / threads_;
      for (int64_t n; (n = shares_[owner].next.fetch_add(1, std::memory_order_relaxed)) < end;) {
        call_(task_, n, thread);
      }
    }
  }

  void worker(int thread) {
    distance_.join(thread);
    prefer_short_slices();
    uint64_t done = 0;
    for (;;) {
      const uint64_t job = await(done);
      active_.fetch_add(1);
      // If it was closed meanwhile, its caller does not wait for us.
      if (open_.load() == job && thread < threads_) work(thread);
      active_.fetch_sub(1);
      done = job;
    }
  }

  uint64_t await(uint64_t done) {
    for (int spin = 0; spin < kSpins && team_present_.load(std::memory_order_relaxed); spin++) {
      const uint64_t job = open_.load();
      if (job != 0 && job != done) return job;
      relax();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    uint64_t job;
    wake_.wait(lock, [&] { return (job = open_.load()) != 0 && job != done; });
    sleepers_.fetch_sub(1);
    return job;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::mutex team_mutex_;
  std::atomic<bool> team_present_{false};
  std::atomic<uint64_t> open_{0};
  std::atomic<int> active_{0}, sleepers_{0};
  struct alignas(kAlignment) Share {
    std::atomic<int64_t> next{0};
  };
  Share shares_[kMostThreads];
  Distance distance_;
  uint64_t job_ = 0;
  int started_ = 0, threads_ = 1;
  int64_t tasks_ = 0;
  const void* task_ = nullptr;
  void (*call_)(const void*, int64_t, int) = nullptr;
  void* memory_ = nullptr;
  size_t size_ = 0;
};

std::atomic<Pool*> the_pool{nullptr};

// Never destroyed: its workers sleep in it when the process ends. After a fork the child has none of them and
// makes a pool of its own.
Pool* pool() {
  Pool* known = the_pool.load(std::memory_order_acquire);
  if (known) return known;
#if defined(__unix__) || defined(__APPLE__)
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); }); });
#endif
  Pool* made = new (std::nothrow) Pool;
  if (made && !the_pool.compare_exchange_strong(known, made)) {
    delete made;
    made = known;
  }
  return made;
}

int processors() {
  static const unsigned n = std::thread::hardware_concurrency();  // those this process may run on; a system call
  return n ? static_cast<int>(n) : 1;
}

std::atomic<int> wanted_threads{0};

}  // namespace

int thread_count() {
  const int wanted = wanted_threads.load(std::memory_order_relaxed);
  const int count = wanted > 0 ? wanted : processors();
  return count < kMostThreads ? count : kMostThreads;
}

void set_thread_count(int threads) { wanted_threads.store(threads, std::memory_order_relaxed); }

Team::Team(int threads) : threads_(threads) {
  if (threads_ > 1 && pool()) {
    pool()->acquire();
    has_workers_ = true;
  } else {
    threads_ = 1;
  }
}

Team::~Team() {
  if (has_workers_) pool()->release();
  std::free(own_memory_);
}

void Team::run_tasks(int64_t tasks, const void* task, Call call) {
  if (has_workers_ && tasks > 1) return pool()->run(threads_, tasks, task, call);
  FlushSubnormals flush;
  for (int64_t n = 0; n < tasks; n++) call(task, n, 0);
}

void* Team::memory(size_t bytes) {
  if (has_workers_ && bytes <= std::max(kKeptMemory, threads_ * kKeptPerThread)) return pool()->memory(bytes);
  std::free(own_memory_);
  return own_memory_ = allocate(bytes);
}

}  // namespace keras_sparse
