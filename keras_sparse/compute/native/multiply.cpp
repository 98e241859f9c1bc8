#include "parts.h"

namespace keras_sparse {
namespace {

// How to go through a block: `part` outputs at a time, so that the sums stay near, or all at once.
struct Plan {
  int size;  // of tiles
  int64_t part;

  // `threads`: that have panels of their own.
  Plan(const Kernels& kernels, const Junction& w, int64_t batch, int64_t parts, int threads)
      : size(panel_tile_size(w.n_in, tile_size(kernels.widest_scatter, batch, parts), threads)), part(w.block) {
    // A smaller tile pays only where parts would pay anywhere.
    const bool smaller = size + 1 < kTileSizes && !goes_in_near_parts(w, size) && fills_rows(w, size + 1, kFarRow);
    if (smaller) size++;
    if (goes_in_near_parts(w, size)) {
      part = near_part(w, size);
      return;
    }
    size = far_tile_size(w, size);
  }
};

// One block for one tile; needs sums for a block and, if it goes in parts, a place in each row.
class Block {
 public:
  Block(const Kernels& kernels, const Junction& w, const Plan& plan, const Finish& finish)
      : kernels_(kernels), w_(w), plan_(plan), finish_(finish) {}

  int64_t sums_floats() const { return Scratch::rounded(w_.block * tile_samples(plan_.size)); }
  int64_t floats() const { return sums_floats() + (plan_.part < w_.block ? Scratch::rounded(2 * w_.n_in) : 0); }

  void run(int64_t b, const Tiles& tiles, const Tile& tile, const float* panel, float* scratch,
           const Activations& y) const {
    const int64_t outputs = w_.block_size(b);
    kernels_.begin[tile.size](finish_.bias ? finish_.bias + w_.first_output(b) : nullptr, outputs, scratch);
    scatter_block(kernels_, w_, b, tile.size, plan_.part, panel, scratch,
                  reinterpret_cast<int64_t*>(scratch + sums_floats()));
    if (finish_.relu) kernels_.rectify(scratch, outputs * tile_samples(tile.size));
    unpack(kernels_, scratch, outputs, y, w_.n_out, tiles, tile, w_.first_output(b));
  }

 private:
  const Kernels& kernels_;
  const Junction& w_;
  const Plan& plan_;
  const Finish& finish_;
};

// Each task is a tile from beginning to end.
Status multiply_tiles(const Kernels& kernels, const Junction& w, const Activations& x, const Activations& y,
                      const Finish& finish, Team& team) {
  const Plan plan(kernels, w, x.batch, team.threads(), team.threads());
  const Tiles tiles(x.batch, plan.size);
  const Block block(kernels, w, plan, finish);
  const int64_t panel_floats = Scratch::rounded(w.n_in * tile_samples(plan.size));
  Scratch scratch;
  if (!scratch.allocate(team, team.threads() * (panel_floats + block.floats()))) return Status::no_memory;
  float* memory = scratch.take(0);
  const Source source{x, w.n_in};
  Check check(kernels, w);
  team.run(tiles.count(), [&](int64_t task, int thread) {
    const Tile tile = tiles[task];
    float* panel = memory + thread * (panel_floats + block.floats());
    source.pack(kernels, tiles, tile, 0, w.n_in, panel);
    for (int64_t b = 0; b < w.blocks; b++) {
      if (!check.part(b, 0, w.n_in)) return;
      block.run(b, tiles, tile, panel, panel + panel_floats, y);
    }
  });
  return check.status();
}

// A group of tiles is packed first; then each task is a block of outputs for a tile.
Status multiply_blocks(const Kernels& kernels, const Junction& w, const Activations& x, const Activations& y,
                       const Finish& finish, Team& team) {
  const int64_t least = divide_up(team.threads(), w.blocks);  // tiles that keep all threads busy
  const Plan plan(kernels, w, x.batch, least, 1);
  const Tiles tiles(x.batch, plan.size);
  const Block block(kernels, w, plan, finish);
  Group group(tiles, plan.size, w.n_in, least);
  const int64_t panels = Scratch::rounded(group.samples(plan.size) * w.n_in);
  Scratch scratch;
  if (!scratch.allocate(team, panels + team.threads() * block.floats())) return Status::no_memory;
  const Packing packing{{x, w.n_in}, group, scratch.take(panels)};
  float* memory = scratch.take(0);
  Check check(kernels, w);
  for (; group; group.next()) {
    const int64_t checks = group.first ? 0 : check.tasks();
    team.run(packing.tasks() + checks, [&](int64_t task, int) {
      task < packing.tasks() ? packing.run(kernels, task) : check.run(task - packing.tasks());
    });
    if (check.status() != Status::ok) return check.status();
    team.run(w.blocks * group.count, [&](int64_t task, int thread) {
      const Tile tile = tiles[group.first + task % group.count];
      block.run(task / group.count, tiles, tile, packing.panel(tile), memory + thread * block.floats(), y);
    });
  }
  return Status::ok;
}

// One sample needs no panels.
Status multiply_one(const Kernels& kernels, const Junction& w, const Activations& x, const Activations& y,
                    const Finish& finish) {
  Team team(threads_for(w, 4));
  // With few blocks the inputs are divided as well, in more parts than threads, as those do not start at once; the
  // parts' sums are added up at the end.
  const int64_t parts = team.threads() == 1 ? 1 : 2 * team.threads();
  const int64_t slices = std::max<int64_t>(1, std::min(divide_up(parts, w.blocks), divide_up(w.n_in, 64)));
  const int64_t sums_floats = Scratch::rounded(w.n_out);
  Scratch scratch;
  if (!scratch.allocate(team, Scratch::rounded(w.n_in) + slices * sums_floats)) return Status::no_memory;
  float *inputs = scratch.take(w.n_in), *sums = scratch.take(slices * sums_floats);
  widen(x, w.n_in, inputs);
  Check check(kernels, w);
  // Checked in strips, so that their ids are still near when they are used.
  const int64_t strip = 1 + 4096 * w.blocks * w.n_in / (1 + connections(w));
  team.run(w.blocks * slices, [&](int64_t task, int) {
    const int64_t b = task / slices, slice = task % slices, end = w.n_in * (slice + 1) / slices;
    float* own = sums + slice * sums_floats + w.first_output(b);
    if (finish.bias && slice == 0) {
      std::memcpy(own, finish.bias + w.first_output(b), w.block_size(b) * sizeof(float));
    } else {
      zero(own, w.block_size(b));
    }
    for (int64_t from = w.n_in * slice / slices; from < end; from += strip) {
      const int64_t to = std::min(from + strip, end);
      if (!check.part(b, from, to)) return;
      kernels.scatter_one[w.wide](w, b, from, to, inputs, own);
    }
  });
  for (int64_t s = 1; s < slices; s++) {
    for (int64_t o = 0; o < w.n_out; o++) sums[o] += sums[s * sums_floats + o];
  }
  if (finish.relu) kernels.rectify(sums, w.n_out);
  narrow(sums, w.n_out, y, 0);
  return check.status();
}

}  // namespace

Status multiply(const Kernels& kernels, const Junction& w, const Activations& x, const Activations& y,
                const Finish& finish) {
  const int64_t count = connections(w);
  if (count < 0 || count > w.capacity) return Status::bad_index;
  if (x.batch == 0 || w.n_out == 0) return Status::ok;
  if (x.batch == 1) return multiply_one(kernels, w, x, y, finish);
  Team team(threads_for(w, x.batch));
  const bool by_tiles = divide_batch(w, x.batch, team.threads());
  return (by_tiles ? multiply_tiles : multiply_blocks)(kernels, w, x, y, finish, team);
}

}  // namespace keras_sparse
