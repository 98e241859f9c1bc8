import json

import keras
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import keras_sparse as ks

masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any)
formats = st.sampled_from(["coo", "csr", "csc", "lil", "dok", "bsr", "dia"])


@given(masks)
def test_connections_are_where_the_mask_is_true(mask):
    pattern = ks.FromMask(mask)
    c = pattern.sample(mask.shape, pattern.count(mask.shape), seed=0)
    assert np.array_equal(c.to_mask(), mask)


@given(masks, formats)
def test_connections_are_where_the_matrix_has_entries(mask, form):
    pattern = ks.FromSciPy(scipy.sparse.coo_array(mask.astype(float)).asformat(form))
    assert np.array_equal(pattern.connectivity.to_mask(), mask)


@given(masks)
def test_config_round_trips_through_json(mask):
    for pattern in (ks.FromMask(mask), ks.FromSciPy(scipy.sparse.csr_matrix(mask))):
        again = type(pattern).from_config(json.loads(json.dumps(pattern.get_config())))
        assert again == pattern
        assert hash(again) == hash(pattern)
    assert ks.FromMask(mask) != ks.FromSciPy(scipy.sparse.csr_matrix(mask))


def test_config_takes_few_bytes_per_connection():
    c = ks.Random().sample((10**6, 10**6), 10**4, seed=0)
    matrix = scipy.sparse.coo_array((np.ones(len(c)), (c.inputs, c.outputs)), shape=c.shape)
    pattern = ks.FromSciPy(matrix)
    assert pattern.connectivity == c
    assert len(json.dumps(pattern.get_config())) < 10 * len(c)


def test_stored_zeros_and_cancelled_entries_are_no_connections_and_the_matrix_stays():
    entries = ([1.0, 0.0, 2.0, -2.0, 3.0], ([0, 1, 2, 2, 3], [0, 1, 0, 0, 1]))
    matrix = scipy.sparse.coo_array(entries, shape=(4, 2))
    assert ks.FromSciPy(matrix).connectivity == ks.Connectivity([0, 3], [0, 1], shape=(4, 2))
    twice = scipy.sparse.csr_array((np.ones(2), np.array([1, 1]), np.array([0, 2])), shape=(1, 2))
    assert len(ks.FromSciPy(twice).connectivity) == 1
    assert matrix.nnz == 5
    assert twice.nnz == 2


def test_the_layer_takes_count_and_places_from_the_mask(tmp_path):
    mask = np.random.default_rng(0).random((12, 5)) < 0.3
    model = keras.Sequential([keras.Input((12,)), ks.SparseDense(5, pattern=ks.FromMask(mask))])
    kernel = model.layers[0].kernel
    assert np.array_equal(kernel.connectivity.to_mask(), mask)
    assert kernel.pattern is model.layers[0].pattern
    assert np.array_equal(keras.models.clone_model(model).layers[0].kernel.connectivity.to_mask(), mask)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.layers[0].pattern == ks.FromMask(mask)
    assert again.layers[0].density is None
    np.testing.assert_array_equal(again.layers[0].kernel.to_dense(), kernel.to_dense())


def test_a_density_that_agrees_is_fine_and_another_is_refused():
    mask = np.eye(4, dtype=bool)
    ks.SparseDense(4, density=0.25, pattern=ks.FromMask(mask)).build((None, 4))
    with pytest.raises(ValueError, match=r"has 4 connections .* asks for 8\. Leave `density` out"):
        ks.SparseDense(4, density=0.5, pattern=ks.FromMask(mask)).build((None, 4))


@pytest.mark.parametrize(("n_in", "units", "message"), [(3, 2, "Transpose it"), (2, 4, "2 x 3, but the junction")])
def test_another_shape_is_refused(n_in, units, message):
    with pytest.raises(ValueError, match=message):
        ks.SparseDense(units, pattern=ks.FromMask(np.ones((2, 3), bool))).build((None, n_in))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((2, 3), bool), "at least one connection"),
        (np.ones(3, bool), "two dimensions"),
        (np.array([[0.2, 1.0]]), "Compare first"),
        (np.array([["a"]]), "Compare first"),
    ],
)
def test_what_is_no_mask_is_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        ks.FromMask(mask)


ROW = scipy.sparse.coo_array(np.ones(3))  # of one dimension since SciPy 1.13, of two before


@pytest.mark.parametrize("matrix", [np.eye(3), "matrix", *([ROW] if len(ROW.shape) == 1 else [])])
def test_what_is_no_sparse_matrix_is_refused(matrix):
    with pytest.raises(ValueError, match="takes a scipy"):
        ks.FromSciPy(matrix)


@pytest.mark.parametrize(
    "damage", [{"steps": "!"}, {"steps": "aGFsbG8="}, {"count": 2}, {"count": 10**6}, {"shape": [1, 1]}]
)
def test_a_damaged_config_is_refused(damage):
    config = ks.FromMask(np.eye(3, dtype=bool)).get_config() | damage
    with pytest.raises(ValueError, match=r"damaged|lie in"):
        ks.FromMask.from_config(config)
