"""The native kernels of whole sequences: every instruction set, number of threads and batch, hostile input."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute.native import recurrent
from keras_sparse.compute.native.library import load

library = load()
pytestmark = pytest.mark.skipif(library is None, reason="the native kernels are not installed")
LAYERS = {"lstm": ks.SparseLSTM, "gru": ks.SparseGRU, "simple": ks.SparseSimpleRNN}


def built(kind, n_in, units, density=0.3, **arguments):
    arguments = {"return_sequences": True, "return_state": True, "seed": 0, "compute": "native", **arguments}
    layer = LAYERS[kind](
        units, density=density, recurrent_density=density, bias_initializer="random_normal", **arguments
    )
    layer.build((None, None, n_in))
    return layer


def reference(kind, x, mask, states, matrix, recurrent_matrix, bias):
    """Return (outputs, states) of a layer, step by step in float64."""
    own = bias if kind != "gru" else bias[0]
    outputs = []
    for t in range(x.shape[1]):
        h = states[0]
        sums, by_state = x[:, t] @ matrix + own, h @ recurrent_matrix
        if kind == "lstm":
            i, f, g, o = tf.split(sums + by_state, 4, 1)
            c = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(g)
            new = [tf.sigmoid(o) * tf.tanh(c), c]
        elif kind == "gru":
            (z, r, g), (z_h, r_h, g_h) = tf.split(sums, 3, 1), tf.split(by_state + bias[1], 3, 1)
            z = tf.sigmoid(z + z_h)
            new = [z * h + (1 - z) * tf.tanh(g + tf.sigmoid(r + r_h) * g_h)]
        else:
            new = [tf.tanh(sums + by_state)]
        states = [tf.where(mask[:, t : t + 1], one, before) for one, before in zip(new, states, strict=True)]
        outputs.append(states[0])
    return tf.stack(outputs, 1), states


def check(kind, batch, time, n_in, units, *, masked=False, density=0.3, training=True):
    layer = built(kind, n_in, units, density)
    rng = np.random.default_rng(1)
    x, h, c = (tf.constant(rng.normal(size=shape)) for shape in ((batch, time, n_in), (batch, units), (batch, units)))
    # The first step always counts: before it, Keras' outputs are zeros.
    mask = rng.random((batch, time)) < 0.6 if masked else np.ones((batch, time), bool)
    mask[:, :1] = True
    states = [h, c] if kind == "lstm" else [h]
    double = [tf.constant(k.to_dense(), tf.float64) for k in (layer.kernel, layer.recurrent_kernel)]
    bias = tf.cast(layer.bias.value, tf.float64)
    weights = [
        tf.constant(rng.normal(size=(batch, time, units))),
        *(tf.constant(rng.normal(size=h.shape)) for _ in states),
    ]

    def loss(outputs, states):
        pairs = zip([outputs, *states], weights, strict=True)
        return tf.add_n([tf.reduce_sum(tf.cast(one, tf.float64) * weight) for one, weight in pairs])

    with tf.GradientTape() as tape:
        sources = [x, *states, *double, bias]
        tape.watch(sources)
        wanted = reference(kind, x, mask, states, *double, bias)
        total = loss(*wanted)
    gradients = tape.gradient(total, sources)
    with tf.GradientTape() as tape:
        singles = [tf.cast(one, tf.float32) for one in (x, *states)]
        kernels = [layer.kernel.values.value, layer.recurrent_kernel.values.value]
        sources = [*singles, *kernels, layer.cell.bias.value]
        tape.watch(sources)
        more = {"mask": tf.constant(mask)} if masked else {}
        outputs, *last = layer(singles[0], initial_state=singles[1:], training=training, **more)
        total = loss(outputs, last)
    found = tape.gradient(total, sources)
    np.testing.assert_allclose(outputs, wanted[0], atol=2e-5)
    for one, other in zip(last, wanted[1], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    for place, kernel in ((-3, layer.kernel), (-2, layer.recurrent_kernel)):
        found_values, k = found[place], kernel.connectivity
        np.testing.assert_allclose(found_values, gradients[place].numpy()[k.inputs, k.outputs], atol=1e-3, rtol=1e-4)
        found[place] = gradients[place] = tf.zeros(0)
    for one, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 7, 16, 40])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_batch_size(instruction_set, threads, kind, batch, masked):
    check(kind, batch, 4, 5, 9, masked=masked)


@pytest.mark.parametrize(
    ("time", "n_in", "units", "density"), [(1, 3, 4, 0.5), (30, 2, 33, 0.1), (3, 70, 300, 0.05), (2, 4, 700, 0.005)]
)
@pytest.mark.parametrize("kind", LAYERS)
def test_every_shape(instruction_set, kind, time, n_in, units, density):
    check(kind, 35, time, n_in, units, density=density)


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_outside_of_training(kind):
    check(kind, 6, 5, 4, 8, training=False)


@pytest.mark.parametrize("kind", LAYERS)
def test_same_threads_same_bits(threads, kind):
    layer = built(kind, 20, 30, return_state=False)
    x = tf.random.normal([70, 9, 20])

    def step():
        with tf.GradientTape() as tape:
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [layer.kernel.values.value, layer.recurrent_kernel.values.value])

    first = step()
    for _ in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(first, step(), strict=True))


def ops_of(layer, **call):
    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True, **call))
        return tape.gradient(loss, [layer.kernel.values.value])

    graph = train.get_concrete_function(tf.TensorSpec([None, None, 4])).graph
    return {op.type for op in graph.get_operations()}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    "arguments", [{}, {"dropout": 0.3}, {"go_backwards": True}, {"return_sequences": False}], ids=str
)
def test_a_sequence_is_one_operation(kind, arguments):
    layer = built(kind, 4, 8, **{"return_state": False, **arguments})
    types = ops_of(layer)
    assert "KerasSparseRecurrence" in types
    assert not types & {"While", "StatelessWhile", "KerasSparseMatMul"}


@pytest.mark.parametrize(
    "arguments", [{"activation": "relu"}, {"recurrent_dropout": 0.2}, {"compute": "stock"}], ids=str
)
def test_what_the_kernels_do_not_know_goes_step_by_step(arguments):
    layer = built("lstm", 4, 8, return_state=False, **arguments)
    assert "KerasSparseRecurrence" not in ops_of(layer)


def test_weights_that_are_not_finite_stay_with_their_samples():
    """Two samples fill a tile of many: the empty ones must not bring 0 · ∞ into the gradients."""
    layer = built("simple", 2, 3, 1.0, return_state=False, return_sequences=False)
    values = np.full(6, 0.1, "float32")
    values[0] = np.inf
    layer.kernel.values.assign(values)
    x = tf.constant([[[1.0, 1.0]], [[2.0, 1.0]]])
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
    gradient = tape.gradient(y, layer.kernel.values.value)
    assert np.all(np.isfinite(y))
    assert np.all(np.isfinite(gradient))


def test_second_derivatives_are_refused_with_a_way_out():
    layer = built("lstm", 3, 4, return_state=False)
    x = tf.random.normal([2, 3, 3])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(layer(x))
        gradient = inner.gradient(y, x)
    with pytest.raises(NotImplementedError, match="unroll=True"):
        outer.gradient(gradient, x)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("row", [10**9, -5])
def test_a_broken_index_is_an_error(which, row):
    layer = built("lstm", 6, 7)
    factors = [recurrent.Factor(*k.multiplier().stored, None) for k in (layer.kernel, layer.recurrent_kernel)]
    index = factors[which].stored
    rows = tf.tensor_scatter_nd_update(index.rows, [[3]], tf.constant([row], tf.int64))
    factors[which] = factors[which]._replace(stored=index._replace(rows=rows))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the index is broken"):
        recur(factors)


def recur(factors, *, x=(3, 4, 6), h=(3, 7), mask=None):
    how = {"cell": "lstm", "mask": mask, "backwards": False, "every": True, "keep": True}
    return recurrent.recur(tf.ones(x), [tf.ones(h), tf.ones(h)], *factors, **how)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": (3, 4, 5)}, "x must have 6 features"),
        ({"h": (3, 6)}, "must be 3 x 7"),
        ({"h": (2, 7)}, "must be 3 x 7"),
        ({"mask": tf.ones([3, 5], tf.bool)}, "mask must be empty or 3 x 4"),
    ],
)
def test_sizes_that_do_not_fit_are_errors(arguments, message):
    layer = built("lstm", 6, 7)
    factors = [recurrent.Factor(*k.multiplier().stored, None) for k in (layer.kernel, layer.recurrent_kernel)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        recur(factors, **arguments)


def test_half_precision():
    keras.utils.set_random_seed(0)
    exact, half = (built("lstm", 6, 20, return_state=False, dtype=dtype) for dtype in ("float32", "mixed_bfloat16"))
    half.set_weights(exact.get_weights())
    x = tf.random.normal([5, 6, 6])
    assert half(x).dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(half(x), tf.float32), exact(x), atol=0.03)
