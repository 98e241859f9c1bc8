#include "recurrent.h"

#include "parts.h"

namespace keras_sparse {
namespace {

constexpr int64_t kHeader = 16;  // floats before the frames; the first is the size of tiles

int64_t connections(const Recurrence& r) { return connections(r.kernel) + connections(r.recurrent); }

int threads_for(const Recurrence& r, int64_t batch, int64_t time) {
  return (connections(r) + r.kernel.n_in + r.frame()) * batch * time < kSmallWork ? 1 : thread_count();
}

// The tiles of a batch: every thread takes some of them through all of time, so that no thread waits for another.
Tiles cut(const Kernels& kernels, const Recurrence& r, int64_t batch, int threads) {
  int size = tile_size(std::max(kernels.widest_scatter, kernels.widest_gather), batch, threads);
  while (tile_samples(size) > 16 && r.sums() * row_bytes(size) > kFarSums) size++;
  return Tiles(batch, size);
}

// One tile on its way through time.
class Walk {
 public:
  Walk(const Kernels& kernels, const Recurrence& r, const Steps& steps, const Tiles& tiles, const Tile& tile)
      : kernels_(kernels), r_(r), steps_(steps), tile_(tile), samples_(tiles.samples(tile)),
        width_(tile_samples(tile.size)) {}

  int64_t width() const { return width_; }

  // Row s of what is [batch, of, features], at place t.
  Rows rows(void* data, int64_t of, int64_t features, int64_t t) const {
    const int64_t place = (tile_.first * of + t) * features * element_bytes(steps_.x.element);
    return {static_cast<char*>(data) + place, of * features, samples_};
  }
  void pack(const Rows& from, int64_t features, float* panel) const {
    kernels_.pack[tile_.size][static_cast<int>(steps_.x.element)](from, nullptr, 0, features, panel);
  }
  void unpack(const float* panel, int64_t features, const Rows& to) const {
    kernels_.unpack[tile_.size][static_cast<int>(steps_.x.element)](panel, 0, features, to);
  }
  void pack_input(int64_t step, float* panel) const {
    pack(rows(steps_.x.data, steps_.time, r_.kernel.n_in, at(step)), r_.kernel.n_in, panel);
  }
  void pack_state(const void* data, float* panel) const {
    pack(rows(const_cast<void*>(data), 1, r_.units(), 0), r_.units(), panel);
  }

  // Fills `buffer` with the samples for which a step counts, or returns null where it does for all. Samples that only
  // fill the tile never count: their states stay zero, whatever the weights are.
  const float* live(int64_t step, float* buffer) const {
    bool all = samples_ == width_;
    for (int64_t s = 0; s < width_; s++) {
      const bool counts = s < samples_ && (!steps_.live || steps_.live[(tile_.first + s) * steps_.time + at(step)]);
      buffer[s] = counts ? 1.0f : 0.0f;
      all = all && counts;
    }
    return all ? nullptr : buffer;
  }

  // sums += panel W
  void add(const Junction& w, const float* panel, float* sums, int64_t* cursor) const {
    const int64_t part = near_part(w, tile_.size);
    for (int64_t b = 0; b < w.blocks; b++) {
      scatter_block(kernels_, w, b, tile_.size, part, panel, sums + w.first_output(b) * width_, cursor);
    }
  }
  // dx += sums Wᵀ, and dw, set when `first`; without dx where that is null.
  void gather(const Junction& w, const float* panel, const float* sums, float* dx, float* dw, bool first) const {
    for (int64_t b = 0; b < w.blocks; b++) {
      kernels_.gather[tile_.size][w.wide](w, b, 0, w.n_in, panel, sums + w.first_output(b) * width_, dx, dw, first);
    }
  }
  void begin(const float* bias, float* sums) const { kernels_.begin[tile_.size](bias, r_.sums(), sums); }
  // to += Σ over the samples
  void add_samples(const float* sums, float* scratch, float* to) const {
    kernels_.lane_sums[tile_.size](sums, r_.sums(), scratch);
    for (int64_t f = 0; f < r_.sums(); f++) to[f] += scratch[f];
  }

 private:
  int64_t at(int64_t step) const { return r_.backwards ? steps_.time - 1 - step : step; }

  const Kernels& kernels_;
  const Recurrence& r_;
  const Steps& steps_;
  const Tile tile_;
  const int64_t samples_, width_;
};

// The parts of a frame.
struct Frame {
  float *gates, *c, *h;
  Frame(const Recurrence& r, int64_t width, float* frame)
      : gates(frame), c(frame + r.gates() * width), h(frame + (r.frame() - r.units()) * width) {}
};

int64_t cursor_floats(const Recurrence& r) { return Scratch::rounded(2 * std::max(r.kernel.n_in, r.units())); }

// Memory of a thread, by the widest tile.
struct ForwardScratch {
  static int64_t floats(const Recurrence& r, int64_t width) {
    return Scratch::rounded(r.kernel.n_in * width) + 2 * Scratch::rounded(r.units() * width) + kTileLive +
           cursor_floats(r) + Scratch::rounded(state(r) * width) + 2 * Scratch::rounded(r.frame() * width);
  }
  ForwardScratch(const Recurrence& r, int64_t width, float* memory)
      : x(memory),
        h(x + Scratch::rounded(r.kernel.n_in * width)),
        c(h + Scratch::rounded(r.units() * width)),
        live(c + Scratch::rounded(r.units() * width)),
        cursor(reinterpret_cast<int64_t*>(live + kTileLive)),
        state_sums(live + kTileLive + cursor_floats(r)),
        frames(state_sums + Scratch::rounded(state(r) * width)) {}
  static int64_t state(const Recurrence& r) { return r.cell == Cell::gru ? r.sums() : 0; }

  static constexpr int64_t kTileLive = 128;
  float *x, *h, *c, *live;
  int64_t* cursor;
  float *state_sums, *frames;
};

void forward(const Kernels& kernels, const Recurrence& r, const Steps& steps, const Walk& walk, bool every, void* y,
             void* c, float* saved, const ForwardScratch& scratch) {
  const int64_t width = walk.width(), floats = r.frame() * width, units = r.units();
  const RecurrentKernels& k = kernels.recurrent;
  walk.pack_state(steps.h, scratch.h);
  if (r.remembers()) walk.pack_state(steps.c, scratch.c);
  const float *h = scratch.h, *carry = scratch.c;
  for (int64_t t = 0; t < steps.time; t++) {
    const Frame now(r, width, saved ? saved + t * floats : scratch.frames + t % 2 * Scratch::rounded(floats));
    const float* live = walk.live(t, scratch.live);
    walk.pack_input(t, scratch.x);
    float* sums = r.cell == Cell::simple ? now.h : now.gates;
    float* state_sums = r.cell == Cell::gru ? scratch.state_sums : sums;
    walk.begin(r.bias, sums);
    walk.add(r.kernel, scratch.x, sums, scratch.cursor);
    if (r.cell == Cell::gru) walk.begin(r.recurrent_bias, state_sums);
    walk.add(r.recurrent, h, state_sums, scratch.cursor);
    if (r.cell == Cell::lstm) k.lstm(units, width, live, carry, h, now.gates, now.c, now.h);
    if (r.cell == Cell::gru) k.gru(units, width, live, h, state_sums, now.gates, now.h);
    if (r.cell == Cell::simple) k.simple(units, width, live, h, now.h);
    h = now.h;
    carry = now.c;
    if (every) walk.unpack(h, units, walk.rows(y, steps.time, units, t));
  }
  if (!every) walk.unpack(h, units, walk.rows(y, 1, units, 0));
  if (r.remembers()) walk.unpack(carry, units, walk.rows(c, 1, units, 0));
}

struct BackwardScratch {
  static int64_t floats(const Recurrence& r, int64_t width) {
    return 2 * Scratch::rounded(r.kernel.n_in * width) + 5 * Scratch::rounded(r.units() * width) +
           2 * Scratch::rounded(r.sums() * width) + 3 * Scratch::rounded(r.sums()) + ForwardScratch::kTileLive +
           Scratch::rounded(r.kernel.capacity) + Scratch::rounded(r.recurrent.capacity);
  }
  BackwardScratch(const Recurrence& r, int64_t width, float* memory) {
    const auto take = [&memory](int64_t count) {
      float* taken = memory;
      memory += Scratch::rounded(count);
      return taken;
    };
    for (float** panel : {&x, &dx}) *panel = take(r.kernel.n_in * width);
    for (float** panel : {&h, &c, &dh, &dc, &dy}) *panel = take(r.units() * width);
    for (float** panel : {&sums, &state_sums}) *panel = take(r.sums() * width);
    for (float** vector : {&sample_sums, &dbias, &drecurrent_bias}) *vector = take(r.sums());
    live = take(ForwardScratch::kTileLive);
    dkernel = take(r.kernel.capacity);
    drecurrent = take(r.recurrent.capacity);
  }
  float *x, *dx, *h, *c, *dh, *dc, *dy, *sums, *state_sums, *sample_sums, *dbias, *drecurrent_bias, *live, *dkernel,
      *drecurrent;
};

// One tile's backward; `first` sets the thread's gradients of the weights.
void backward(const Kernels& kernels, const Recurrence& r, const Steps& steps, const RecurrentBackward& g,
              const Walk& walk, const float* saved, bool first, const BackwardScratch& own) {
  const int64_t width = walk.width(), floats = r.frame() * width, units = r.units();
  const RecurrentKernels& k = kernels.recurrent;
  walk.pack_state(steps.h, own.h);
  if (r.remembers()) walk.pack_state(steps.c, own.c);
  if (g.every) {
    zero(own.dh, units * width);
  } else {
    walk.pack_state(g.dy, own.dh);
  }
  if (r.remembers()) walk.pack_state(g.dc, own.dc);
  for (int64_t t = steps.time - 1; t >= 0; t--) {
    const Frame now(r, width, const_cast<float*>(saved) + t * floats);
    const Frame before(r, width, const_cast<float*>(saved) + (t - 1) * floats * (t > 0));
    const float *h = t ? before.h : own.h, *c = t ? before.c : own.c;
    if (g.every) {
      walk.pack(walk.rows(const_cast<void*>(g.dy), steps.time, units, t), units, own.dy);
      for (int64_t f = 0; f < units * width; f++) own.dh[f] += own.dy[f];
    }
    const float* live = walk.live(t, own.live);
    float* state_sums = r.cell == Cell::gru ? own.state_sums : own.sums;
    if (r.cell == Cell::lstm) k.lstm_gradients(units, width, live, c, now.gates, now.c, own.dh, own.dc, own.sums);
    if (r.cell == Cell::gru) k.gru_gradients(units, width, live, h, now.gates, own.dh, own.sums, state_sums);
    if (r.cell == Cell::simple) k.simple_gradients(units, width, live, now.h, own.dh, own.sums);
    walk.gather(r.recurrent, h, state_sums, own.dh, own.drecurrent, first);
    walk.pack_input(t, own.x);
    if (g.dx) zero(own.dx, r.kernel.n_in * width);
    walk.gather(r.kernel, own.x, own.sums, g.dx ? own.dx : nullptr, own.dkernel, first);
    if (g.dx) {
      const int64_t place = r.backwards ? steps.time - 1 - t : t;
      walk.unpack(own.dx, r.kernel.n_in, walk.rows(g.dx, steps.time, r.kernel.n_in, place));
    }
    if (g.dbias) walk.add_samples(own.sums, own.sample_sums, own.dbias);
    if (g.drecurrent_bias) walk.add_samples(state_sums, own.sample_sums, own.drecurrent_bias);
    first = false;
  }
  walk.unpack(own.dh, units, walk.rows(g.dh, 1, units, 0));
  if (r.remembers()) walk.unpack(own.dc, units, walk.rows(g.dc_before, 1, units, 0));
}

bool sound(const Junction& w) { return connections(w) >= 0 && connections(w) <= w.capacity; }

Status check_index(const Kernels& kernels, const Recurrence& r, Team& team) {
  for (const Junction* w : {&r.kernel, &r.recurrent}) {
    if (!sound(*w)) return Status::bad_index;
    Check check(kernels, *w);
    team.run(check.tasks(), [&](int64_t task, int) { check.run(task); });
    if (check.status() != Status::ok) return check.status();
  }
  return Status::ok;
}

}  // namespace

int64_t saved_floats(const Kernels& kernels, const Recurrence& r, int64_t batch, int64_t time) {
  if (!sound(r.kernel) || !sound(r.recurrent)) return 0;
  return kHeader + cut(kernels, r, batch, threads_for(r, batch, time)).padded() * time * r.frame();
}

Status run(const Kernels& kernels, const Recurrence& r, const Steps& steps, bool every, void* y, void* c,
           float* saved) {
  if (!sound(r.kernel) || !sound(r.recurrent)) return Status::bad_index;
  const int64_t batch = steps.x.batch;
  Team team(threads_for(r, batch, steps.time));
  const Status status = check_index(kernels, r, team);
  if (status != Status::ok) return status;
  // As many as `saved_floats` assumed, however many threads are free.
  const Tiles tiles = cut(kernels, r, batch, threads_for(r, batch, steps.time));
  if (saved) {
    zero(saved, kHeader);
    saved[0] = static_cast<float>(batch ? tiles[0].size : 0);
  }
  if (!batch) return Status::ok;
  const int64_t width = tile_samples(tiles[0].size), floats = ForwardScratch::floats(r, width);
  Scratch scratch;
  if (!scratch.allocate(team, team.threads() * floats)) return Status::no_memory;
  float* memory = scratch.take(0);
  team.run(tiles.count(), [&](int64_t task, int thread) {
    const Tile tile = tiles[task];
    const Walk walk(kernels, r, steps, tiles, tile);
    float* frames = saved ? saved + kHeader + tile.first * steps.time * r.frame() : nullptr;
    forward(kernels, r, steps, walk, every, y, c, frames, ForwardScratch(r, width, memory + thread * floats));
  });
  return Status::ok;
}

Status gradients(const Kernels& kernels, const Recurrence& r, const Steps& steps, const RecurrentBackward& g) {
  if (!sound(r.kernel) || !sound(r.recurrent)) return Status::bad_index;
  const int64_t batch = steps.x.batch, kernel = connections(r.kernel), recurrent = connections(r.recurrent);
  zero(g.dkernel, r.kernel.capacity);
  zero(g.drecurrent, r.recurrent.capacity);
  for (float* bias : {g.dbias, g.drecurrent_bias}) {
    if (bias) zero(bias, r.sums());
  }
  Team team(threads_for(r, batch, steps.time));
  const Status status = check_index(kernels, r, team);
  if (status != Status::ok || !batch) return status;
  const int expected = threads_for(r, batch, steps.time);
  const Tiles tiles = cut(kernels, r, batch, expected);
  if (g.saved[0] != static_cast<float>(tiles[0].size)) return Status::bad_index;
  // Groups of tiles, each with gradients of its own, added up in order: the result does not depend on who was free.
  const int64_t groups = std::min<int64_t>(expected, tiles.count());
  const int64_t width = tile_samples(tiles[0].size), floats = BackwardScratch::floats(r, width);
  Scratch scratch;
  if (!scratch.allocate(team, groups * floats)) return Status::no_memory;
  float* memory = scratch.take(0);
  team.run(groups, [&](int64_t group, int) {
    const BackwardScratch own(r, width, memory + group * floats);
    zero(own.dbias, r.sums());
    zero(own.drecurrent_bias, r.sums());
    if (!steps.time) {
      zero(own.dkernel, kernel);
      zero(own.drecurrent, recurrent);
    }
    const int64_t first = tiles.count() * group / groups, end = tiles.count() * (group + 1) / groups;
    for (int64_t t = first; t < end; t++) {
      const Tile tile = tiles[t];
      const Walk walk(kernels, r, steps, tiles, tile);
      const float* frames = g.saved + kHeader + tile.first * steps.time * r.frame();
      backward(kernels, r, steps, g, walk, frames, t == first, own);
    }
  });
  const BackwardScratch own(r, width, memory);
  add_groups(team, own.dkernel, groups, floats, kernel, g.dkernel);
  add_groups(team, own.drecurrent, groups, floats, recurrent, g.drecurrent);
  if (g.dbias) add_groups(team, own.dbias, groups, floats, r.sums(), g.dbias);
  if (g.drecurrent_bias) add_groups(team, own.drecurrent_bias, groups, floats, r.sums(), g.drecurrent_bias);
  return Status::ok;
}

}  // namespace keras_sparse
