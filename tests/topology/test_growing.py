import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.topology import counter_rng
from keras_sparse.topology.growing import grow, merge
from keras_sparse.topology.places import compact


def sets(data, population):
    taken = np.array(sorted(data.draw(st.sets(st.integers(0, population - 1)))), np.int32)
    return taken, population - len(taken)


@given(st.integers(1, 200), st.sampled_from([np.int32, np.int64]), st.data())
def test_merged_order_is_sorted_order(population, kind, data):
    taken, _ = sets(data, population)
    free = [p for p in range(population) if p not in taken]
    fresh = data.draw(st.permutations(free))[: data.draw(st.integers(0, len(free)))]
    grown = merge(taken.astype(kind), np.array(fresh, kind))
    whole = np.sort(np.concatenate([taken, np.array(fresh, kind)]))
    assert grown.fresh.tolist() == sorted(fresh)
    assert whole[grown.new].tolist() == sorted(fresh)
    assert np.delete(whole, grown.new).tolist() == taken.tolist()


@pytest.mark.parametrize("fresh", [[3, 3], [1, 4]])
def test_what_is_there_already_is_refused(fresh):
    with pytest.raises(ValueError, match="stands there twice"):
        merge(np.array([1, 2]), np.array(fresh))


@given(st.integers(1, 3000), st.sampled_from([np.int32, np.int64]), st.integers(0, 99), st.data())
def test_newcomers_are_free_distinct_exact_and_in_place(population, kind, seed, data):
    taken, free = sets(data, population)
    count = data.draw(st.integers(0, free))
    grown = grow(counter_rng.generator(seed), population, count, taken.astype(kind))
    whole = np.sort(np.concatenate([taken, grown.fresh]))
    assert len(grown.fresh) == len(grown.new) == count
    assert np.all(whole[1:] > whole[:-1])
    assert whole.size == 0 or (whole[0] >= 0 and whole[-1] < population)
    assert whole[grown.new].tolist() == grown.fresh.tolist()
    assert grown.fresh.dtype == kind
    again = grow(counter_rng.generator(seed), population, count, taken.astype(kind))
    assert np.array_equal(again.fresh, grown.fresh)


@pytest.mark.parametrize("taken", [[1, 4], [0, 1, 4, 5, 6, 7]])  # by rejection, by rank
def test_every_set_of_newcomers_is_equally_likely(taken):
    taken = np.array(taken, np.int32)
    rng = counter_rng.generator(3)
    seen = Counter(tuple(grow(rng, 12, 2, taken).fresh.tolist()) for _ in range(9000))
    pairs = list(itertools.combinations(sorted(set(range(12)) - set(taken.tolist())), 2))
    assert set(seen) == set(pairs)
    expected = 9000 / len(pairs)
    assert all(abs(n - expected) < 5 * expected**0.5 for n in seen.values())  # five standard deviations


def test_places_of_64_bits():
    taken = np.array([5, 2**62 + 1, 2**63 - 2])
    grown = merge(taken, np.array([2**63 - 3, 0]))
    assert grown.fresh.tolist() == [0, 2**63 - 3]
    assert grown.new.tolist() == [0, 3]


@given(st.lists(st.booleans(), max_size=50))
def test_compact_keeps_the_order(keep):
    keep = np.array(keep, bool)
    assert compact(np.arange(len(keep)), keep).tolist() == np.flatnonzero(keep).tolist()


def test_compact_across_chunks():
    keep = np.random.default_rng(0).random(700_000) < 0.3
    assert np.array_equal(compact(np.arange(len(keep)), keep), np.flatnonzero(keep))
