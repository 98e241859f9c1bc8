import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology import places
from keras_sparse.topology.layout import Layout


def stored(shape, count, layout):
    c = ks.Random().sample(shape, count, seed=0)
    order = layout.order(c)
    return c if order is None else ks.Connectivity(c.inputs[order], c.outputs[order], shape=shape)


@given(st.integers(1, 30), st.integers(1, 900), st.floats(0.001, 1))
def test_places_number_the_positions_in_storage_order(n_in, n_out, density):
    shape, count = (n_in, n_out), max(1, int(density * n_in * n_out))
    layout = Layout.of(shape, count)
    c = stored(shape, count, layout)
    ids, rows = layout.encode(c)
    numbers = places.of_index(layout, ids, rows)
    assert numbers.dtype == np.int32
    assert np.all(numbers[1:] > numbers[:-1])
    assert np.array_equal(numbers, places.of_units(layout, c.inputs, c.outputs))
    inputs, outputs = places.to_units(layout, numbers)
    assert np.array_equal(inputs, c.inputs)
    assert np.array_equal(outputs, c.outputs)
    assert np.array_equal(layout.local_ids(outputs), ids)
    assert np.array_equal(places.pointers(layout, numbers[::2], numbers[1::2]), rows)
    assert np.array_equal(layout.in_degrees(ids, rows), c.in_degrees)
    assert np.array_equal(layout.out_degrees(rows), c.out_degrees)


@pytest.mark.parametrize("shape", [(7, 600), (3, 5), (2, 513)])
def test_they_are_a_bijection(shape):
    layout = Layout.of(shape, shape[0] * shape[1])
    everywhere = np.arange(shape[0] * shape[1])
    inputs, outputs = places.to_units(layout, everywhere.astype(places.dtype(shape)))
    assert np.array_equal(np.sort(inputs * shape[1] + outputs), everywhere)
    assert np.array_equal(places.of_units(layout, inputs, outputs), everywhere)


def test_hypersparse_junctions_need_64_bits():
    shape = (10**6, 10**6)
    layout = Layout.of(shape, 2)
    inputs, outputs = np.array([3, 999_999]), np.array([7, 999_999])
    numbers = places.of_units(layout, inputs, outputs)
    assert numbers.tolist() == [3_000_007, 10**12 - 1]
    assert [part.tolist() for part in places.to_units(layout, numbers)] == [[3, 999_999], [7, 999_999]]
