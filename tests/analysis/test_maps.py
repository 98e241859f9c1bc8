import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.analysis import input_importance, input_map


@pytest.fixture
def model():
    return keras.Sequential(
        [
            keras.Input((12,)),
            ks.SparseDense(9, density=0.3, seed=1, name="first", activation="relu"),
            ks.SparseDense(7, density=0.4, seed=2, name="second"),
            keras.layers.Dense(3, name="dense"),
        ]
    )


def test_connections_per_input(model):
    matrix = model.get_layer("first").kernel.to_dense()
    np.testing.assert_array_equal(input_map(model, shape=(3, 4)), (matrix != 0).sum(1).reshape(3, 4))
    np.testing.assert_allclose(input_map(model, weighted=True), np.abs(matrix).sum(1), rtol=1e-6)


def test_importance_is_the_product_of_the_magnitudes(model):
    parts = [np.abs(model.get_layer(name).kernel.to_dense()) for name in ("first", "second")]
    dense = np.abs(np.asarray(model.get_layer("dense").kernel))
    expected = parts[0] @ parts[1] @ dense @ np.ones(3)
    np.testing.assert_allclose(input_importance(model, shape=(12, 1))[:, 0], expected, rtol=1e-5)
    paths = (parts[0] > 0).astype(int) @ (parts[1] > 0).astype(int) @ np.full(7, 3)
    np.testing.assert_array_equal(input_importance(model, weighted=False), paths)


def test_a_list_of_kernels_is_a_network(model):
    kernels = [model.get_layer(name).kernel for name in ("first", "second")]
    assert input_importance(kernels).shape == (12,)


def test_errors(model):
    with pytest.raises(ValueError, match="6 pixels, not 12 inputs"):
        input_map(model, shape=(2, 3))
    with pytest.raises(ValueError, match="without weights"):
        input_map(model.get_layer("first").kernel.connectivity, weighted=True)
