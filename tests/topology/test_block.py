import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks

small = st.integers(1, 5)


@given(small, small, small, small, st.integers(0, 2**40), st.data())
def test_connections_come_in_whole_blocks(rows, columns, b0, b1, seed, data):
    blocks = data.draw(st.integers(1, rows * columns))
    shape, pattern = (rows * b0, columns * b1), ks.Block((b0, b1))
    c = pattern.sample(shape, blocks * b0 * b1, seed=seed)
    assert len(np.unique(c.keys)) == len(c) == blocks * b0 * b1
    filled = c.to_mask().reshape(rows, b0, columns, b1).sum(axis=(1, 3))
    assert set(filled.ravel()) <= {0, b0 * b1}
    assert np.array_equal(c.keys, pattern.sample(shape, len(c), seed=seed).keys)
    # Every connection's unit is its block's place in the block kernel, and units expand to the connections.
    units = np.unique(pattern.units(c))
    assert np.array_equal(units, np.flatnonzero(filled))
    inputs, outputs = pattern.expand(*np.divmod(units, columns))
    assert ks.Connectivity(inputs, outputs, shape=shape) == c


def test_units_and_expand_by_hand():
    pattern = ks.Block((2, 3))
    # A 4 x 6 kernel is a 2 x 2 block kernel.
    c = ks.Connectivity([0, 1, 3, 3], [0, 5, 2, 3], shape=(4, 6))
    assert pattern.units(c).tolist() == [0, 1, 2, 3]
    inputs, outputs = pattern.expand(np.array([1, 0]), np.array([0, 1]))
    assert inputs.tolist() == [2, 2, 2, 3, 3, 3, 0, 0, 0, 1, 1, 1]
    assert outputs.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert pattern.kept_through_rewiring


def test_expanding_no_block_gives_no_position():
    inputs, outputs = ks.Block((2, 3)).expand(np.empty(0, int), np.empty(0, int))
    assert len(inputs) == len(outputs) == 0


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((16, 8), 20, r"blocks hold 16 connections.*density 0\.125 \(16 connections\) and 0\.25 \(32 connections\)"),
        ((16, 8), 1, r"density 0\.125 \(16 connections\)\."),
        ((10, 8), 16, "do not divide 10 inputs; the nearest multiples are 8 and 12"),
        ((8, 3), 16, r"do not divide 3 outputs; the nearest multiples are 4\."),
    ],
)
def test_what_does_not_fit_is_refused_and_the_nearest_named(shape, count, message):
    with pytest.raises(ValueError, match=message):
        ks.Block((4, 4)).sample(shape, count, seed=0)


@pytest.mark.parametrize("block_shape", [4, (4,), (4, 0), (4, 4, 4), (4.0, 4), "44", (True, 4)])
def test_what_is_no_block_is_refused(block_shape):
    with pytest.raises(ValueError, match="two positive integers"):
        ks.Block(block_shape)


def test_a_million_by_a_million_is_drawn_block_by_block():
    c = ks.Block((10, 10)).sample((10**6, 10**6), 10**6, seed=0)
    assert len(np.unique(c.keys)) == 10**6
    assert len(np.unique(ks.Block((10, 10)).units(c))) == 10**4
