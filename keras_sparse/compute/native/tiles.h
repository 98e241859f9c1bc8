// How a batch is cut into tiles.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace keras_sparse {

struct Tile {
  int64_t first;  // sample, and place of its panel in floats per feature
  int size;       // see tile_samples
};

// Full tiles of size `widest`, then what serves the rest best.
class Tiles {
 public:
  Tiles(int64_t batch, int widest) : widest_(widest), batch_(batch), full_(batch / tile_samples(widest)) {
    int64_t rest = batch - full_ * tile_samples(widest);
    while (rest > 0) {
      int size = widest;
      while (!fits(rest, size)) size++;
      tail_[tails_++] = size;
      rest -= tile_samples(size);
    }
  }

  int64_t count() const { return full_ + tails_; }

  // Samples of all tiles together, the empty ones of the last included.
  int64_t padded() const {
    int64_t samples = full_ * tile_samples(widest_);
    for (int i = 0; i < tails_; i++) samples += tile_samples(tail_[i]);
    return samples;
  }

  Tile operator[](int64_t number) const {
    const int64_t wide = tile_samples(widest_);
    if (number < full_) return {number * wide, widest_};
    int64_t first = full_ * wide;
    for (int i = 0; i < number - full_; i++) first += tile_samples(tail_[i]);
    return {first, tail_[number - full_]};
  }

  int64_t samples(const Tile& tile) const {
    const int64_t left = batch_ - tile.first;
    return left < tile_samples(tile.size) ? left : tile_samples(tile.size);
  }

 private:
  // A tile costs less per sample the larger it is: one that is three quarters full beats two smaller ones.
  static bool fits(int64_t rest, int size) {
    return size + 1 == kTileSizes || rest >= tile_samples(size) || 4 * rest > 3 * tile_samples(size);
  }

  int widest_;
  int64_t batch_, full_;
  int tail_[2 * kTileSizes] = {};
  int tails_ = 0;
};

}  // namespace keras_sparse
