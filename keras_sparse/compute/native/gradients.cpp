#include "parts.h"

namespace keras_sparse {
namespace {

// Each task is a range of tiles, with sums of its own for the connections; they are added up at the end.
Status gradients_tiles(const Kernels& kernels, const Junction& w, const Backward& g, Team& team) {
  const int widest = tile_size(kernels.widest_gather, g.dy.batch, team.threads());
  const int size = far_tile_size(w, panel_tile_size(2 * w.n_in + w.n_out, widest, team.threads()));
  const Tiles tiles(g.dy.batch, size);
  const int64_t groups = std::min<int64_t>(team.threads(), tiles.count()), count = connections(w);
  const int64_t in_floats = Scratch::rounded(w.n_in * tile_samples(size));
  const int64_t out_floats = Scratch::rounded(w.n_out * tile_samples(size));
  const int64_t dw_floats = g.dw ? Scratch::rounded(count) : 0;
  const int64_t bias_floats = g.dbias ? Scratch::rounded(tiles.count() * w.n_out) : 0;
  Scratch scratch;
  if (!scratch.allocate(team, groups * (2 * in_floats + out_floats + dw_floats) + bias_floats)) {
    return Status::no_memory;
  }
  float* panels = scratch.take(groups * (2 * in_floats + out_floats));
  float* sums = scratch.take(groups * dw_floats);  // the first group's place stays unused: it has dw itself
  float* tile_sums = scratch.take(bias_floats);
  const Source x{g.x, w.n_in}, dy{g.dy, w.n_out, g.gate};
  Check check(kernels, w);
  team.run(groups, [&](int64_t group, int) {
    float *left = panels + group * (2 * in_floats + out_floats), *right = left + in_floats;
    float* left_gradient = g.dx.data ? right + out_floats : nullptr;
    float* own = group && g.dw ? sums + group * dw_floats : g.dw;
    const int64_t first = tiles.count() * group / groups, end = tiles.count() * (group + 1) / groups;
    for (int64_t t = first; t < end; t++) {
      const Tile tile = tiles[t];
      const int64_t samples = tile_samples(tile.size);
      if (g.dw) x.pack(kernels, tiles, tile, 0, w.n_in, left);
      dy.pack(kernels, tiles, tile, 0, w.n_out, right);
      if (g.dbias) kernels.lane_sums[tile.size](right, w.n_out, tile_sums + t * w.n_out);
      if (g.dx.data) zero(left_gradient, w.n_in * samples);
      for (int64_t b = 0; b < w.blocks; b++) {
        if (t == first && !check.part(b, 0, w.n_in)) return;
        kernels.gather[tile.size][w.wide](w, b, 0, w.n_in, left, right + w.first_output(b) * samples, left_gradient,
                                          own, t == first);
      }
      if (g.dx.data) unpack(kernels, left_gradient, w.n_in, g.dx, w.n_in, tiles, tile, 0);
    }
  });
  if (g.dbias) add_up(tile_sums, tiles.count(), w.n_out, g.dbias);
  if (g.dw) add_groups(team, sums + dw_floats, groups - 1, dw_floats, count, g.dw);
  return check.status();
}

// A group of tiles is packed first; then each task is a range of inputs with all their connections.
Status gradients_inputs(const Kernels& kernels, const Junction& w, const Backward& g, Team& team) {
  const int64_t left_features = g.dw ? w.n_in : 0, features = left_features + w.n_out;
  const int size = far_tile_size(w, panel_tile_size(features, tile_size(kernels.widest_gather, g.dy.batch, 1)));
  const Tiles tiles(g.dy.batch, size);
  Group group(tiles, size, features);
  const int64_t chunk = std::min<int64_t>(256, divide_up(divide_up(w.n_in, team.threads() * 8), 16) * 16);
  const int64_t sums_floats = g.dx.data ? chunk * tile_samples(size) : 0;
  const int64_t left_floats = Scratch::rounded(group.samples(size) * left_features);
  const int64_t right_floats = Scratch::rounded(group.samples(size) * w.n_out);
  const int64_t bias_floats = g.dbias ? Scratch::rounded(tiles.count() * w.n_out) : 0;
  Scratch scratch;
  if (!scratch.allocate(team, left_floats + right_floats + bias_floats + team.threads() * sums_floats)) {
    return Status::no_memory;
  }
  const Packing left{{g.x, left_features}, group, scratch.take(left_floats)};
  float* tile_sums = g.dbias ? scratch.take(bias_floats) : nullptr;
  const Packing right{{g.dy, w.n_out, g.gate}, group, scratch.take(right_floats), tile_sums};
  float* memory = scratch.take(0);
  Check check(kernels, w);
  for (; group; group.next()) {
    const int64_t checks = group.first ? 0 : check.tasks();
    team.run(left.tasks() + right.tasks() + checks, [&](int64_t task, int) {
      if (task < left.tasks()) return left.run(kernels, task);
      if ((task -= left.tasks()) < right.tasks()) return right.run(kernels, task);
      check.run(task - right.tasks());
    });
    if (check.status() != Status::ok) return check.status();
    team.run(divide_up(w.n_in, chunk), [&](int64_t task, int thread) {
      const int64_t from = task * chunk, to = std::min(from + chunk, w.n_in);
      float* sums = g.dx.data ? memory + thread * sums_floats : nullptr;
      for (int64_t t = group.first; t < group.first + group.count; t++) {
        const Tile tile = tiles[t];
        const int64_t samples = tile_samples(tile.size);
        if (sums) zero(sums, (to - from) * samples);
        for (int64_t b = 0; b < w.blocks; b++) {
          kernels.gather[tile.size][w.wide](w, b, from, to, left.panel(tile),
                                            right.panel(tile) + w.first_output(b) * samples, sums, g.dw, t == 0);
        }
        if (sums) unpack(kernels, sums, to - from, g.dx, w.n_in, tiles, tile, from);
      }
    });
  }
  if (g.dbias) add_up(tile_sums, tiles.count(), w.n_out, g.dbias);
  return Status::ok;
}

// One sample needs no panels.
Status gradients_one(const Kernels& kernels, const Junction& w, const Backward& g) {
  Team team(threads_for(w, 4));
  Scratch scratch;
  if (!scratch.allocate(team, 2 * Scratch::rounded(w.n_in) + 2 * Scratch::rounded(w.n_out))) return Status::no_memory;
  float *left = scratch.take(w.n_in), *sums = scratch.take(w.n_in), *right = scratch.take(w.n_out);
  if (g.dw) widen(g.x, w.n_in, left);
  widen(g.dy, w.n_out, right);
  if (g.gate) {
    float* open = scratch.take(w.n_out);
    widen({g.gate, 1, g.dy.element}, w.n_out, open);
    for (int64_t o = 0; o < w.n_out; o++) right[o] = open[o] > 0.0f ? right[o] : 0.0f;
  }
  if (g.dbias) std::memcpy(g.dbias, right, w.n_out * sizeof(float));
  Check check(kernels, w);
  const int64_t chunk = std::max<int64_t>(16, divide_up(w.n_in, team.threads() * 8));
  team.run(divide_up(w.n_in, chunk), [&](int64_t task, int) {
    const int64_t from = task * chunk, to = std::min(from + chunk, w.n_in);
    float* own = g.dx.data ? sums + from : nullptr;
    if (own) zero(own, to - from);
    for (int64_t b = 0; b < w.blocks; b++) {
      if (!check.part(b, from, to)) return;
      kernels.gather_one[w.wide](w, b, from, to, left, right + w.first_output(b), own, g.dw);
    }
    if (own) narrow(own, to - from, g.dx, from);
  });
  return check.status();
}

}  // namespace

Status gradients(const Kernels& kernels, const Junction& w, const Backward& g) {
  const int64_t count = connections(w);
  if (count < 0 || count > w.capacity) return Status::bad_index;
  if (g.dw) zero(g.dw + count, w.capacity - count);
  if (g.dy.batch == 0 || w.n_in == 0 || w.n_out == 0) {
    if (g.dw) zero(g.dw, count);
    if (g.dx.data) zero(g.dx, w.n_in);
    if (g.dbias) zero(g.dbias, w.n_out);
    return Status::ok;
  }
  if (g.dy.batch == 1) return gradients_one(kernels, w, g);
  Team team(threads_for(w, 2 * g.dy.batch));
  const bool by_tiles = divide_batch(w, g.dy.batch, team.threads());
  return (by_tiles ? gradients_tiles : gradients_inputs)(kernels, w, g, team);
}

}  // namespace keras_sparse
