#include "contrast.h"

#include "parts.h"

namespace keras_sparse {
namespace {

// A key for every Gibbs step of a seed: the finaliser of SplitMix64 (Steele et al. 2014).
uint32_t key_of(uint64_t seed, int64_t step) {
  uint64_t z = seed + static_cast<uint64_t>(step + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

// What a group of tiles works with, and its sums.
struct Own {
  static int64_t floats(const Junction& w, int64_t width) {
    return 2 * Scratch::rounded(w.n_in * width) + 3 * Scratch::rounded(w.n_out * width) + 2 * kLanes +
           Scratch::rounded(2 * w.n_in) + 2 * Scratch::rounded(w.n_in) + 2 * Scratch::rounded(w.n_out) +
           Scratch::rounded(w.capacity);
  }
  Own(const Junction& w, int64_t width, float* memory) {
    const auto take = [&memory](int64_t count) {
      float* taken = memory;
      memory += Scratch::rounded(count);
      return taken;
    };
    for (float** panel : {&data, &visible}) *panel = take(w.n_in * width);
    for (float** panel : {&data_hidden, &hidden, &bits}) *panel = take(w.n_out * width);
    for (float** lanes : {&errors, &energies}) *lanes = take(kLanes);
    cursor = reinterpret_cast<int64_t*>(take(2 * w.n_in));
    for (float** sums : {&dvisible, &visible_sums}) *sums = take(w.n_in);
    for (float** sums : {&dhidden, &hidden_sums}) *sums = take(w.n_out);
    dw = take(w.capacity);
  }
  static constexpr int64_t kLanes = 128;
  float *data, *visible, *data_hidden, *hidden, *bits, *errors, *energies, *dvisible, *visible_sums, *dhidden,
      *hidden_sums, *dw;
  int64_t* cursor;
};

class Chain {
 public:
  Chain(const Kernels& kernels, const Junction& w, const Contrast& c, const Tiles& tiles)
      : kernels_(kernels), w_(w), c_(c), tiles_(tiles) {}

  void run(const Tile& tile, bool first, const Own& own) const {
    const int64_t width = tile_samples(tile.size);
    const ContrastKernels& k = kernels_.contrast;
    Source{c_.x, w_.n_in}.pack(kernels_, tiles_, tile, 0, w_.n_in, own.data);
    zero(own.errors, width);
    zero(own.energies, width);
    hidden_sums(tile, own.data, own.data_hidden, own.cursor);
    k.subtract_softplus(w_.n_out, width, own.data_hidden, own.energies);
    k.subtract_bias(w_.n_in, width, c_.visible_bias, own.data, own.energies);
    float* hidden = own.data_hidden;
    for (int64_t step = 0; step < c_.steps; step++) {
      k.activate(w_.n_out, width, {key_of(c_.seed, step), static_cast<uint32_t>(tile.first)}, hidden, own.bits);
      visible_sums(tile, own.bits, own.visible);
      k.activate(w_.n_in, width, {}, own.visible, nullptr);
      if (step == 0) k.add_squares(w_.n_in, width, own.data, own.visible, own.errors);
      hidden = own.hidden;
      hidden_sums(tile, own.visible, hidden, own.cursor);
    }
    k.activate(w_.n_out, width, {}, own.hidden, nullptr);
    add_samples(tile, w_.n_in, own.data, own.visible, own.visible_sums, own.dvisible);
    add_samples(tile, w_.n_out, own.data_hidden, own.hidden, own.hidden_sums, own.dhidden);
    k.negate(w_.n_out * width, own.hidden);
    for (int64_t b = 0; b < w_.blocks; b++) {
      const auto gather = kernels_.gather[tile.size][w_.wide];
      const int64_t at = w_.first_output(b) * width;
      gather(w_, b, 0, w_.n_in, own.data, own.data_hidden + at, nullptr, own.dw, first);
      gather(w_, b, 0, w_.n_in, own.visible, own.hidden + at, nullptr, own.dw, false);
    }
    const int64_t samples = tiles_.samples(tile);
    std::memcpy(c_.error + tile.first, own.errors, samples * sizeof(float));
    std::memcpy(c_.energy + tile.first, own.energies, samples * sizeof(float));
  }

 private:
  void hidden_sums(const Tile& tile, const float* visible, float* sums, int64_t* cursor) const {
    kernels_.begin[tile.size](c_.hidden_bias, w_.n_out, sums);
    for (int64_t b = 0; b < w_.blocks; b++) {
      scatter_block(kernels_, w_, b, tile.size, near_part(w_, tile.size), visible,
                    sums + w_.first_output(b) * tile_samples(tile.size), cursor);
    }
  }
  void visible_sums(const Tile& tile, const float* hidden, float* sums) const {
    kernels_.begin[tile.size](c_.visible_bias, w_.n_in, sums);
    for (int64_t b = 0; b < w_.blocks; b++) {
      kernels_.gather[tile.size][w_.wide](w_, b, 0, w_.n_in, nullptr,
                                          hidden + w_.first_output(b) * tile_samples(tile.size), sums, nullptr, false);
    }
  }
  // to += Σ over the samples of the data's panel less the model's. The rest of a tile is taken out first.
  void add_samples(const Tile& tile, int64_t units, float* data, float* model, float* scratch, float* to) const {
    clear_rest(tile, units, data);
    clear_rest(tile, units, model);
    kernels_.lane_sums[tile.size](data, units, scratch);
    for (int64_t u = 0; u < units; u++) to[u] += scratch[u];
    kernels_.lane_sums[tile.size](model, units, scratch);
    for (int64_t u = 0; u < units; u++) to[u] -= scratch[u];
  }
  void clear_rest(const Tile& tile, int64_t units, float* panel) const {
    const int64_t width = tile_samples(tile.size), samples = tiles_.samples(tile);
    if (samples == width) return;
    for (int64_t u = 0; u < units; u++) zero(panel + u * width + samples, width - samples);
  }

  const Kernels& kernels_;
  const Junction& w_;
  const Contrast& c_;
  const Tiles& tiles_;
};

}  // namespace

Status contrast(const Kernels& kernels, const Junction& w, const Contrast& c) {
  const int64_t count = connections(w), batch = c.x.batch;
  if (count < 0 || count > w.capacity) return Status::bad_index;
  zero(c.dw, w.capacity);
  zero(c.dvisible, w.n_in);
  zero(c.dhidden, w.n_out);
  const int threads = threads_for(w, 4 * batch);
  Team team(threads);
  Check check(kernels, w);
  team.run(check.tasks(), [&](int64_t task, int) { check.run(task); });
  if (check.status() != Status::ok || batch == 0) return check.status();
  const Tiles tiles(batch, tile_size(std::max(kernels.widest_scatter, kernels.widest_gather), batch, threads));
  // Groups of tiles have sums of their own, added up in order: the result does not depend on who was free.
  const int64_t groups = std::min<int64_t>(threads, tiles.count());
  const int64_t width = tile_samples(tiles[0].size), floats = Own::floats(w, width);
  Scratch scratch;
  if (!scratch.allocate(team, groups * floats)) return Status::no_memory;
  float* memory = scratch.take(0);
  const Chain chain(kernels, w, c, tiles);
  team.run(groups, [&](int64_t group, int) {
    const Own own(w, width, memory + group * floats);
    zero(own.dvisible, w.n_in);
    zero(own.dhidden, w.n_out);
    const int64_t first = tiles.count() * group / groups, end = tiles.count() * (group + 1) / groups;
    for (int64_t t = first; t < end; t++) chain.run(tiles[t], t == first, own);
  });
  const Own own(w, width, memory);
  add_groups(team, own.dw, groups, floats, count, c.dw);
  add_groups(team, own.dvisible, groups, floats, w.n_in, c.dvisible);
  add_groups(team, own.dhidden, groups, floats, w.n_out, c.dhidden);
  return Status::ok;
}

}  // namespace keras_sparse
