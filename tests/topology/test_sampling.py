import itertools
import subprocess
import sys
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology import counter_rng
from keras_sparse.topology.sampling import distinct, distinct_free


@given(st.integers(1, 300), st.data())
def test_draws_are_distinct_in_range_and_exact(population, data):
    count = data.draw(st.integers(0, population))
    drawn = distinct(counter_rng.generator(count), population, count)
    assert len(drawn) == count == len(set(drawn.tolist()))
    assert all(0 <= x < population for x in drawn)


@given(st.integers(1, 200), st.data())
def test_free_draws_avoid_what_is_taken(population, data):
    taken = np.array(sorted(data.draw(st.sets(st.integers(0, population - 1)))), np.int64)
    count = data.draw(st.integers(0, population - len(taken)))
    drawn = distinct_free(counter_rng.generator(1), population, count, taken)
    assert len(np.unique(np.concatenate([drawn, taken]))) == count + len(taken)
    assert drawn.size == 0 or (drawn.min() >= 0 and drawn.max() < population)


def test_every_subset_is_equally_likely():
    rng = counter_rng.generator(0)
    seen = Counter(tuple(distinct_free(rng, 6, 2, np.array([1, 4])).tolist()) for _ in range(6000))
    assert set(seen) == set(itertools.combinations([0, 2, 3, 5], 2))
    assert all(abs(n - 1000) < 5 * 29 for n in seen.values())  # five standard deviations


def test_too_many_are_refused():
    with pytest.raises(ValueError, match="Cannot draw 5 distinct positions out of 4"):
        distinct(counter_rng.generator(0), 4, 5)


def test_random_pattern_is_exact_sorted_and_reproducible_in_another_process():
    shape, count = (37, 91), 500
    c = ks.Random().sample(shape, count, seed=5)
    assert len(c) == count
    assert np.all(np.diff(c.keys) > 0)
    assert c == ks.Random().sample(shape, count, seed=5)
    assert c != ks.Random().sample(shape, count, seed=6)
    code = (
        "from keras_sparse.topology.patterns import Random; "
        f"print(int(Random().sample({shape}, {count}, seed=5).keys.sum()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) == int(c.keys.sum())


def test_a_million_by_a_million_never_allocates_the_positions():
    tracemalloc.start()
    begin = time.monotonic()
    c = ks.Random().sample((10**6, 10**6), 10**6, seed=1)
    seconds = time.monotonic() - begin
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(c) == 10**6
    assert peak < 100 * 10**6  # a hundred bytes a connection; the positions would be 10**12
    assert seconds < 60  # takes a fraction of a second; a quadratic way would not end


def test_full_and_single():
    assert ks.Random().sample((3, 4), 12, seed=0).to_mask().all()
    assert len(ks.Random().sample((3, 4), 1, seed=0)) == 1


def test_streams_differ_by_every_part_of_the_key():
    keys = [(1,), (2,), (1, 0), (1, 1), (1, 0, 1), (1, 0, 0, 1), (-1,), (2**32, 1), (1, 2**32), ()]
    first = [tuple(counter_rng.generator(*key).integers(2**60, size=3).tolist()) for key in keys]
    assert len(set(first)) == len(keys)
