#include "convolution_parts.h"

namespace keras_sparse {
namespace {

class Forward {
 public:
  Forward(const Kernels& kernels, const Convolution& c, const Images& x, const Images& y, const Finish& finish,
          int threads)
      : kernels_(kernels.convolution), c_(c), x_(x), y_(y), finish_(finish),
        chunk_(chunk()),
        tasks_(x.batch, kernels_.lanes, y.height, c.down.most_shift(), row_bytes(), threads),
        planes_(kernels_.lanes, tasks_.band + c.down.most_shift(), columns()),
        shift_(shift(chunk_)),
        blocks_(divide_up(c.channels, int64_t{1} << shift_)) {}

  int64_t tasks() const { return tasks_.count(); }
  int64_t planes_floats() const { return Scratch::rounded(c_.channels * c_.phases() * planes_.floats); }
  int64_t keys() const { return blocks_ * c_.filters(); }
  // Of a thread.
  int64_t floats() const {
    return planes_floats() + Scratch::rounded(c_.filters() * chunk_.rows * chunk_.columns * planes_.lanes);
  }

  void sort(Team& team, Sorted& sorted) const { sorted.fill(team, c_, keys(), int64_t{1} << shift_, *this); }

  // What a connection's key and offset are made of.
  Sorted::Place of(int64_t ky, int64_t kx, int64_t channel) const {
    return {(channel >> shift_) * c_.filters(), plane(channel, c_.down.phase(ky), c_.across.phase(kx)) +
                                                    planes_.at(c_.down.shift(ky), c_.across.shift(kx))};
  }
  Sorted::Place of(int64_t filter) const { return {filter, 0}; }

  void run(int64_t task, const Sorted& sorted, float* scratch) const {
    const int64_t group = tasks_.group(task), from = tasks_.begin(task), to = tasks_.end(task);
    float* sums = scratch + planes_floats();
    pack(group, from, to, scratch);
    const Cut columns(y_.width, chunk_.columns);
    for (int64_t y = from; y < to; y += chunk_.rows) {
      const int rows = static_cast<int>(std::min<int64_t>(chunk_.rows, to - y));
      for (int64_t part = 0; part < columns.parts; part++) {
        const int64_t x = columns.begin(part), count = columns.begin(part + 1) - x;
        const auto forward = kernels_.forwards[rows - 1][count - 1];
        const float* window = scratch + planes_.at(y - from, x);
        for (int64_t b = 0; b < blocks_; b++) {
          forward(sorted.taps, sorted.starts + b * c_.filters(), c_.filters(), window, planes_.row(), finish_.bias,
                  b == 0, finish_.relu && b + 1 == blocks_, sums);
        }
        for (int64_t r = 0; r < rows; r++) {
          kernels_.unpack(sums + r * count * planes_.lanes, rows * count * planes_.lanes, c_.filters(),
                          pixels(y_, planes_.lanes, group, y + r, x, 1, count));
        }
      }
    }
  }

 private:
  int64_t columns() const { return y_.width + c_.across.most_shift(); }
  int64_t row_bytes() const { return c_.channels * c_.phases() * columns() * kernels_.lanes * int64_t{sizeof(float)}; }
  // Of a channel.
  int64_t window_bytes(const Chunk& chunk) const {
    return c_.phases() * (chunk.rows + c_.down.most_shift()) * (chunk.columns + c_.across.most_shift()) *
           kernels_.lanes * int64_t{sizeof(float)};
  }
  int shift(const Chunk& chunk) const {
    return block_shift(c_.channels, window_bytes(chunk), double(connections(c_.w)) / (c_.channels * c_.filters()));
  }
  // A smaller one where the windows of a block would not stay near.
  Chunk chunk() const {
    const Chunk full(kernels_.forward, y_.height, y_.width);
    if (window_bytes(full) << shift(full) <= near_bytes()) return full;
    return Chunk(kernels_.forward * 3 / 4, y_.height, y_.width);
  }
  int64_t plane(int64_t channel, int64_t py, int64_t px) const {
    return ((channel * c_.down.stride + py) * c_.across.stride + px) * planes_.floats;
  }

  // What the output rows [from, to) of a group of images look at.
  void pack(int64_t group, int64_t from, int64_t to, float* planes) const {
    for (int64_t py = 0; py < c_.down.stride; py++) {
      if (!c_.down.sees(py)) continue;
      for (int64_t r = 0; r < to - from + c_.down.most_shift(); r++) {
        const int64_t y = (from + r) * c_.down.stride + py - c_.down.before(x_.height);
        for (int64_t px = 0; px < c_.across.stride; px++) {
          if (c_.across.sees(px)) pack_row(group, y, px, planes + plane(0, py, px) + planes_.at(r, 0));
        }
      }
    }
  }

  // The columns of phase `px` of row y, zero outside the image.
  void pack_row(int64_t group, int64_t y, int64_t px, float* row) const {
    const int64_t stride = c_.across.stride, before = c_.across.before(x_.width);
    int64_t first = divide_up(std::max<int64_t>(0, before - px), stride);
    int64_t end = std::min(planes_.columns, divide_up(std::max<int64_t>(0, x_.width + before - px), stride));
    if (y < 0 || y >= x_.height || first >= end) first = end = planes_.columns;
    const int64_t all = c_.phases() * planes_.floats;
    for (int64_t channel = 0; channel < c_.channels; channel++) {
      float* own = row + channel * all;
      zero(own, first * planes_.lanes);
      zero(own + end * planes_.lanes, (planes_.columns - end) * planes_.lanes);
    }
    if (first == end) return;
    kernels_.pack(pixels(x_, planes_.lanes, group, y, first * stride + px - before, stride, end - first), nullptr,
                  c_.channels, row + first * planes_.lanes, all);
  }

  const ConvolutionKernels& kernels_;
  const Convolution& c_;
  const Images& x_;
  const Images& y_;
  const Finish& finish_;
  const Chunk chunk_;
  const Tasks tasks_;
  const Planes planes_;
  const int shift_;
  const int64_t blocks_;
};

}  // namespace

Status convolve(const Kernels& kernels, const Convolution& c, const Images& x, const Images& y, const Finish& finish) {
  const int64_t count = connections(c.w);
  if (count < 0 || count > c.w.capacity) return Status::bad_index;
  if (y.batch == 0 || y.size() == 0) return Status::ok;
  Team team(threads_for(c, y.batch * y.height * y.width));
  const Forward forward(kernels, c, x, y, finish, team.threads());
  if (!addressable(forward.planes_floats())) return Status::no_memory;
  Scratch scratch;
  if (!scratch.allocate(team, Sorted::floats(count, forward.keys(), false) + team.threads() * forward.floats())) {
    return Status::no_memory;
  }
  Sorted sorted = Sorted::take(scratch, count, forward.keys(), false);
  float* memory = scratch.take(0);
  Check check(kernels, c.w);
  team.run(check.tasks(), [&](int64_t task, int) { check.run(task); });
  if (check.status() != Status::ok) return check.status();
  forward.sort(team, sorted);
  team.run(forward.tasks(), [&](int64_t task, int thread) {
    forward.run(task, sorted, memory + thread * forward.floats());
  });
  return Status::ok;
}

}  // namespace keras_sparse
