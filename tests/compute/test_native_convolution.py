"""The native convolutions: every instruction set and number of threads, hostile input, and what TensorFlow does."""

import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute.native import convolution, ops
from keras_sparse.compute.native.library import load

library = load()
pytestmark = pytest.mark.skipif(library is None, reason="the native kernels are not installed")


def built(channels, filters, density, size=3, **arguments):
    arguments = {"padding": "same", "use_bias": False, "compute": "native", "seed": 0, **arguments}
    layer = ks.SparseConv2D(filters, size, density=density, **arguments)
    layer.build((None, None, None, channels))
    return layer


def step(layer, x, dy):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return y, *tape.gradient(y, [x, layer.kernel.values.value], dy)


def check(layer, shape):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape))
    g, c = layer.kernel.geometry, layer.kernel.connectivity
    matrix = tf.constant(layer.kernel.to_dense().astype("float64").reshape(*g.size, g.channels, g.filters))
    with tf.GradientTape() as tape:
        tape.watch([x, matrix])
        y = tf.nn.convolution(x, matrix, g.strides, g.padding.upper())
        dy = tf.constant(rng.normal(size=y.shape))
        loss = tf.reduce_sum(y * dy)
    dx, dmatrix = tape.gradient(loss, [x, matrix])
    out, by_x, by_values = step(layer, tf.cast(x, tf.float32), tf.cast(dy, tf.float32))
    np.testing.assert_allclose(out, y, atol=1e-4)
    np.testing.assert_allclose(by_x, dx, atol=1e-4)
    exact = dmatrix.numpy().reshape(layer.kernel.shape)[c.inputs, c.outputs]
    np.testing.assert_allclose(by_values[: len(c)], exact, atol=1e-3)
    assert not np.any(by_values[len(c) :])


@pytest.mark.parametrize("batch", [0, 1, 7, 16, 40])
def test_every_batch_size(instruction_set, threads, batch):
    check(built(5, 9, 0.3, capacity=200), (batch, 6, 7, 5))


@pytest.mark.parametrize(
    ("shape", "filters", "density", "arguments"),
    [
        ((17, 1, 1, 3), 4, 0.5, {}),
        ((17, 5, 33, 40), 20, 0.05, {}),
        ((3, 40, 40, 2), 3, 0.5, {"strides": 2}),
        ((20, 8, 8, 70), 300, 0.02, {}),  # several blocks of channels and filters
        ((20, 7, 9, 33), 65, 0.9, {"padding": "valid"}),
        ((5, 4, 9, 6), 5, 0.4, {"size": (1, 5), "strides": (1, 2)}),
    ],
)
def test_every_shape(instruction_set, shape, filters, density, arguments):
    check(built(shape[-1], filters, density, **arguments), shape)


def test_same_threads_same_bits(threads):
    layer = built(20, 30, 0.2)
    x, dy = tf.random.normal([40, 9, 9, 20]), tf.random.normal([40, 9, 9, 30])
    first = step(layer, x, dy)
    for _ in range(5):
        for one, other in zip(first, step(layer, x, dy), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("first", [False, True])
def test_second_derivatives(first):
    layer = built(3, 4, 0.5, activation="relu", use_bias=True)
    layer.bias.assign([0.3, -0.2, 0.1, 0.4])
    g, c = layer.kernel.geometry, layer.kernel.connectivity
    x = tf.random.stateless_normal([3, 5, 5, 3], (0, 3))
    places = tf.constant(c.inputs * 4 + c.outputs)[:, None]
    values, bias = layer.kernel.values.value, layer.bias.value

    def dense(x):
        matrix = tf.reshape(tf.scatter_nd(places, values, [27 * 4]), [*g.size, 3, 4])
        return tf.nn.relu(tf.nn.conv2d(x, matrix, 1, "SAME") + bias)

    found = []
    for call in (layer, dense):
        with tf.GradientTape() as outer:
            outer.watch([x, values, bias])
            with tf.GradientTape() as inner:
                inner.watch([x, values, bias] if not first else [values, bias])
                loss = tf.reduce_sum(tf.square(call(x)))
            gradients = inner.gradient(loss, [values, bias] if first else [x, values, bias])
            total = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradients])
        found.append(outer.gradient(total, [x, values, bias]))
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_the_first_layer_is_spared_the_gradient_of_its_inputs():
    layers = [built(3, 4, 0.5), built(4, 4, 0.5)]

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layers[1](layers[0](x)))
        return tape.gradient(loss, [layer.kernel.values.value for layer in layers])

    graph = train.get_concrete_function(tf.TensorSpec([None, 6, 6, 3])).graph
    types = [op.type for op in graph.get_operations()]
    assert (types.count("KerasSparseConvOuter"), types.count("KerasSparseConvGradients")) == (1, 1)


def stored(kernel):
    return ops.Stored(*kernel._storage.index_tensors(), kernel.layout)


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        (-1, None, "ids lie in their block"),
        (None, 10**9, "the index is broken"),
        (None, -5, "the index is broken"),
    ],
)
def test_a_broken_index_is_an_error(ids, rows, message):
    layer = built(6, 7, 0.4)
    kernel, x = layer.kernel, tf.ones([20, 5, 5, 6])
    index = stored(kernel)
    if ids is not None:
        index = index._replace(ids=tf.fill(index.ids.shape, tf.constant(ids, tf.int64)))
    if rows is not None:
        index = index._replace(rows=tf.tensor_scatter_nd_update(index.rows, [[3]], tf.constant([rows], tf.int64)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        convolution.convolve(x, kernel.values.value, index, kernel.geometry)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        convolution._outer(x, x, tf.ones([20, 5, 5, 7]), index, kernel.geometry, relu=False, with_bias=False)


def test_sizes_that_do_not_fit_are_errors():
    kernel = built(6, 7, 0.4).kernel
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 6 channels"):
        convolution.convolve(tf.ones([2, 5, 5, 4]), kernel.values.value, stored(kernel), kernel.geometry)
    x, dy = tf.ones([2, 5, 5, 6]), tf.ones([2, 4, 5, 7])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be 2 images of 5 x 5"):
        convolution._outer(x, dy, dy, stored(kernel), kernel.geometry, relu=False, with_bias=False)


def test_few_images_take_the_dense_path():
    layer = built(8, 8, 0.3, compute="auto")
    lanes = {"avx512": 16, "avx2": 8}.get(library.instruction_set, 4)
    assert layer.kernel.choice().path == "native"
    assert layer.kernel.choice(batch=1).path == "dense"
    assert "at a batch of 1" in layer.kernel.choice(batch=1).reason
    assert layer.kernel.choice(batch=4 * lanes).path == "native"
    x = tf.random.normal([1, 6, 6, 8])
    np.testing.assert_allclose(layer(x), layer(tf.repeat(x, 2 * lanes, 0))[:1], atol=1e-5)
