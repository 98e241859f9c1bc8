// Where the pool's threads run. On a machine with few processors the system may put a worker that it wakes on the
// processor of the thread that called it, while one of TensorFlow's threads spins on the other: a product then takes
// twice as long. Only Linux is asked to do better.
#pragma once

#include <atomic>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace keras_sparse {

#if defined(__linux__)

// Asks for short slices of time (Linux 6.12 and later), so that this thread, woken, interrupts one that only spins.
inline void prefer_short_slices() {
#if defined(SYS_sched_setattr) && defined(SYS_sched_getattr)
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t nanoseconds, deadline, period;
  } attributes{};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  attributes.nanoseconds = 100000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
#endif
}

// Keeps workers off the processor of the thread that calls them. With many workers there are other processors, and
// moving them all would take longer than it saves.
class Distance {
 public:
  void join(int worker) {
    if (worker < kMost) workers_[worker].store(static_cast<int>(syscall(SYS_gettid)));
  }

  void keep(int workers) {
    if (workers >= kMost) return;
    const int here = sched_getcpu();
    if (here < 0 || (here == avoided_ && workers == kept_)) return;
    cpu_set_t allowed;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) != 0) return;
    CPU_CLR(here, &allowed);
    if (CPU_COUNT(&allowed) == 0) return;
    for (int t = 1; t <= workers; t++) {
      const int id = workers_[t].load();
      if (id == 0 || sched_setaffinity(id, sizeof allowed, &allowed) != 0) return;
    }
    avoided_ = here;
    kept_ = workers;
  }

 private:
  static constexpr int kMost = 8;

  std::atomic<int> workers_[kMost] = {};
  int avoided_ = -1, kept_ = 0;
};

#else

inline void prefer_short_slices() {}

class Distance {
 public:
  void join(int) {}
  void keep(int) {}
};

#endif

}  // namespace keras_sparse
