import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks


def test_holds_what_it_was_given_and_cannot_be_changed():
    given_inputs = np.array([2, 0, 2])
    c = ks.Connectivity(given_inputs, [1, 1, 0], shape=(4, 3))
    given_inputs[0] = 3
    assert c.inputs.tolist() == [2, 0, 2]
    assert c.inputs.dtype == c.outputs.dtype == np.int64
    assert (len(c), c.shape, c.density) == (3, (4, 3), 0.25)
    assert c.in_degrees.tolist() == [1, 2, 0]
    assert c.out_degrees.tolist() == [1, 0, 2, 0]
    with pytest.raises(ValueError, match="read-only"):
        c.inputs[0] = 1


@pytest.mark.parametrize(
    ("inputs", "outputs", "shape", "message"),
    [
        ([0, 1, 0], [2, 1, 2], (2, 3), "1 duplicated, the first from input 0 to output 2"),
        ([0, 2], [0, 0], (2, 3), r"inputs\[1\] is 2"),
        ([0, -1], [0, 0], (2, 3), r"inputs\[1\] is -1"),
        ([0], [3], (2, 3), r"`outputs` must lie in \[0, 3\)"),
        ([0, 1], [0], (2, 3), "2 inputs and 1 outputs"),
        ([0.5], [0], (2, 3), "must hold integers"),
        ([[0]], [0], (2, 3), "one dimension"),
        ([0], [0], (2, 0), "two positive integers"),
        ([0], [0], (2.5, 3), "two positive integers"),
        ([0], [0], (2**40, 2**40), "more than 2\\*\\*63"),
        ([True], [0], (2, 3), "must hold integers"),
    ],
)
def test_refuses_what_is_no_topology(inputs, outputs, shape, message):
    with pytest.raises(ValueError, match=message):
        ks.Connectivity(inputs, outputs, shape=shape)


@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_mask_round_trip_and_equality_ignores_order(n_in, n_out, random):
    mask = np.array([[random.random() < 0.4 for _ in range(n_out)] for _ in range(n_in)])
    c = ks.Connectivity.from_mask(mask)
    assert np.array_equal(c.to_mask(), mask)
    order = list(range(len(c)))
    random.shuffle(order)
    shuffled = ks.Connectivity(c.inputs[order], c.outputs[order], shape=c.shape)
    assert shuffled == c
    assert hash(shuffled) == hash(c)
    assert c.in_degrees.sum() == c.out_degrees.sum() == len(c)
    assert ks.Connectivity.from_keys(c.keys, shape=c.shape) == c


def test_differs_by_shape_and_by_connection():
    c = ks.Connectivity([0, 1], [0, 1], shape=(2, 2))
    assert c != ks.Connectivity([0, 1], [0, 1], shape=(2, 3))
    assert c != ks.Connectivity([0, 1], [1, 0], shape=(2, 2))
    assert c != "a connectivity"
