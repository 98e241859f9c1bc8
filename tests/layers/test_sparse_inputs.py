"""SparseDense on tf.SparseTensor inputs."""

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute import sparse_inputs


def random_matrix(batch, n_in, filled, rng):
    """What `scipy.sparse.random` makes, whose argument for `rng` has changed its name."""
    values = rng.random((batch, n_in), dtype=np.float32) + 0.01
    return scipy.sparse.csr_matrix(np.where(rng.random((batch, n_in)) < filled, values, np.float32(0)))


def sparse_batch(batch, n_in, filled, seed=0, order=True):
    matrix = random_matrix(batch, n_in, filled, np.random.default_rng(seed)).tocoo()
    at = np.stack([matrix.row, matrix.col], 1).astype(np.int64)
    x = tf.SparseTensor(at, matrix.data, matrix.shape)
    return tf.sparse.reorder(x) if order else x


def step(layer, x, dense):
    with tf.GradientTape() as tape:
        numbers = tf.convert_to_tensor(x.values)
        tape.watch(numbers)
        given = tf.SparseTensor(x.indices, numbers, x.dense_shape)
        y = layer(tf.sparse.to_dense(given) if dense else given)
        loss = tf.reduce_sum(y**2)
    return y, *tape.gradient(loss, [numbers, *(v.value for v in layer.trainable_variables)])


@pytest.mark.parametrize("compute", ["native", "stock"])
@pytest.mark.parametrize(
    ("batch", "n_in", "n_out", "density", "filled"),
    [
        (5, 40, 30, 0.2, 0.1),
        (0, 7, 5, 0.5, 0.0),
        (3, 9, 4, 1.0, 0.0),
        (1, 50, 20, 0.1, 1.0),
        (200, 300, 1500, 0.3, 0.05),
    ],
)
def test_is_the_product_of_the_dense_inputs(compute, batch, n_in, n_out, density, filled):
    x = sparse_batch(batch, n_in, filled)
    layer = ks.SparseDense(n_out, density=density, compute=compute, activation="relu", bias_initializer="ones", seed=1)
    layer.build((None, n_in))
    found, wanted = step(layer, x, dense=False), step(layer, x, dense=True)
    assert found[0].shape == (batch, n_out)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_parts_of_the_pairs_add_up(monkeypatch):
    monkeypatch.setattr(sparse_inputs, "_PAIRS", 50)
    x = sparse_batch(20, 60, 0.3)
    layer = ks.SparseDense(40, density=0.4, compute="stock", seed=1)
    layer.build((None, 60))
    for a, b in zip(step(layer, x, dense=False), step(layer, x, dense=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compute", ["native", "stock"])
def test_any_order_of_entries(compute):
    x = sparse_batch(6, 30, 0.3, order=False)
    shuffled = np.random.default_rng(1).permutation(len(x.values))
    other = tf.SparseTensor(tf.gather(x.indices, shuffled), tf.gather(x.values, shuffled), x.dense_shape)
    layer = ks.SparseDense(10, density=0.5, compute=compute, seed=0)
    np.testing.assert_allclose(layer(other), layer(x), atol=1e-6)


def test_a_model_of_sparse_inputs_trains_is_rewired_saved_and_exported(tmp_path):
    rng = np.random.default_rng(0)
    x = random_matrix(256, 2000, 0.01, rng)
    y = np.asarray(x[:, :1000].sum(1) > x[:, 1000:].sum(1)).ravel().astype("int32")
    model = keras.Sequential(
        [
            keras.Input((2000,), sparse=True),
            ks.SparseDense(32, density=0.1, activation="relu", seed=0),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rewire = ks.Rewire(ks.SET(0.3))
    history = model.fit(x, y, epochs=12, batch_size=32, verbose=0, callbacks=[rewire])
    assert history.history["accuracy"][-1] > 0.9
    assert rewire.history
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    np.testing.assert_allclose(model.predict(x.toarray(), verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_policies_that_need_the_gradient_see_it():
    x = sparse_batch(16, 50, 0.2)
    layer = ks.SparseDense(10, density=0.1, seed=0)
    model = keras.Sequential([keras.Input((50,), batch_size=16, sparse=True), layer])
    rewire = ks.Rewire(ks.RigL(0.5)).attach(model, keras.optimizers.SGD(0.1))
    with rewire.recording():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x) ** 2)
        tape.gradient(loss, layer.kernel.values.value)
    dense = tf.sparse.to_dense(x).numpy()
    gradient = np.abs(dense.T @ (2 * (dense @ layer.kernel.to_dense())))
    gradient[layer.kernel.connectivity.to_mask()] = 0
    before = layer.kernel.connectivity
    (entry,) = rewire.update()
    new = layer.kernel.connectivity.to_mask() & ~before.to_mask()
    assert new.sum() == entry["added"] >= 15  # of 25; those removed may return
    assert gradient[new].min() >= np.sort(gradient.ravel())[-26]


def test_half_precision_sums_in_single():
    layer = ks.SparseDense(8, density=0.5, seed=0, dtype="mixed_float16")
    y = layer(sparse_batch(4, 600, 0.5))
    assert y.dtype == tf.float16
    wanted = layer(tf.sparse.to_dense(sparse_batch(4, 600, 0.5)))
    np.testing.assert_allclose(y, wanted, rtol=2e-2, atol=2e-2)


def test_wrong_inputs_are_explained():
    layer = ks.SparseDense(8, density=0.5, seed=0)
    layer.build((None, 6))
    at = tf.constant([[0, 6]], tf.int64)
    with pytest.raises(ValueError, match=r"axis -1|expected"):
        layer(tf.SparseTensor(at, [1.0], (1, 7)))
    if layer.kernel.choice().path == "native":
        with pytest.raises(tf.errors.InvalidArgumentError, match="pairs"):
            layer(tf.SparseTensor(at, [1.0], (1, 6)))
    with pytest.raises(ValueError, match="sparse inputs must be"):
        layer(tf.SparseTensor(tf.constant([[0, 0, 1]], tf.int64), [1.0], (1, 2, 6)))
