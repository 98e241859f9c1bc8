"""Hypervolume and expected improvement, against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse.search.acquisition import chebyshev_improvement, hypervolume_improvement, shortfall, within
from keras_sparse.search.dominance import dominators, hypervolume, nondominated


def cells(points, reference):
    """Count unit cells of a grid that some point beats."""
    corners = itertools.product(*(range(size) for size in reference))
    return sum(any(all(a <= b for a, b in zip(p, c)) for p in points) for c in corners)


grids = st.integers(1, 4).flatmap(
    lambda d: st.tuples(st.lists(st.tuples(*[st.integers(0, 6)] * d), max_size=7), st.tuples(*[st.integers(1, 5)] * d))
)


@given(grids)
def test_the_volume_is_that_of_counted_cells(grid):
    points, reference = grid
    assert hypervolume(np.array(points).reshape(-1, len(reference)), reference) == cells(points, reference)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_front_is_what_nobody_beats(points):
    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b))

    counts = [sum(beats(b, a) for b in points) for a in points]
    assert dominators(points).tolist() == counts
    expected = {p for p, count in zip(points, counts) if not count}
    kept = [p for p, on_front in zip(points, nondominated(points)) if on_front]
    assert len(kept) == len(expected)
    assert set(kept) == expected


def test_expected_improvement_of_the_hypervolume_against_monte_carlo():
    rng = np.random.default_rng(0)
    reference = np.array([0.9, 0.95])
    for size in (0, 1, 6):
        front = rng.random((size, 2))
        mean = np.column_stack([np.log10(rng.random(4)), rng.random(4)])
        deviation = np.array([[0.1, 0.2], [0.3, 0.0], [0.0, 0.0], [0.05, 0.1]])
        base = hypervolume(front, reference)
        draws = mean + deviation * rng.standard_normal((4000, 4, 2))
        draws[..., 0] = 10.0 ** draws[..., 0]
        gains = np.array([[hypervolume([*front, y], reference) - base for y in row] for row in draws])
        error = gains.std(axis=0) / len(gains) ** 0.5
        found = hypervolume_improvement(front, reference, mean, deviation)
        assert np.all(np.abs(found - gains.mean(axis=0)) < 4.5 * error + 1e-9)


def test_what_is_known_exactly_needs_no_expectation():
    zero = np.zeros(3)
    assert shortfall(1.0, np.array([0.4, 1.0, 2.0]), zero).tolist() == pytest.approx([0.6, 0.0, 0.0])
    assert within(1.0, np.array([0.4, 2.0]), np.zeros(2)).tolist() == [1.0, 0.0]


def test_a_chebyshev_norm_wants_all_objectives():
    past = np.array([[0.5, 0.5, 0.5]])
    mean = np.array([[0.4, 0.4, 0.4], [0.0, 0.0, 0.9], [0.6, 0.6, 0.6]])
    weights = np.full(3, 1 / 3)
    gain = chebyshev_improvement(past, mean, np.zeros((3, 3)), weights, np.random.default_rng(0))
    assert gain[0] == pytest.approx((0.1 + 0.05 * 0.3) / 3)
    assert gain[1] == gain[2] == 0
