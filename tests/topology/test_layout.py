import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology.connectivity import Connectivity
from keras_sparse.topology.layout import Layout, fingerprint, pack, unpack


def stored(c, layout):
    order = layout.order(c)
    return c if order is None else Connectivity(c.inputs[order], c.outputs[order], shape=c.shape)


@given(st.integers(1, 40), st.integers(1, 900), st.floats(0.001, 1), st.integers(0, 9))
def test_encoding_round_trip(n_in, n_out, density, seed):
    c = ks.Random().sample((n_in, n_out), max(1, int(density * n_in * n_out)), seed=seed)
    layout = Layout.of(c.shape, len(c) + seed)
    ordered = stored(c, layout)
    ids, rows = layout.encode(ordered)
    for bits, word in ((64, np.int64), (32, np.int32)):
        packed = pack(ids, layout.id_words(bits), word)
        assert np.array_equal(unpack(packed, layout.id_dtype)[: len(ids)], ids)
    back = layout.decode(ids, rows)
    assert np.array_equal(back.inputs, ordered.inputs)
    assert np.array_equal(back.outputs, ordered.outputs)
    assert rows[-1] == len(c)
    assert np.array_equal(layout.match(ordered, ordered), np.arange(len(c)))


def test_order_is_block_then_input_then_output():
    layout = Layout((100, 1000), 10, 256, 16)
    c = ks.Connectivity([5, 4, 5, 4], [3, 999, 2, 7], shape=(100, 1000))
    assert layout.order(c).tolist() == [3, 2, 0, 1]


@pytest.mark.parametrize(
    ("shape", "capacity", "block", "bits"),
    [
        ((784, 1000), 392000, 256, 16),  # dense enough for the smallest blocks
        ((784, 1000), 15680, 1000, 16),
        ((4096, 4096), 335544, 832, 16),
        ((10**6, 10**6), 10**7, 10**6, 32),  # hypersparse: one block, 32-bit ids
        ((5, 3), 15, 3, 16),
    ],
)
def test_blocks_follow_the_connections_per_row(shape, capacity, block, bits):
    layout = Layout.of(shape, capacity)
    assert layout.id_bits == bits
    assert layout.block == block


@given(st.integers(200, 3000), st.integers(200, 3000), st.floats(0.02, 1))
def test_index_costs_at_most_two_and_a_half_bytes_from_two_percent_up(n_in, n_out, density):
    capacity = int(density * n_in * n_out)
    layout = Layout.of((n_in, n_out), capacity)
    if capacity >= 16 * n_in * layout.blocks:  # 16 connections a row, which narrow kernels do not reach
        assert layout.index_bytes <= 2.5 * capacity + 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids, rows: (ids, rows[:-1]), "row pointers, got shape"),
        (lambda ids, rows: (ids, np.where(rows == rows[-1], 99, rows)), "at most 6"),
        (lambda ids, rows: (ids, -rows), "rise from 0"),
        (lambda ids, rows: (ids, rows[::-1].copy()), "rise from 0"),
        (lambda ids, rows: (ids[:-1], rows), "but there are 5 ids"),
        (lambda ids, rows: (ids + 100, rows), "outside its block"),
        (lambda ids, rows: (np.zeros_like(ids), rows), "duplicated or not sorted"),
    ],
)
def test_damaged_indices_are_refused(change, message):
    c = ks.Connectivity([0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 1, 2], shape=(3, 3))
    layout = Layout.of(c.shape, 6)
    with pytest.raises(ValueError, match=message):
        layout.decode(*change(*layout.encode(c)))


def test_fingerprint_tells_topologies_apart():
    layout = Layout.of((50, 40), 100)
    marks = {fingerprint((50, 40), *layout.encode(ks.Random().sample((50, 40), 100, seed=s))) for s in range(50)}
    assert len(marks) == 50
    assert all(0 < mark < 2**62 for mark in marks)
