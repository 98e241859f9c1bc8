// The helpers for rewiring under sanitizers: random junctions, then the same with hostile pointers, ids and places.
// Buffers have exactly the promised length. That results are right is tested against NumPy.
//
//   rewiring_test [cases] [seed]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "rewiring.h"

using namespace keras_sparse;

namespace {

using Random = std::mt19937_64;

int64_t pick(Random& random, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random);
}

void require(bool fine, const char* what) {
  if (fine) return;
  std::printf("%s\n", what);
  std::exit(1);
}

template <class Id, class Place>
struct Case {
  Grid grid;
  std::vector<Id> ids;
  std::vector<int64_t> rows{0}, inputs, outputs;
  std::vector<Place> places;
  std::vector<uint8_t> keep;
  std::vector<float> values;

  explicit Case(Random& random) {
    grid.n_in = pick(random, 1, 40), grid.n_out = pick(random, 1, 300), grid.block = pick(random, 1, grid.n_out);
    std::bernoulli_distribution connected(pick(random, 0, 10) / 10.0), stays(pick(random, 0, 10) / 10.0);
    std::normal_distribution<float> number;
    for (int64_t r = 0; r < grid.rows(); r++) {
      const int64_t b = r / grid.n_in, i = r % grid.n_in;
      for (int64_t o = 0; o < grid.width(b); o++) {
        if (!connected(random)) continue;
        ids.push_back(static_cast<Id>(o));
        inputs.push_back(i), outputs.push_back(b * grid.block + o);
        places.push_back(static_cast<Place>(grid.first_place(b) + i * grid.width(b) + o));
        keep.push_back(stays(random)), values.push_back(number(random));
      }
      rows.push_back(size());
    }
  }

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
  Stored stored() const {
    return {grid, ids.data(), size(), sizeof(Id) == 4, rows.data(), static_cast<int64_t>(rows.size())};
  }
};

template <class Id, class Place>
void check(Random& random, Case<Id, Place>& c) {
  const bool wide = sizeof(Place) == 8;
  const int64_t size = c.size(), stay = size - std::count(c.keep.begin(), c.keep.end(), 0);
  const Stored stored = c.stored();
  std::vector<Place> taken(stay + 1);
  require(keras_sparse_kept_places(&stored, c.keep.data(), size, taken.data(), stay + 1, wide) == stay, "kept places");
  std::vector<Place> expected;
  for (int64_t k = 0; k < size; k++) {
    if (c.keep[k]) expected.push_back(c.places[k]);
  }
  taken.pop_back();
  require(taken == expected, "places");
  std::vector<int64_t> degrees(c.grid.n_out), rows(c.rows.size()), inputs(size), outputs(size);
  require(keras_sparse_in_degrees(&stored, degrees.data()) == 0, "degrees");
  require(keras_sparse_count_rows(&c.grid, c.places.data(), size, wide, rows.data(), rows.size()) == 0, "rows");
  require(rows == c.rows, "rows");
  require(keras_sparse_units(&c.grid, c.places.data(), size, wide, inputs.data(), outputs.data()) == 0, "units");
  require(inputs == c.inputs && outputs == c.outputs, "units");
  std::vector<Place> drawn(pick(random, 0, 500)), scratch(drawn.size());
  std::vector<int64_t> passed(drawn.size());
  for (Place& d : drawn) d = static_cast<Place>(pick(random, 0, c.grid.n_in * c.grid.n_out - 1));
  const int64_t free = keras_sparse_sift(taken.data(), stay, drawn.data(), scratch.data(), drawn.size(), wide, passed.data());
  for (int64_t i = 0; i < free; i++) {
    passed[i] += i;
    require(!std::binary_search(taken.begin(), taken.end(), drawn[i]) && (!i || drawn[i - 1] < drawn[i]), "sift");
  }
  std::vector<int32_t> sources(stay + free);
  require(keras_sparse_sources(c.keep.data(), size, passed.data(), free, sources.data(), sources.size()) == 0, "sources");
  std::vector<Place> to(sources.size()), both = taken;
  const Place fill = 7;
  require(keras_sparse_gather(c.places.data(), size, sources.data(), to.size(), &fill, sizeof fill, to.data()) == 0, "gather");
  require(keras_sparse_scatter(drawn.data(), passed.data(), free, sizeof(Place), to.data(), to.size()) == 0, "scatter");
  both.insert(both.end(), drawn.begin(), drawn.begin() + free);
  std::sort(both.begin(), both.end());
  require(to == both, "merged");
  int64_t counts[2];
  keras_sparse_count_signs(c.values.data(), size, counts);
  const int64_t gone[2] = {counts[0] / 3, counts[1] / 2};
  std::vector<uint8_t> keep(size);
  require(keras_sparse_survivors(c.values.data(), size, gone, keep.data()) == size - gone[0] - gone[1], "survivors");
  require(std::count(keep.begin(), keep.end(), 0) == gone[0] + gone[1], "survivors");
  require(keras_sparse_compact(c.places.data(), c.keep.data(), size, sizeof(Place)) == stay, "compact");
}

// Whatever the arrays hold, nothing outside them is touched; the sanitizer watches.
template <class Id, class Place>
void attack(Random& random, Case<Id, Place> c) {
  const int64_t bad[] = {-1, 1, c.size() + 1, int64_t{1} << 40, std::numeric_limits<int64_t>::max(),
                         std::numeric_limits<int64_t>::min()};
  const auto hostile = [&] { return bad[pick(random, 0, 5)]; };
  const auto spoil = [&](auto& numbers) {
    using Number = typename std::decay_t<decltype(numbers)>::value_type;
    if (!numbers.empty()) numbers[pick(random, 0, numbers.size() - 1)] = static_cast<Number>(hostile());
  };
  if (pick(random, 0, 1)) spoil(c.rows);
  if (pick(random, 0, 1)) spoil(c.ids);
  if (pick(random, 0, 3) == 0) c.grid.n_in = hostile();
  if (pick(random, 0, 3) == 0) c.grid.n_out = std::min<int64_t>(hostile(), c.grid.n_out);
  if (pick(random, 0, 3) == 0) c.grid.block = hostile();
  spoil(c.places), spoil(c.inputs), spoil(c.outputs), spoil(c.keep);
  for (float& v : c.values) {
    const auto bits = static_cast<uint32_t>(random());
    if (pick(random, 0, 9) == 0) std::memcpy(&v, &bits, sizeof bits);
  }
  const bool wide = sizeof(Place) == 8;
  const int64_t size = c.size();
  const Stored stored = c.stored();
  std::vector<Place> taken(size + 1), scratch(size), drawn(size);
  keras_sparse_kept_places(&stored, c.keep.data(), size, taken.data(), pick(random, 0, size + 1), wide);
  std::vector<int64_t> rows(c.rows.size()), numbers(size), others(size);
  std::vector<int64_t> degrees(std::max<int64_t>(c.grid.n_out, 0));
  keras_sparse_in_degrees(&stored, degrees.data());
  keras_sparse_count_rows(&c.grid, c.places.data(), size, wide, rows.data(), rows.size());
  keras_sparse_units(&c.grid, c.places.data(), size, wide, numbers.data(), others.data());
  for (Place& d : drawn) d = static_cast<Place>(random());
  keras_sparse_sift(c.places.data(), size, drawn.data(), scratch.data(), size, wide, numbers.data());
  std::vector<int32_t> sources(size);
  keras_sparse_sources(c.keep.data(), size, c.inputs.data(), std::min<int64_t>(size, 5), sources.data(), size);
  for (int32_t& s : sources) s = static_cast<int32_t>(pick(random, -1, size - 1));
  if (pick(random, 0, 1)) spoil(sources);
  const Id fill = 7;
  keras_sparse_gather(c.ids.data(), size, sources.data(), size, &fill, sizeof fill, std::vector<Id>(size).data());
  keras_sparse_scatter(c.values.data(), c.outputs.data(), size, sizeof(float), std::vector<float>(size).data(), size);
  std::vector<uint8_t> keep(size), bits(pick(random, 0, 2000));
  const int64_t gone[2] = {pick(random, 0, size), hostile()};
  keras_sparse_survivors(c.values.data(), size, gone, keep.data());
  keras_sparse_mark(bits.data(), bits.size(), c.inputs.data(), c.outputs.data(), size, c.grid.n_in, c.grid.n_out);
  const std::vector<uint64_t> weights(16, 3);
  uint64_t sums[2];
  const std::vector<char> words(2 * 16 * 8 + 1);
  keras_sparse_line_sums(words.data() + 1, 2, 16, weights.data(), sums);
}

template <class Id, class Place>
void run(int cases, uint64_t seed) {
  Random random(seed);
  for (int n = 0; n < cases; n++) {
    Case<Id, Place> c(random);
    attack(random, c);
    check(random, c);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 200;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  run<uint16_t, int32_t>(cases, seed);
  run<uint16_t, int64_t>(cases, seed);
  run<uint32_t, int64_t>(cases, seed);
  std::printf("rewiring: %d cases\n", 3 * cases);
}
