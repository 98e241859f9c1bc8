import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.rewiring import gradient as module
from keras_sparse.rewiring.gradient import Gradient, best, largest
from keras_sparse.topology import places
from keras_sparse.topology.layout import Layout


def factors(shape, batch=3, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, units)).astype("float32") for units in shape]


@pytest.mark.parametrize("shape", [(7, 5), (40, 300), (3, 1000), (1, 1)])
@pytest.mark.parametrize("block", [64, 1 << 21])
def test_blocks_are_the_product_in_the_order_of_places(monkeypatch, shape, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    layout = Layout.of(shape, max(1, shape[0] * shape[1] // 2))
    x, dy = factors(shape)
    found = np.full(shape[0] * shape[1], np.nan)
    for first, values in Gradient(layout, [(x, dy)]).blocks():
        found[first : first + len(values)] = values
    inputs, outputs = places.to_units(layout, np.arange(len(found), dtype=places.dtype(shape)))
    assert np.allclose(found, (x.T @ dy)[inputs, outputs], atol=1e-5)


def test_uses_of_one_kernel_add_up():
    layout = Layout.of((4, 3), 6)
    a, b = factors((4, 3)), factors((4, 3), seed=1)
    [block] = Gradient(layout, [tuple(a), tuple(b)]).blocks()
    assert np.allclose(block.values, (a[0].T @ a[1] + b[0].T @ b[1]).ravel(), atol=1e-5)


@given(st.integers(0, 60), st.integers(0, 30), st.integers(0, 5))
def test_the_largest_outside_what_is_taken(taken, count, seed):
    rng = np.random.default_rng(seed)
    shape = (9, 12)
    layout = Layout.of(shape, 50)
    x, dy = factors(shape, seed=seed)
    dy = np.round(dy)  # ties
    occupied = np.sort(rng.choice(108, taken, replace=False)).astype(np.int32)
    gradient = Gradient(layout, [(x * 0 + 1, dy)])
    found, scores = largest(gradient.blocks(), count, occupied)
    magnitude = np.abs(np.concatenate([block.values for block in gradient.blocks()]))
    magnitude[occupied] = -1
    wanted = np.lexsort((np.arange(108), -magnitude))[:count]
    assert found.tolist() == sorted(wanted.tolist())
    assert np.array_equal(scores, magnitude[found])


def test_memory_is_bounded_by_a_block_and_the_result():
    layout = Layout.of((20_000, 10_000), 1000)  # 200 million positions: 800 MB
    x, dy = factors(layout.shape, batch=1)
    tracemalloc.start()
    found, _ = largest(Gradient(layout, [(x, dy)]).blocks(), 1000, np.empty(0, np.int32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1000
    assert peak < 80 << 20


def test_gradients_that_are_not_finite_rank_nothing():
    layout = Layout.of((2, 2), 2)
    x = np.array([[np.nan, 1.0]], np.float32)
    found, scores = largest(Gradient(layout, [(x, np.ones((1, 2), np.float32))]).blocks(), 2, np.empty(0, np.int32))
    assert found.tolist() == [2, 3]
    assert scores.tolist() == [1, 1]


def test_best_takes_the_first_of_equal_ones():
    assert best(np.array([1.0, 3.0, 3.0, 3.0, 2.0]), 2).tolist() == [1, 2]
