// Threads for the kernels.
//
// Workers sleep while no product runs. Within a product, which has two parallel parts, they wait for the second by
// spinning for some microseconds: waking a thread takes longer than a small product does. Work is handed out in
// numbered tasks, so a worker that wakes late costs nothing but its help. A thread that asks while another product has
// the workers waits: two products at once drive each other's sums out of the caches and take longer than in turn.
// Results must not depend on who does which task.
#pragma once

#include <cstddef>
#include <cstdint>

namespace keras_sparse {

// Threads a product may use, the caller's included.
int thread_count();
// 0: as many as processors this process may run on.
void set_thread_count(int threads);

class Team {
 public:
  // The workers, for as long as this object lives, when they are free; `threads` at most. One thread needs none.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Number of threads that `run` may use at once, the caller's included; `run` numbers them from 0.
  int threads() const { return threads_; }

  // Calls task(number, thread) for every number in [0, tasks), and returns when all are done.
  template <class Task>
  void run(int64_t tasks, const Task& task) {
    run_tasks(tasks, &task, [](const void* t, int64_t number, int thread) {
      (*static_cast<const Task*>(t))(number, thread);
    });
  }

  // Memory for the product, 64-byte aligned, uninitialised; null if there is none. Each call frees what the last
  // call gave. Up to 64 MiB is kept for the next product that has the workers.
  void* memory(size_t bytes);

 private:
  typedef void (*Call)(const void* task, int64_t number, int thread);
  void run_tasks(int64_t tasks, const void* task, Call call);

  int threads_;
  bool has_workers_ = false;
  void* own_memory_ = nullptr;
};

}  // namespace keras_sparse
