import itertools
import tracemalloc
from collections import Counter
from math import gcd, lcm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks

units = st.integers(1, 40)


@given(units, units, st.integers(0, 2**40), st.data())
def test_every_unit_has_its_degree(n_in, n_out, seed, data):
    k = data.draw(st.integers(1, gcd(n_in, n_out)))
    count = k * lcm(n_in, n_out)
    c = ks.Structured().sample((n_in, n_out), count, seed=seed)
    assert set(c.out_degrees) == {count // n_in}
    assert set(c.in_degrees) == {count // n_out}
    assert len(np.unique(c.keys)) == len(c) == count
    assert np.array_equal(c.keys, ks.Structured().sample((n_in, n_out), count, seed=seed).keys)


def test_all_graphs_of_these_degrees_are_equally_likely():
    def has_degrees(mask):
        return np.all(np.sum(mask, 0) == 2) and np.all(np.sum(mask, 1) == 2)

    rows = [row for row in itertools.product((0, 1), repeat=4) if sum(row) == 2]
    possible = [np.array(mask) for mask in itertools.product(rows, repeat=4) if has_degrees(mask)]
    assert len(possible) == 90  # two of four in every row and column
    pattern, draws = ks.Structured(), 4500
    seen = Counter(pattern.sample((4, 4), 8, seed=s).to_mask().tobytes() for s in range(draws))
    assert set(seen) == {mask.astype(bool).tobytes() for mask in possible}
    chi_squared = sum((n - draws / 90) ** 2 / (draws / 90) for n in seen.values())
    assert chi_squared < 89 + 5 * np.sqrt(2 * 89)


def test_nothing_is_left_of_the_regular_arrangement():
    # Four-cycles are pairs of inputs that share two outputs: about (fo - 1)² (fi - 1)² / 4 = 4 in a random graph of
    # degree 3, but 400 where inputs come in groups with the same outputs.
    m = ks.Structured().sample((400, 400), 1200, seed=1).to_mask().astype(int)
    shared = (m @ m.T)[np.triu_indices(400, 1)]
    assert (shared * (shared - 1) // 2).sum() < 20


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((6, 4), 13, r"density 0\.5 \(12 connections\) and 1 \(24 connections\).*round=True"),
        ((784, 100), 7840, r"multiple of 19600.*density 0\.25 \(19600 connections\)\. Or"),
        ((6, 3), 7, r"density 0\.33 \(6 connections\) and 0\.67 \(12 connections\)"),
    ],
)
def test_other_densities_are_refused_and_the_nearest_named(shape, count, message):
    with pytest.raises(ValueError, match=message):
        ks.Structured().sample(shape, count, seed=0)


def test_the_named_densities_are_admissible():
    assert len(ks.Structured().sample((6, 3), round(0.33 * 18), seed=0)) == 6


@pytest.mark.parametrize(("count", "rounded"), [(1, 12), (12, 12), (17, 12), (18, 12), (19, 24), (24, 24)])
def test_rounds_to_the_nearest_if_asked(count, rounded):
    assert len(ks.Structured(round=True).sample((6, 4), count, seed=0)) == rounded


def test_a_rounded_density_becomes_the_layers():
    layer = ks.SparseDense(100, density=0.1, pattern=ks.Structured(round=True))
    layer.build((None, 784))
    assert layer.kernel.density == 0.25
    assert layer.kernel.capacity == len(layer.kernel) == 19600


def test_a_million_by_a_million_takes_memory_for_its_connections_only():
    tracemalloc.start()
    c = ks.Structured().sample((10**6, 10**6), 10**6, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(c.in_degrees) == set(c.out_degrees) == {1}
    assert peak < 100 * 10**6
