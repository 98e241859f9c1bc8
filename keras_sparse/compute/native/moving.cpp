// Arrays with one entry per connection follow a rewiring.
#include <algorithm>
#include <cstring>
#include <vector>

#include "rewiring.h"

namespace keras_sparse {
namespace {

int64_t sources(const uint8_t* keep, int64_t keep_count, const int64_t* fresh, int64_t fresh_count, int32_t* sources,
                int64_t size) {
  if (keep_count > std::numeric_limits<int32_t>::max()) return kRefused;
  std::vector<uint8_t> is_fresh(size);
  for (int64_t j = 0; j < fresh_count; j++) {
    if (fresh[j] < 0 || fresh[j] >= size || is_fresh[fresh[j]]) return kRefused;
    is_fresh[fresh[j]] = 1;
  }
  std::vector<int32_t> stay(keep_count + 1);  // one to write to, or read from, that does not count
  int64_t count = 0;
  for (int64_t i = 0; i < keep_count; i++) {
    stay[count] = static_cast<int32_t>(i);
    count += keep[i] != 0;
  }
  if (count + fresh_count != size) return kRefused;
  const int32_t* next = stay.data();
  for (int64_t p = 0; p < size; p++) {
    sources[p] = *next | -static_cast<int32_t>(is_fresh[p]);
    next += !is_fresh[p];
  }
  return 0;
}

// Whether every source is -1 or a place among `count`.
bool are_sources(const int32_t* sources, int64_t size, int64_t count) {
  const auto last = static_cast<int32_t>(std::min<int64_t>(count, std::numeric_limits<int32_t>::max()) - 1);
  int32_t outside = 0;
  for (int64_t i = 0; i < size; i++) outside |= (sources[i] < -1) | (sources[i] > last);
  return !outside;
}

template <class Item>
int64_t gather(const Item* from, int64_t from_count, const int32_t* sources, int64_t size, const Item* fill, Item* to) {
  if (from_count == 0) std::fill_n(to, size, *fill);
  if (from_count == 0) return 0;
  for (int64_t p = 0; p < size; p++) {  // without a branch: which are newcomers cannot be foreseen
    const int32_t fresh = sources[p] >> 31;  // all bits
    const auto mask = static_cast<Item>(int64_t{fresh});
    to[p] = static_cast<Item>((from[sources[p] & ~fresh] & ~mask) | (*fill & mask));
  }
  return 0;
}

template <class Item>
int64_t scatter(const Item* entries, const int64_t* places, int64_t size, Item* to, int64_t to_count) {
  for (int64_t i = 0; i < size; i++) {
    if (places[i] < 0 || places[i] >= to_count) return kRefused;
    to[places[i]] = entries[i];
  }
  return 0;
}

template <class Item>
int64_t compact(Item* entries, const uint8_t* keep, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; i++) {
    entries[count] = entries[i];
    count += keep[i] != 0;
  }
  return count;
}

template <class Work>
int64_t by_size(int64_t item_bytes, const Work& work) {
  if (item_bytes == 2) return work(uint16_t{});
  if (item_bytes == 4) return work(uint32_t{});
  if (item_bytes == 8) return work(uint64_t{});
  return kRefused;
}

}  // namespace
}  // namespace keras_sparse

using namespace keras_sparse;

int64_t keras_sparse_sources(const uint8_t* keep, int64_t keep_count, const int64_t* fresh, int64_t fresh_count,
                             int32_t* to, int64_t size) {
  return guarded([&] { return sources(keep, keep_count, fresh, fresh_count, to, size); });
}

int64_t keras_sparse_gather(const void* from, int64_t from_count, const int32_t* sources, int64_t size,
                            const void* fill, int64_t item_bytes, void* to) {
  if (!are_sources(sources, size, from_count)) return kRefused;
  return by_size(item_bytes, [&](auto item) {
    using Item = decltype(item);
    return gather(static_cast<const Item*>(from), from_count, sources, size, static_cast<const Item*>(fill),
                  static_cast<Item*>(to));
  });
}

int64_t keras_sparse_scatter(const void* entries, const int64_t* places, int64_t size, int64_t item_bytes, void* to,
                             int64_t to_count) {
  return by_size(item_bytes, [&](auto item) {
    using Item = decltype(item);
    return scatter(static_cast<const Item*>(entries), places, size, static_cast<Item*>(to), to_count);
  });
}

int64_t keras_sparse_compact(void* entries, const uint8_t* keep, int64_t size, int64_t item_bytes) {
  return by_size(item_bytes, [&](auto item) { return compact(static_cast<decltype(item)*>(entries), keep, size); });
}
