"""The native step of contrastive divergence against the same step in NumPy, with the same random numbers."""

import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute.native.contrast import contrast
from keras_sparse.compute.native.library import load

library = load()
pytestmark = pytest.mark.skipif(library is None, reason="the native kernels are not installed")


def key_of(seed, step):
    """Return the key of a Gibbs step: SplitMix64."""
    mask = 2**64 - 1
    z = (seed + (step + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 32


def drawn(seed, step, batch, units):
    """Return uniform numbers [batch, units] by Philox 2x32-10."""
    left = np.repeat(np.arange(batch, dtype=np.uint64)[:, None], units, 1)
    right = np.repeat(np.arange(units, dtype=np.uint64)[None], batch, 0)
    key = key_of(seed, step)
    for _ in range(10):
        product = left * np.uint64(0xD256D193)
        left, right = (product >> np.uint64(32)) ^ np.uint64(key) ^ right, product & np.uint64(0xFFFFFFFF)
        key = (key + 0x9E3779B9) % 2**32
    return (left >> np.uint64(8)).astype("float64") / 2**24


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(x, matrix, b, c, steps, seed):
    """Return (statistics of W as a matrix, of v, of h, error, energy) in float64."""
    logits = c + x @ matrix
    hidden = first = sigmoid(logits)
    energy = -x @ b - np.logaddexp(0, logits).sum(1)
    for step in range(steps):
        bits = drawn(seed, step, *hidden.shape) < hidden
        visible = sigmoid(b + bits @ matrix.T)
        if step == 0:
            error = ((x - visible) ** 2).sum(1)
        hidden = sigmoid(c + visible @ matrix)
    return x.T @ first - visible.T @ hidden, (x - visible).sum(0), (first - hidden).sum(0), error, energy


def built(n_in, units, density):
    layer = ks.SparseDense(units, density=density, capacity=n_in * units, compute="native", seed=0)
    layer.build((None, n_in))
    return layer.kernel


def run(kernel, x, b, c, steps=1, seed=5):
    biases = tf.constant(b, tf.float32), tf.constant(c, tf.float32)
    stored = kernel.multiplier().stored
    return contrast(tf.constant(x, tf.float32), *stored, *biases, steps=steps, seed=tf.constant([seed], tf.int64))


@pytest.mark.parametrize(
    ("batch", "n_in", "units", "density", "steps"),
    [(1, 5, 4, 0.5, 1), (7, 30, 20, 0.3, 1), (100, 40, 700, 0.05, 3), (150, 300, 33, 0.02, 2)],
)
def test_the_statistics(instruction_set, threads, batch, n_in, units, density, steps):
    rng = np.random.default_rng(0)
    kernel = built(n_in, units, density)
    x = (rng.random((batch, n_in)) < 0.4).astype("float64")
    b, c = rng.normal(size=n_in), rng.normal(size=units)
    found = run(kernel, x, b, c, steps, seed=2**40 + 3)
    wanted = reference(x, kernel.to_dense().astype("float64"), b, c, steps, 2**40 + 3)
    k = kernel.connectivity
    np.testing.assert_allclose(found.values[: len(k)], wanted[0][k.inputs, k.outputs], atol=1e-3)
    assert not np.any(found.values[len(k) :])
    for one, other in zip(found[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-5)


def test_an_empty_batch():
    found = run(built(5, 4, 0.5), np.zeros((0, 5)), np.zeros(5), np.zeros(4))
    assert [part.shape[0] for part in found] == [20, 5, 4, 0, 0]
    assert all(not np.any(part) for part in found)


def test_weights_that_are_not_finite_stay_with_their_samples():
    kernel = built(2, 3, 1.0)
    values = np.full(6, 0.1, "float32")
    values[0] = np.inf
    kernel.values.assign(values)
    found = run(kernel, np.ones((2, 2)), np.zeros(2), np.zeros(3))
    assert np.all(np.isfinite(found.hidden))


@pytest.mark.parametrize("row", [10**9, -5])
def test_a_broken_index_is_an_error(row):
    kernel = built(6, 7, 0.4)
    values, index = kernel.multiplier().stored
    index = index._replace(rows=tf.tensor_scatter_nd_update(index.rows, [[3]], tf.constant([row], tf.int64)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the index is broken"):
        contrast(tf.ones([3, 6]), values, index, tf.zeros(6), tf.zeros(7), steps=1, seed=tf.constant([1], tf.int64))


def test_sizes_that_do_not_fit_are_errors():
    kernel = built(6, 7, 0.4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 6 features"):
        run(kernel, np.ones((3, 5)), np.zeros(6), np.zeros(7))
    with pytest.raises(tf.errors.InvalidArgumentError, match="visible_bias must hold 6 numbers"):
        run(kernel, np.ones((3, 6)), np.zeros(5), np.zeros(7))


def test_fit_takes_it_where_it_can():
    def ops_of(**arguments):
        rbm = ks.RBM(8, density=0.5, seed=0, compute="native", **arguments)
        rbm.build((None, 6))
        step = tf.function(lambda x: rbm.compute_loss(x))
        return {op.type for op in step.get_concrete_function(tf.TensorSpec([None, 6])).graph.get_operations()}

    assert "KerasSparseContrast" in ops_of(cd=3)
    assert "KerasSparseMatMul" not in ops_of(cd=3)
    assert "KerasSparseContrast" not in ops_of(persistent=True, chains=5)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_of_an_rbms_loss(steps):
    rbm = ks.RBM(8, density=0.5, seed=0, compute="native", cd=steps, hidden_bias_initializer="random_normal")
    rbm.build((None, 6))
    x = np.random.default_rng(1).integers(0, 2, (9, 6)).astype("float32")
    state = rbm.seed_generator.state.numpy()
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(x)
    found = {
        v.name: g
        for v, g in zip(rbm.trainable_variables, tape.gradient(loss, [v.value for v in rbm.trainable_variables]))
    }
    metrics = {metric.name: float(metric.result()) for metric in rbm.metrics}
    rbm.seed_generator.state.assign(state)
    high, low = (int(part) for part in rbm.seed_generator.next())
    b, c = (bias.numpy().astype("float64") for bias in (rbm.visible_bias, rbm.hidden.bias))
    matrix = rbm.kernel.to_dense().astype("float64")
    by_matrix, by_visible, by_hidden, error, energy = reference(x, matrix, b, c, steps, high * 2**32 + low)
    k = rbm.kernel.connectivity
    np.testing.assert_allclose(found["kernel"], -by_matrix[k.inputs, k.outputs] / 9, atol=1e-5)
    np.testing.assert_allclose(found["visible_bias"], -by_visible / 9, atol=1e-5)
    np.testing.assert_allclose(found["bias"], -by_hidden / 9, atol=1e-5)
    assert metrics["reconstruction_error"] == pytest.approx(error.mean() / 6, rel=1e-4)
    assert metrics["free_energy"] == pytest.approx(energy.mean(), rel=1e-4)
