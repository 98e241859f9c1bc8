// What `multiply` and `gradients` share: scratch memory, conversions, packing, and checking the index.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>

#include "caches.h"
#include "convert.h"
#include "product.h"
#include "thread_pool.h"
#include "tiles.h"

namespace keras_sparse {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t connections(const Junction& w) { return w.rows[w.blocks * w.n_in]; }
inline int64_t element_bytes(Element e) { return e == Element::float32 ? 4 : 2; }

// Less than this many multiply-adds are done before another thread would be awake.
constexpr int64_t kSmallWork = 1 << 18;

inline int threads_for(const Junction& w, int64_t batch) {
  return (connections(w) + w.n_in + w.n_out) * batch < kSmallWork ? 1 : thread_count();
}

// Whether threads should each take samples, rather than parts of the junction. It saves them from reading each
// other's panels, which takes longer than few connections do; but every thread then reads the whole junction, and in
// the backward keeps sums of its own for all connections.
inline bool divide_batch(const Junction& w, int64_t batch, int threads) {
  return threads > 1 && batch >= 16 * threads && 2 * connections(w) <= (w.n_in + w.n_out) * batch;
}

// The largest tile that is not half empty and leaves a tile for each of `parts`.
inline int tile_size(int widest, int64_t batch, int64_t parts) {
  int size = widest;
  while (size + 1 < kTileSizes && tile_samples(size) > 16 &&
         (2 * batch <= tile_samples(size) || divide_up(batch, tile_samples(size)) < parts)) {
    size++;
  }
  return size;
}

constexpr int64_t kNearSums = 32 << 10;  // bytes of sums that stay in the first-level cache
constexpr int64_t kFarSums = 256 << 10;  // … in the second-level cache
constexpr int64_t kNearRow = 6;          // connections per row that pay for a pass over a part of the block
constexpr int64_t kFarRow = 12;          // … if the panel comes from beyond the second-level cache

inline int64_t row_bytes(int size) { return tile_samples(size) * static_cast<int64_t>(sizeof(float)); }

// Outputs whose sums stay near.
inline int64_t near_outputs(int size) { return kNearSums / row_bytes(size); }

// Whether so many outputs have, on average, `count` connections with an input.
inline bool fills_rows(const Junction& w, int size, int64_t count) {
  return connections(w) * near_outputs(size) >= count * w.n_in * w.n_out;
}

// Whether the sums of a block, or of the parts in which it is gone through, stay near.
inline bool goes_in_near_parts(const Junction& w, int size) {
  return 2 * w.block <= 3 * near_outputs(size) ||
         fills_rows(w, size, w.n_in * row_bytes(size) <= kFarSums ? kNearRow : kFarRow);
}

// Outputs of a block to go through at a time.
inline int64_t near_part(const Junction& w, int size) {
  const bool whole = 2 * w.block <= 3 * near_outputs(size) || !goes_in_near_parts(w, size);
  return whole ? w.block : near_outputs(size);
}

// The largest tile, not above `size`, of which a block's rows stay in the second-level cache; if none is so small, one
// that does enough for every connection.
inline int far_tile_size(const Junction& w, int size) {
  constexpr int64_t kEnough = 32;
  int enough = size;
  for (; tile_samples(size) > 16 && size + 1 < kTileSizes; size++) {
    if (w.block * row_bytes(size) <= far_bytes()) return size;
    if (tile_samples(size) > kEnough) enough = size + 1;
  }
  return w.block * row_bytes(size) <= far_bytes() ? size : enough;
}

// Bytes of panels at a time: what a large batch, or a wide junction, needs beyond that is packed and used after it.
constexpr int64_t kPanels = 16 << 20;
constexpr int64_t kThreadPanels = 4 << 20;  // … if that is more, of each thread that has panels of its own

// The largest tile, not above `size`, of which so many features, in each of so many threads, are no more than that.
inline int panel_tile_size(int64_t features, int size, int threads = 1) {
  const int64_t most = std::max(kPanels, threads * kThreadPanels);
  while (size + 1 < kTileSizes && tile_samples(size) > 16 && threads * features * row_bytes(size) > most) size++;
  return size;
}

// sums [outputs of block b][T] += panel [n_in][T] times the block, `part` outputs at a time; `cursor` has a place for
// every input.
inline void scatter_block(const Kernels& kernels, const Junction& w, int64_t b, int size, int64_t part,
                          const float* panel, float* sums, int64_t* cursor) {
  const int64_t outputs = w.block_size(b);
  if (part >= outputs) return kernels.scatter_all[size][w.wide](w, b, panel, sums);
  std::memcpy(cursor, w.rows + b * w.n_in, w.n_in * sizeof(int64_t));
  for (int64_t limit = part; limit < outputs + part; limit += part) {
    kernels.scatter[size][w.wide](w, b, limit, cursor, panel, sums);
  }
}

// Cuts one allocation into 64-byte aligned arrays.
class Scratch {
 public:
  static int64_t rounded(int64_t floats) { return divide_up(floats, 16) * 16; }

  // False if there is no memory.
  bool allocate(Team& team, int64_t floats) {
    next_ = static_cast<float*>(team.memory(floats * sizeof(float)));
    return next_ != nullptr;
  }
  float* take(int64_t floats) {
    float* taken = next_;
    next_ += rounded(floats);
    return taken;
  }

 private:
  float* next_ = nullptr;
};

// Not memset, which must not be given a null pointer even for no bytes.
inline void zero(float* p, int64_t count) { std::fill_n(p, count, 0.0f); }

inline void zero(const Activations& a, int64_t features) {
  std::fill_n(static_cast<char*>(a.data), a.batch * features * element_bytes(a.element), char{0});
}

// The samples of a tile, from feature `from` on.
inline Rows rows_of(const Activations& a, int64_t features, const Tiles& tiles, const Tile& tile, int64_t from = 0) {
  const int64_t place = tile.first * features + from;
  return {static_cast<char*>(a.data) + place * element_bytes(a.element), features, tiles.samples(tile)};
}

// Row-major activations on their way into panels, with a gate or without.
struct Source {
  const Activations& data;
  int64_t features;
  void* gate = nullptr;

  // Features [from, to) of a tile into its panel, [features][T].
  void pack(const Kernels& kernels, const Tiles& tiles, const Tile& tile, int64_t from, int64_t to,
            float* panel) const {
    const Rows rows = rows_of(data, features, tiles, tile);
    const Rows open = rows_of({gate, data.batch, data.element}, features, tiles, tile);
    kernels.pack[tile.size][static_cast<int>(data.element)](rows, gate ? &open : nullptr, from, to,
                                                            panel + from * tile_samples(tile.size));
  }
};

// A panel [count][T] to the features [from, from + count) of a tile.
inline void unpack(const Kernels& kernels, const float* panel, int64_t count, const Activations& y, int64_t features,
                   const Tiles& tiles, const Tile& tile, int64_t from) {
  kernels.unpack[tile.size][static_cast<int>(y.element)](panel, 0, count, rows_of(y, features, tiles, tile, from));
}

// Some tiles of a batch, one after the other: as many as kPanels holds of so many features, but at least so many.
struct Group {
  const Tiles& tiles;
  int64_t most, first = 0, count;

  Group(const Tiles& tiles, int size, int64_t features, int64_t least = 1)
      : tiles(tiles),
        most(std::max(least, kPanels / (std::max<int64_t>(1, features) * row_bytes(size)))),
        count(std::min(most, tiles.count())) {}

  explicit operator bool() const { return count > 0; }
  void next() {
    first += count;
    count = std::min(most, tiles.count() - first);
  }
  int64_t samples(int size) const { return std::min(tiles.padded(), most * tile_samples(size)); }  // at most
};

// A group into panels, in parallel.
struct Packing {
  static constexpr int64_t kFeatures = 256;  // per task

  const Source source;
  const Group& group;
  float* panels;                // tile after tile
  float* tile_sums = nullptr;   // if wanted, Σ over each tile's samples, [tiles][features]

  int64_t chunks() const { return divide_up(source.features, kFeatures); }
  int64_t tasks() const { return group.count * chunks(); }
  float* panel(const Tile& tile) const {
    return panels + (tile.first - group.tiles[group.first].first) * source.features;
  }

  void run(const Kernels& kernels, int64_t task) const {
    const int64_t number = group.first + task / chunks();
    const Tile tile = group.tiles[number];
    const int64_t from = task % chunks() * kFeatures, to = std::min(from + kFeatures, source.features);
    source.pack(kernels, group.tiles, tile, from, to, panel(tile));
    if (!tile_sums) return;
    kernels.lane_sums[tile.size](panel(tile) + from * tile_samples(tile.size), to - from,
                                 tile_sums + number * source.features + from);
  }
};

// sums += more
inline void add_to(float* sums, const float* more, int64_t count) {
  for (int64_t k = 0; k < count; k++) sums[k] += more[k];
}

// How many sums of so many numbers each are worth a task.
inline int64_t sums_per_task(int64_t groups) { return 1 + (1 << 15) / groups; }

// to[k] += Σ_g from[g · stride + k], in the groups' order, by all threads: with many they are many numbers.
inline void add_groups(Team& team, const float* from, int64_t groups, int64_t stride, int64_t count, float* to) {
  if (groups < 1) return;
  const int64_t most = sums_per_task(groups);
  team.run(divide_up(count, most), [&](int64_t task, int) {
    const int64_t first = task * most, size = std::min(most, count - first);
    for (int64_t group = 0; group < groups; group++) add_to(to + first, from + group * stride + first, size);
  });
}

// to[f] = Σ_t from[t][f]
inline void add_up(const float* from, int64_t count, int64_t features, float* to) {
  std::memcpy(to, from, features * sizeof(float));
  for (int64_t t = 1; t < count; t++) add_to(to, from + t * features, features);
}

// One sample as float32, and back.
inline void widen(const Activations& from, int64_t count, float* to) {
  const auto* halves = static_cast<const uint16_t*>(from.data);
  if (from.element == Element::float32) std::memcpy(to, from.data, count * sizeof(float));
  if (from.element == Element::bfloat16) std::transform(halves, halves + count, to, BFloat16::read);
  if (from.element == Element::float16) std::transform(halves, halves + count, to, Float16::read);
}

inline void narrow(const float* from, int64_t count, const Activations& to, int64_t place) {
  auto* halves = static_cast<uint16_t*>(to.data) + place;
  if (to.element == Element::float32) std::memcpy(static_cast<float*>(to.data) + place, from, count * sizeof(float));
  if (to.element == Element::bfloat16) std::transform(from, from + count, halves, BFloat16::write);
  if (to.element == Element::float16) std::transform(from, from + count, halves, Float16::write);
}

// Row pointers and ids, checked before anything trusts them.
class Check {
 public:
  Check(const Kernels& kernels, const Junction& w)
      : kernels_(kernels), w_(w), pieces_(divide_up(w.n_in, kRows)) {}

  int64_t tasks() const { return w_.blocks * pieces_; }
  void run(int64_t task) {
    const int64_t from = task % pieces_ * kRows;
    part(task / pieces_, from, std::min(from + kRows, w_.n_in));
  }

  // Whether inputs [from, to) of block b are sound.
  bool part(int64_t b, int64_t from, int64_t to) {
    const int64_t* rows = w_.rows + b * w_.n_in;
    bool sound = rows[from] >= 0 && rows[to] <= w_.capacity && (b > 0 || from > 0 || rows[0] == 0);
    for (int64_t i = from; i < to; i++) sound &= rows[i] <= rows[i + 1];
    sound = sound && kernels_.largest_id[w_.wide](w_.ids, rows[from], rows[to]) < w_.block_size(b);
    if (!sound) sound_.store(false, std::memory_order_relaxed);
    return sound;
  }

  Status status() const { return sound_.load(std::memory_order_relaxed) ? Status::ok : Status::bad_index; }

 private:
  static constexpr int64_t kRows = 4096;  // per task

  const Kernels& kernels_;
  const Junction& w_;
  int64_t pieces_;
  std::atomic<bool> sound_{true};
};

}  // namespace keras_sparse
