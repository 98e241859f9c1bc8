// Places and units of stored connections, row pointers, degrees.
#include <algorithm>

#include "rewiring.h"

namespace keras_sparse {
namespace {

// Whether places of 32 bits, or 64 if `wide`, can number the positions.
bool fits(const Grid& grid, int64_t wide) {
  return grid.valid() && (wide || grid.n_in * grid.n_out <= std::numeric_limits<int32_t>::max());
}

constexpr int64_t kLeap = 32;  // places of a row that are passed at once

template <class Id, class Place>
int64_t kept_places(const Stored& stored, const uint8_t* keep, Place* places) {
  const Grid& grid = stored.grid;
  const auto* ids = static_cast<const Id*>(stored.ids);
  const int64_t* rows = stored.rows;
  int64_t count = 0;
  for (int64_t b = 0; b < grid.blocks(); b++, rows += grid.n_in) {
    auto place = static_cast<uint64_t>(grid.first_place(b));
    for (int64_t i = 0; i < grid.n_in; i++, place += grid.width(b)) {
      for (int64_t k = rows[i]; k < rows[i + 1]; k++) {
        places[count] = static_cast<Place>(place + ids[k]);  // without a branch: overwritten if it goes
        count += keep[k] != 0;
      }
    }
  }
  return count;
}

template <class Place>
void count_rows(const Grid& grid, const Place* places, int64_t size, int64_t* rows) {
  int64_t passed = 0;
  for (int64_t b = 0; b < grid.blocks(); b++, rows += grid.n_in) {
    const int64_t first = grid.first_place(b), width = grid.width(b);
    for (int64_t i = 0; i < grid.n_in; i++) {
      const auto start = static_cast<Place>(first + i * width);
      while (passed + kLeap <= size && places[passed + kLeap - 1] < start) passed += kLeap;
      passed = count_below(places, size, passed, start);
      rows[i] += passed;
    }
  }
  *rows += size;
}

template <class Place, class Unsigned>
void units(const Grid& grid, const Place* places, int64_t size, int64_t* inputs, int64_t* outputs) {
  int64_t k = 0;
  for (int64_t b = 0; b < grid.blocks(); b++) {
    const auto first = static_cast<Unsigned>(grid.first_place(b)), width = static_cast<Unsigned>(grid.width(b));
    const bool last = b + 1 == grid.blocks();
    const int64_t end = last ? size : std::lower_bound(places + k, places + size, grid.first_place(b + 1)) - places;
    for (; k < end; k++) {
      const Unsigned local = static_cast<Unsigned>(places[k]) - first, row = local / width;
      inputs[k] = static_cast<int64_t>(row);
      outputs[k] = b * grid.block + static_cast<int64_t>(local - row * width);
    }
  }
}

template <class Id>
int64_t in_degrees(const Stored& stored, int64_t* degrees) {
  const Grid& grid = stored.grid;
  const auto* ids = static_cast<const Id*>(stored.ids);
  for (int64_t b = 0; b < grid.blocks(); b++) {
    const int64_t width = grid.width(b), end = stored.rows[(b + 1) * grid.n_in];
    int64_t* own = degrees + b * grid.block;
    for (int64_t k = stored.rows[b * grid.n_in]; k < end; k++) {
      if (ids[k] >= width) return kRefused;
      own[ids[k]]++;
    }
  }
  return 0;
}

}  // namespace
}  // namespace keras_sparse

using namespace keras_sparse;

int64_t keras_sparse_kept_places(const Stored* stored, const uint8_t* keep, int64_t keep_count, void* places,
                                 int64_t place_count, int64_t wide) {
  if (!stored->valid() || keep_count != stored->rows[stored->row_count - 1]) return kRefused;
  if (keep_count - std::count(keep, keep + keep_count, 0) + 1 > place_count) return kRefused;
  if (wide) {
    auto* to = static_cast<int64_t*>(places);
    return stored->wide ? kept_places<uint32_t>(*stored, keep, to) : kept_places<uint16_t>(*stored, keep, to);
  }
  auto* to = static_cast<int32_t*>(places);
  return stored->wide ? kept_places<uint32_t>(*stored, keep, to) : kept_places<uint16_t>(*stored, keep, to);
}

int64_t keras_sparse_count_rows(const Grid* grid, const void* places, int64_t size, int64_t wide, int64_t* rows,
                                int64_t row_count) {
  if (!fits(*grid, wide) || row_count != grid->rows() + 1) return kRefused;
  if (wide) count_rows(*grid, static_cast<const int64_t*>(places), size, rows);
  else count_rows(*grid, static_cast<const int32_t*>(places), size, rows);
  return 0;
}

int64_t keras_sparse_units(const Grid* grid, const void* places, int64_t size, int64_t wide, int64_t* inputs,
                           int64_t* outputs) {
  if (!fits(*grid, wide)) return kRefused;
  if (wide) units<int64_t, uint64_t>(*grid, static_cast<const int64_t*>(places), size, inputs, outputs);
  else units<int32_t, uint32_t>(*grid, static_cast<const int32_t*>(places), size, inputs, outputs);
  return 0;
}

int64_t keras_sparse_in_degrees(const Stored* stored, int64_t* degrees) {
  if (!stored->valid()) return kRefused;
  std::fill_n(degrees, stored->grid.n_out, 0);
  return stored->wide ? in_degrees<uint32_t>(*stored, degrees) : in_degrees<uint16_t>(*stored, degrees);
}
