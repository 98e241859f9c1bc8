import itertools
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology import counter_rng

axes = st.sampled_from(["input", "output"])


def group_counts(c, m, axis):
    mask = c.to_mask() if axis == "output" else c.to_mask().T
    return mask.reshape(len(mask), -1, m).sum(-1)


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 12), axes, st.integers(0, 2**40), st.data())
def test_every_group_has_exactly_n(groups, other, m, axis, seed, data):
    n = data.draw(st.integers(1, m))
    shape = (groups * m, other) if axis == "input" else (other, groups * m)
    pattern = ks.NM(n, m, axis)
    c = pattern.sample(shape, pattern.count(shape), seed=seed)
    assert len(np.unique(c.keys)) == len(c) == pattern.count(shape) == groups * other * n
    assert (group_counts(c, m, axis) == n).all()
    assert np.array_equal(c.keys, pattern.sample(shape, len(c), seed=seed).keys)
    # Whatever goes, the newcomers complete the groups, and only those.
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(c), max_size=len(c))), bool)
    kept = ks.Connectivity(c.inputs[keep], c.outputs[keep], shape=shape)
    for score in (None, lambda i, o: np.sin(i * 7.0 + o)):
        inputs, outputs = pattern.regrow(counter_rng.generator(seed), shape, kept, score)
        again = ks.Connectivity(np.append(kept.inputs, inputs), np.append(kept.outputs, outputs), shape=shape)
        assert len(again) == len(c)
        assert (group_counts(again, m, axis) == n).all()


def test_all_ways_to_fill_a_group_are_equally_likely():
    pattern, draws = ks.NM(2, 5), 4000
    c = pattern.sample((5, draws), 2 * draws, seed=0)
    seen = Counter(tuple(np.flatnonzero(column)) for column in c.to_mask().T)
    assert set(seen) == set(itertools.combinations(range(5), 2))
    assert all(abs(times - 400) < 5 * 19 for times in seen.values())  # five standard deviations


def test_newcomers_are_uniform_among_the_empty_positions():
    pattern, draws = ks.NM(3, 5), 3000
    kept = ks.Connectivity(np.ones(draws, int), np.arange(draws), shape=(5, draws))
    inputs, outputs = pattern.regrow(counter_rng.generator(3), kept.shape, kept)
    new = ks.Connectivity(inputs, outputs, shape=kept.shape).to_mask()
    seen = Counter(tuple(np.flatnonzero(column)) for column in new.T)
    assert set(seen) == set(itertools.combinations([0, 2, 3, 4], 2))
    assert all(abs(times - 500) < 5 * 21 for times in seen.values())


def test_the_best_empty_positions_come():
    kept = ks.Connectivity([0, 5], [0, 1], shape=(6, 2))
    scores = np.array([[9, 1], [1, 3], [2, 2], [5, -np.inf], [5, np.nan], [4, 8]])
    inputs, outputs = ks.NM(2, 3).regrow(np.random.default_rng(0), (6, 2), kept, lambda i, o: scores[i, o])
    # Output 0: group 0 holds input 0 and takes 2; group 1 takes 3 and 4. Output 1: 1 and 2; 5 is held and 3 beats NaN.
    assert sorted(zip(outputs.tolist(), inputs.tolist())) == [(0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3)]


def test_complete_groups_need_no_newcomers():
    pattern = ks.NM(2, 4)
    c = pattern.sample((8, 3), 12, seed=0)
    for score in (None, lambda i, o: i):
        assert [len(new) for new in pattern.regrow(np.random.default_rng(0), (8, 3), c, score)] == [0, 0]
    assert pattern.kept_through_rewiring


def test_a_group_that_is_too_full_is_refused():
    kept = ks.Connectivity([4, 5, 6], [1, 1, 1], shape=(8, 2))
    with pytest.raises(ValueError, match="cannot be completed: group 3 holds 3 connections"):
        ks.NM(2, 4).regrow(np.random.default_rng(0), (8, 2), kept)
    with pytest.raises(ValueError, match="must have the junction's shape"):
        ks.NM(2, 4).regrow(np.random.default_rng(0), (8, 4), kept)


def test_the_layer_takes_its_density_from_the_pattern():
    layer = ks.SparseDense(3, pattern=ks.NM(1, 4))
    layer.build((None, 8))
    assert layer.kernel.density == 0.25
    with pytest.raises(ValueError, match=r"has 6 connections .* Leave `density` out"):
        ks.SparseDense(3, density=0.1, pattern=ks.NM(1, 4)).build((None, 8))


@pytest.mark.parametrize(
    ("pattern", "shape", "message"),
    [
        (ks.NM(2, 4), (9, 4), r"number of inputs .* m = 4; got 9\. The nearest are 8 and 12"),
        (ks.NM(2, 4, "output"), (8, 3), r"number of outputs .* got 3\. The nearest are 4\."),
        (ks.NM(2, 4), (8, 3), "has 12 connections in 8 x 3, not 6"),
    ],
)
def test_what_does_not_fit_is_refused(pattern, shape, message):
    with pytest.raises(ValueError, match=message):
        pattern.sample(shape, 6, seed=0)


@pytest.mark.parametrize("arguments", [(0, 4), (5, 4), (2.0, 4), (True, 4), (2, 4, "inputs")])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        ks.NM(*arguments)


def test_a_million_by_a_million_takes_memory_for_its_connections_only():
    pattern = ks.NM(1, 10**6)
    tracemalloc.start()
    c = pattern.sample((10**6, 10**6), 10**6, seed=0)
    keep = np.arange(10**6) % 2 == 0
    kept = ks.Connectivity(c.inputs[keep], c.outputs[keep], shape=c.shape)
    inputs, outputs = pattern.regrow(counter_rng.generator(1), c.shape, kept)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(c.in_degrees) == {1}
    assert np.array_equal(np.sort(outputs), np.flatnonzero(np.bincount(kept.outputs, minlength=10**6) == 0))
    assert len(inputs) == 5 * 10**5
    assert peak < 150 * 10**6
