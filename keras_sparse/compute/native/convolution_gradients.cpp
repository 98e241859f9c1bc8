#include "convolution_parts.h"

namespace keras_sparse {
namespace {

// Tasks are bands of rows of the input, counted by phase: row r of phase p is row r · stride + p - (zeros before).
class Gradients {
 public:
  Gradients(const Kernels& kernels, const Convolution& c, const ConvolutionBackward& g, int threads)
      : kernels_(kernels.convolution), c_(c), g_(g), input_(g.dx.data ? g.dx : g.x),
        chunk_(kernels_.backward, divide_up(input_.height, c.down.stride), divide_up(input_.width, c.across.stride)),
        tasks_(g.dy.batch, kernels_.lanes, places(c.down, input_.height), c.down.most_shift(), row_bytes(), threads),
        planes_(kernels_.lanes, tasks_.band + c.down.most_shift(), columns()),
        shift_(block_shift(c.filters(), window_bytes(), double(connections(c.w)) / (c.channels * c.filters()))),
        blocks_(divide_up(c.filters(), int64_t{1} << shift_)),
        which_(!g.dw ? 1 : g.dx.data ? 0 : 2) {}

  int64_t tasks() const { return tasks_.count(); }
  int64_t planes_floats() const { return Scratch::rounded(c_.filters() * planes_.floats); }
  int64_t keys() const { return blocks_ * c_.phases() * c_.channels; }
  // Of a thread.
  int64_t floats() const { return planes_floats() + 2 * chunk_floats(); }

  void sort(Team& team, Sorted& sorted) const { sorted.fill(team, c_, keys(), divide_up(c_.channels, 8), *this); }

  // What a connection's key and offset are made of.
  Sorted::Place of(int64_t ky, int64_t kx, int64_t channel) const {
    return {list(0, c_.down.phase(ky), c_.across.phase(kx)) + channel,
            planes_.at(c_.down.most_shift() - c_.down.shift(ky), c_.across.most_shift() - c_.across.shift(kx))};
  }
  Sorted::Place of(int64_t filter) const { return {list(filter >> shift_, 0, 0), filter * planes_.floats}; }

  void run(int64_t task, const Sorted& sorted, float* scratch, float* dw, float* dbias) const {
    const int64_t group = tasks_.group(task), from = tasks_.begin(task), to = tasks_.end(task);
    pack(group, from, to, scratch);
    if (dbias) {
      kernels_.total(scratch + planes_.at(c_.down.most_shift(), c_.across.most_shift()), planes_.floats, c_.filters(),
                     std::min(to, g_.dy.height) - from, planes_.row(), g_.dy.width, dbias);
    }
    for (int64_t py = 0; py < c_.down.stride; py++) {
      const int64_t first = std::max(from, start(c_.down, input_.height, py));
      const int64_t end = std::min(to, stop(c_.down, input_.height, py));
      for (int64_t r = first; r < end; r += chunk_.rows) {
        const int rows = static_cast<int>(std::min<int64_t>(chunk_.rows, end - r));
        for (int64_t px = 0; px < c_.across.stride; px++) {
          const int64_t left = start(c_.across, input_.width, px), right = stop(c_.across, input_.width, px);
          if (left >= right) continue;
          const Cut columns(right - left, chunk_.columns);
          for (int64_t part = 0; part < columns.parts; part++) {
            const int64_t q = left + columns.begin(part), count = columns.begin(part + 1) - columns.begin(part);
            chunk(group, {r, q, r - from, py, px, rows, count}, sorted, scratch, dw);
          }
        }
      }
    }
  }

 private:
  struct Place {
    int64_t r, q, below, py, px, rows, columns;  // below: rows after the first of the band
  };

  // Number of places along an axis, and where those of a phase begin and end that are within the input.
  static int64_t places(const Window& w, int64_t length) { return (w.before(length) + length - 1) / w.stride + 1; }
  static int64_t start(const Window& w, int64_t length, int64_t phase) {
    return divide_up(std::max<int64_t>(0, w.before(length) - phase), w.stride);
  }
  static int64_t stop(const Window& w, int64_t length, int64_t phase) {
    return divide_up(std::max<int64_t>(0, w.before(length) + length - phase), w.stride);
  }

  int64_t columns() const { return places(c_.across, input_.width) + c_.across.most_shift(); }
  int64_t row_bytes() const { return c_.filters() * columns() * kernels_.lanes * int64_t{sizeof(float)}; }
  int64_t window_bytes() const {
    return (chunk_.rows + c_.down.most_shift()) * (chunk_.columns + c_.across.most_shift()) * kernels_.lanes *
           int64_t{sizeof(float)};
  }
  int64_t chunk_floats() const {
    return Scratch::rounded(c_.channels * chunk_.rows * chunk_.columns * planes_.lanes);
  }
  int64_t list(int64_t block, int64_t py, int64_t px) const {
    return ((block * c_.down.stride + py) * c_.across.stride + px) * c_.channels;
  }

  // What input rows [from, to) are seen by.
  void pack(int64_t group, int64_t from, int64_t to, float* planes) const {
    const int64_t before = c_.across.most_shift(), after = std::min(planes_.columns, before + g_.dy.width);
    for (int64_t r = 0; r < to - from + c_.down.most_shift(); r++) {
      const int64_t y = from + r - c_.down.most_shift();
      const bool outside = y < 0 || y >= g_.dy.height;
      const int64_t first = outside ? planes_.columns : before, end = outside ? planes_.columns : after;
      float* row = planes + planes_.at(r, 0);
      for (int64_t filter = 0; filter < c_.filters(); filter++) {
        float* own = row + filter * planes_.floats;
        zero(own, first * planes_.lanes);
        zero(own + end * planes_.lanes, (planes_.columns - end) * planes_.lanes);
      }
      if (outside) continue;
      const Pixels dy = pixels(g_.dy, planes_.lanes, group, y, 0, 1, end - first);
      kernels_.pack(dy, g_.gate ? g_.gate + (dy.data - g_.dy.data) : nullptr, c_.filters(),
                    row + first * planes_.lanes, planes_.floats);
    }
  }

  void chunk(int64_t group, const Place& p, const Sorted& sorted, float* planes, float* dw) const {
    float *x = planes + planes_floats(), *dx = x + chunk_floats();
    const int64_t plane = p.rows * p.columns * planes_.lanes;
    if (g_.dw) {
      for (int64_t r = 0; r < p.rows; r++) {
        kernels_.pack(input(g_.x, group, p, r), nullptr, c_.channels, x + r * p.columns * planes_.lanes, plane);
      }
    }
    const auto backward = kernels_.backwards[which_][p.rows - 1][p.columns - 1];
    const float* window = planes + planes_.at(p.below, p.q);
    for (int64_t b = 0; b < blocks_; b++) {
      backward(sorted.taps, sorted.starts + list(b, p.py, p.px), c_.channels, window, planes_.row(), x, b == 0, dx, dw);
    }
    if (!g_.dx.data) return;
    for (int64_t r = 0; r < p.rows; r++) {
      kernels_.unpack(dx + r * p.columns * planes_.lanes, plane, c_.channels, input(g_.dx, group, p, r));
    }
  }

  // Row r of a chunk.
  Pixels input(const Images& a, int64_t group, const Place& p, int64_t r) const {
    return pixels(a, planes_.lanes, group, (p.r + r) * c_.down.stride + p.py - c_.down.before(a.height),
                  p.q * c_.across.stride + p.px - c_.across.before(a.width), c_.across.stride, p.columns);
  }

  const ConvolutionKernels& kernels_;
  const Convolution& c_;
  const ConvolutionBackward& g_;
  const Images& input_;
  const Chunk chunk_;
  const Tasks tasks_;
  const Planes planes_;
  const int shift_;
  const int64_t blocks_;
  const int which_;
};

}  // namespace

Status gradients(const Kernels& kernels, const Convolution& c, const ConvolutionBackward& g) {
  const int64_t count = connections(c.w);
  if (count < 0 || count > c.w.capacity) return Status::bad_index;
  if (g.dw) zero(g.dw + count, c.w.capacity - count);
  if (g.dy.batch == 0 || g.dy.size() == 0) {
    if (g.dw) zero(g.dw, count);
    if (g.dx.data) zero(g.dx.data, g.dx.batch * g.dx.size());
    if (g.dbias) zero(g.dbias, c.filters());
    return Status::ok;
  }
  Team team(threads_for(c, 2 * g.dy.batch * g.dy.height * g.dy.width));
  const Gradients gradients(kernels, c, g, team.threads());
  if (!addressable(gradients.planes_floats())) return Status::no_memory;
  // Each thread's part of the tasks has sums of its own for the connections; they are added up at the end.
  const int64_t tasks = gradients.tasks(), parts = std::min<int64_t>(team.threads(), tasks);
  const int64_t dw_floats = g.dw ? Scratch::rounded(count) : 0;
  const int64_t bias_floats = g.dbias ? Scratch::rounded(tasks * c.filters()) : 0;
  Scratch scratch;
  if (!scratch.allocate(team, Sorted::floats(count, gradients.keys(), g.dw) + bias_floats +
                                  parts * (gradients.floats() + dw_floats))) {
    return Status::no_memory;
  }
  Sorted sorted = Sorted::take(scratch, count, gradients.keys(), g.dw);
  float *sums = scratch.take(parts * dw_floats), *totals = scratch.take(bias_floats), *memory = scratch.take(0);
  Check check(kernels, c.w);
  team.run(check.tasks(), [&](int64_t task, int) { check.run(task); });
  if (check.status() != Status::ok) return check.status();
  gradients.sort(team, sorted);
  team.run(parts, [&](int64_t part, int) {
    float* own = sums + part * dw_floats;
    zero(own, dw_floats);
    for (int64_t task = tasks * part / parts; task < tasks * (part + 1) / parts; task++) {
      gradients.run(task, sorted, memory + part * gradients.floats(), own,
                    g.dbias ? totals + task * c.filters() : nullptr);
    }
  });
  if (g.dbias) add_up(totals, tasks, c.filters(), g.dbias);
  if (!g.dw) return Status::ok;
  const int64_t most = sums_per_task(parts);
  team.run(divide_up(count, most), [&](int64_t task, int) {
    for (int64_t q = task * most; q < std::min(count, (task + 1) * most); q++) {
      float sum = sums[q];
      for (int64_t part = 1; part < parts; part++) sum += sums[part * dw_floats + q];
      g.dw[sorted.source[q]] = sum;
    }
  });
  return Status::ok;
}

}  // namespace keras_sparse
