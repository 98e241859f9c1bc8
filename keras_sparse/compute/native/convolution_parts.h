// What the forward and the backward of convolutions share: planes, chunks of places, and connections sorted anew.
#pragma once

#include "caches.h"
#include "convolution.h"
#include "parts.h"

namespace keras_sparse {

constexpr int64_t kTile = 1 << 20;   // bytes of planes that should stay in the second-level cache
constexpr int64_t kRunLength = 8;    // connections for which reading and writing the sums pays

// Planes of one size in memory, [channel][phase][row][column][lanes].
struct Planes {
  int64_t lanes, rows, columns, floats;  // floats: of a plane

  Planes(int64_t lanes, int64_t rows, int64_t columns) : lanes(lanes), rows(rows), columns(columns) {
    constexpr int64_t kLine = 16;  // floats; 64 lines apart the first-level cache has the same place for both
    floats = divide_up(rows * columns * lanes, kLine);
    while (floats % 64 != 39) floats++;
    floats *= kLine;
  }
  int64_t row() const { return columns * lanes; }
  int64_t at(int64_t r, int64_t column) const { return (r * columns + column) * lanes; }
};

// `length` cut into equal parts of at most `most`.
struct Cut {
  int64_t length, parts;
  Cut(int64_t length, int64_t most) : length(length), parts(divide_up(length, most)) {}
  int64_t begin(int64_t part) const { return length * part / parts; }
};

// How many rows and columns of places go through a filter's connections together, at most `vectors` places.
struct Chunk {
  int rows, columns;

  Chunk(int vectors, int64_t height, int64_t width) {
    const int64_t side = vectors / kMostRows, square = divide_up(height, kMostRows) * divide_up(width, side);
    // Where it takes as many passes, a chunk that is nearer to a square sees less.
    rows = height > 1 && square <= height * divide_up(width, vectors) ? kMostRows : 1;
    columns = static_cast<int>(divide_up(width, divide_up(width, vectors / rows)));
  }
};

// Images in groups of a vector's lanes, and their rows in bands: a task is a band of a group.
struct Tasks {
  int64_t groups, bands, rows, band;

  // `row_bytes`: of a band's planes per row; `halo`: rows more than a band's that are packed for it.
  Tasks(int64_t batch, int64_t lanes, int64_t rows, int64_t halo, int64_t row_bytes, int threads)
      : groups(divide_up(batch, lanes)), rows(rows) {
    band = std::max<int64_t>({kTile / row_bytes - halo, 4 * halo, 1});
    bands = std::max<int64_t>(1, (rows + band / 2) / band);
    if (groups % threads != 0 && groups * bands < 2 * threads) bands = divide_up(2 * threads, groups);
    band = divide_up(rows, std::min(bands, rows));
    bands = divide_up(rows, band);
  }
  int64_t count() const { return groups * bands; }
  int64_t group(int64_t task) const { return task / bands; }
  int64_t begin(int64_t task) const { return task % bands * band; }
  int64_t end(int64_t task) const { return std::min(begin(task) + band, rows); }
};

// The `image`-th group's images, at (y, x).
inline Pixels pixels(const Images& a, int64_t lanes, int64_t group, int64_t y, int64_t x, int64_t step, int64_t count) {
  return {a.at(group * lanes, y, x), a.size(), std::min(lanes, a.batch - group * lanes), step * a.channels, count};
}

// How many channels (or filters), a power of two, to take together, as its exponent: their vectors within the reach of a
// window should stay near, but a sum should have some connections to be read and written for.
inline int block_shift(int64_t channels, int64_t window_bytes, double run) {
  int shift = 0;
  while (int64_t{1} << shift < channels &&
         ((int64_t{2} << shift) * window_bytes <= near_bytes() || (int64_t{1} << shift) * run < kRunLength)) {
    shift++;
  }
  return shift;
}

// Connections sorted by a key: those of key q are taps[starts[q]] to taps[starts[q + 1]].
struct Sorted {
  Tap* taps;
  int64_t* starts;  // keys + 1
  int64_t* source;  // the place of each in storage order; may be null

  static int64_t floats(int64_t count, int64_t keys, bool with_source) {
    return Scratch::rounded(2 * count) + Scratch::rounded(2 * (keys + 2)) + Scratch::rounded(with_source ? 2 * count : 0);
  }
  static Sorted take(Scratch& scratch, int64_t count, int64_t keys, bool with_source) {
    return {reinterpret_cast<Tap*>(scratch.take(2 * count)), reinterpret_cast<int64_t*>(scratch.take(2 * (keys + 2))),
            with_source ? reinterpret_cast<int64_t*>(scratch.take(2 * count)) : nullptr};
  }

  // Sorts the connections of a checked index. `order.of(ky, kx, channel)` and `order.of(filter)` add up to a
  // connection's key and offset. Keys of channels in different parts of `part` channels must differ: each part is
  // counted and placed by one thread.
  template <class Order>
  void fill(Team& team, const Convolution& c, int64_t keys, int64_t part, const Order& order) {
    if (c.groups > 1) part = c.channels;  // a row then holds connections of channels far apart
    const int64_t parts = divide_up(c.channels, part);
    int64_t* counts = starts + 1;  // one place further on, so that placing leaves the starts where they belong
    std::fill(starts, starts + keys + 2, int64_t{0});
    team.run(parts, [&](int64_t p, int) {
      for_each(c, p * part, part, order, [counts](int64_t, const Place& place) { counts[place.key + 1]++; });
    });
    for (int64_t q = 0; q < keys; q++) counts[q + 1] += counts[q];
    team.run(parts, [&](int64_t p, int) {
      for_each(c, p * part, part, order,
               [own = *this, counts, values = c.w.values](int64_t k, const Place& place) {
                 const int64_t q = counts[place.key]++;
                 own.taps[q] = {static_cast<int32_t>(place.offset), values ? values[k] : 0.0f};
                 if (own.source) own.source[q] = k;
               });
    });
  }

  struct Place {
    int64_t key, offset;
    Place operator+(const Place& other) const { return {key + other.key, offset + other.offset}; }
  };

 private:
  // Visits the connections of the channels [first, first + count) of a group.
  template <class Order, class Visit>
  static void for_each(const Convolution& c, int64_t first, int64_t count, const Order& order, const Visit& visit) {
    c.w.wide ? each<uint32_t>(c, first, count, order, visit) : each<uint16_t>(c, first, count, order, visit);
  }
  template <class Id, class Order, class Visit>
  static void each(const Convolution& convolution, int64_t first, int64_t count, const Order& order,
                   const Visit& visit) {
    const Convolution c = convolution;  // the compiler then knows that no visit changes it
    const auto* ids = static_cast<const Id*>(c.w.ids);
    const int64_t inner = c.group_channels(), outer = c.filters() / c.groups, end = std::min(first + count, inner);
    for (int64_t b = 0; b < c.w.blocks; b++) {
      for (int64_t tap = 0; tap < c.down.size * c.across.size; tap++) {
        const int64_t ky = tap / c.across.size, kx = tap % c.across.size;
        const int64_t* rows = c.w.rows + b * c.w.n_in + tap * inner;
        for (int64_t channel = first; channel < end; channel++) {
          const Place row = order.of(ky, kx, channel);
          for (int64_t k = rows[channel]; k < rows[channel + 1]; k++) {
            const int64_t filter = c.w.first_output(b) + static_cast<int64_t>(ids[k]);
            visit(k, (c.groups == 1 ? row : order.of(ky, kx, filter / outer * inner + channel)) + order.of(filter));
          }
        }
      }
    }
  }
};

inline int threads_for(const Convolution& c, int64_t places) {
  return (connections(c.w) + c.channels + c.filters()) * places < kSmallWork ? 1 : thread_count();
}

// Whether offsets within so many floats can be told by 32 bits.
inline bool addressable(int64_t floats) { return floats < int64_t{1} << 31; }

}  // namespace keras_sparse
