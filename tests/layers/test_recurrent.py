"""Recurrent layers compute what Keras' dense ones compute with the same matrices."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks
from keras_sparse.compute.paths import native_instruction_set

LAYERS = {
    "lstm": (ks.SparseLSTM, keras.layers.LSTM),
    "gru": (ks.SparseGRU, keras.layers.GRU),
    "simple": (ks.SparseSimpleRNN, keras.layers.SimpleRNN),
}
CELLS = {
    "lstm": (ks.SparseLSTMCell, keras.layers.LSTMCell),
    "gru": (ks.SparseGRUCell, keras.layers.GRUCell),
    "simple": (ks.SparseSimpleRNNCell, keras.layers.SimpleRNNCell),
}
GATES = {"lstm": 4, "gru": 3, "simple": 1}
PATHS = [
    pytest.param("native", marks=pytest.mark.skipif(native_instruction_set() is None, reason="no native kernels")),
    "stock",
    "dense",
]
BATCH, TIME, N_IN, UNITS = 3, 5, 6, 8
X = np.random.default_rng(0).normal(size=(BATCH, TIME, N_IN)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 1, 0, 0]], bool)
ANY = [
    {},
    {"return_sequences": True},
    {"return_sequences": True, "return_state": True},
    {"go_backwards": True, "return_sequences": True},
    {"unroll": True, "return_sequences": True},
    {"use_bias": False},
    {"activation": "relu", "bias_initializer": "ones"},
    {"activation": None},
    {"dropout": 0.4, "seed": 3},
    {"recurrent_dropout": 0.4, "seed": 3},
    {"dropout": 0.3, "recurrent_dropout": 0.4, "return_sequences": True, "seed": 3},
    {"mask": MASK, "return_sequences": True},
    {"mask": MASK, "return_sequences": True, "zero_output_for_mask": True},
    {"mask": MASK, "zero_output_for_mask": True},
    {"mask": MASK, "go_backwards": True, "return_sequences": True},
    {"mask": MASK, "go_backwards": True, "unroll": True},
]
COMBINATIONS = [
    *((kind, arguments) for kind in LAYERS for arguments in ANY),
    ("lstm", {"unit_forget_bias": False, "bias_initializer": "random_normal"}),
    ("lstm", {"recurrent_activation": "hard_sigmoid"}),
    ("lstm", {"implementation": 1, "dropout": 0.4, "seed": 3}),
    ("gru", {"implementation": 1, "dropout": 0.4, "seed": 3}),
    ("gru", {"reset_after": False}),
    ("gru", {"reset_after": False, "dropout": 0.3, "recurrent_dropout": 0.4, "seed": 3}),
    ("gru", {"reset_after": False, "use_bias": False, "mask": MASK}),
]


def named(value):
    return "-".join(f"{k}={'…' if k == 'mask' else v}" for k, v in value.items()) if isinstance(value, dict) else None


def twins(kind, *, path="auto", density=0.4, recurrent_density=0.3, **arguments):
    """Return a sparse layer and the dense one with its matrices."""
    sparse, dense = LAYERS[kind]
    layer = sparse(UNITS, density=density, recurrent_density=recurrent_density, compute=path, **arguments)
    # Its cuDNN branch, which it tries on CPUs too, does not know implementation 1.
    twin = dense(UNITS, **arguments, **({} if kind == "simple" else {"use_cudnn": False}))
    for one in (layer, twin):
        one.build((BATCH, None, N_IN))
    copy_weights(layer, twin)
    return layer, twin


def copy_weights(sparse, dense):
    bias = [] if sparse.bias is None else [sparse.bias.numpy()]
    dense.set_weights([sparse.kernel.to_dense(), sparse.recurrent_kernel.to_dense(), *bias])


def outputs_and_gradients(layer, variables, x, **call):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        results = tf.nest.flatten(layer(x, **call))
        # Different weights for all numbers: an exchange would be seen.
        loss = sum(tf.reduce_sum(y * tf.cos(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape))) for y in results)
    return results, tape.gradient(loss, [x, *variables])


def assert_twins(layer, twin, x=X, **call):
    cell = getattr(layer, "cell", layer)
    bias = [] if layer.bias is None else [cell.bias.value]
    matrices = [k.value for k in (twin.cell.kernel, twin.cell.recurrent_kernel)]
    ours = [k.values.value for k in (layer.kernel, layer.recurrent_kernel)]
    y, (dx, dw, du, *db) = outputs_and_gradients(layer, [*ours, *bias], x, **call)
    wanted, (wanted_dx, wanted_dw, wanted_du, *wanted_db) = outputs_and_gradients(
        twin, [*matrices, *([] if layer.bias is None else [twin.cell.bias.value])], x, **call
    )
    for a, b in zip([*y, dx, *db], [*wanted, wanted_dx, *wanted_db]):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for kernel, found, full in ((layer.kernel, dw, wanted_dw), (layer.recurrent_kernel, du, wanted_du)):
        c = kernel.connectivity
        np.testing.assert_allclose(found[: len(c)], full.numpy()[c.inputs, c.outputs], atol=1e-4)
        assert not np.any(found[len(c) :])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("kind", "arguments"), COMBINATIONS, ids=named)
def test_outputs_and_gradients_are_those_of_keras(kind, arguments, path):
    arguments = dict(arguments)
    call = {"mask": tf.constant(arguments.pop("mask"))} if "mask" in arguments else {}
    assert_twins(*twins(kind, path=path, **arguments), training=True, **call)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("path", PATHS)
def test_the_same_inside_a_function_with_unknown_batch_and_time(kind, path):
    layer, twin = twins(kind, path=path, return_sequences=True)
    matrices = [twin.cell.kernel.value, twin.cell.recurrent_kernel.value]
    ours = [layer.kernel.values.value, layer.recurrent_kernel.values.value]

    def function(layer, variables):
        @tf.function(input_signature=[tf.TensorSpec([None, None, N_IN])])
        def step(x):
            with tf.GradientTape() as tape:
                y = layer(x, training=True)
                loss = tf.reduce_sum(tf.sin(y))
            return y, tape.gradient(loss, variables)

        return step

    y, gradients = function(layer, ours)(X)
    wanted, dense = function(twin, matrices)(X)
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    for kernel, found, full in zip((layer.kernel, layer.recurrent_kernel), gradients, dense):
        c = kernel.connectivity
        np.testing.assert_allclose(found, full.numpy()[c.inputs, c.outputs], atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_initial_state(kind):
    layer, twin = twins(kind, return_state=True)
    rng = np.random.default_rng(1)
    states = [tf.constant(rng.normal(size=(BATCH, UNITS)).astype("float32")) for _ in range(2 if kind == "lstm" else 1)]
    assert_twins(layer, twin, initial_state=states)


@pytest.mark.parametrize("kind", LAYERS)
def test_stateful(kind):
    layer, twin = twins(kind, stateful=True)
    for _ in range(2):
        np.testing.assert_allclose(layer(X), twin(X), atol=1e-5)
    last = layer(X)
    layer.reset_state()
    twin.reset_state()
    first = layer(X)
    np.testing.assert_allclose(first, twin(X), atol=1e-5)
    assert not np.allclose(first, last)


@pytest.mark.parametrize("kind", LAYERS)
def test_dropout_is_off_outside_of_training(kind):
    layer, twin = twins(kind, dropout=0.5, recurrent_dropout=0.5)
    np.testing.assert_allclose(layer(X), twin(X), atol=1e-5)
    assert not np.allclose(layer(X, training=True), layer(X))


@pytest.mark.parametrize("density", [0.75, 1.0])
def test_nearly_full_kernels(density):
    layer, twin = twins("lstm", density=density, recurrent_density=density)
    assert_twins(layer, twin)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("path", PATHS)
def test_cells_in_keras_own_layers(kind, path):
    sparse, dense = CELLS[kind]
    ours = keras.layers.RNN([sparse(UNITS, density=0.4, compute=path), sparse(4, density=0.4, compute=path)])
    theirs = keras.layers.RNN([dense(UNITS), dense(4)])
    np.testing.assert_equal(ours(X).shape, theirs(X).shape)
    for one, other in zip(ours.cell.cells, theirs.cell.cells):
        copy_weights(one, other)
    step = tf.function(lambda layer, x: layer(x))
    np.testing.assert_allclose(step(ours, X), theirs(X), atol=1e-5)
    variables = [c.recurrent_kernel.values.value for c in ours.cell.cells]
    matrices = [c.recurrent_kernel.value for c in theirs.cell.cells]
    _, (_, *found) = tf.function(lambda: outputs_and_gradients(ours, variables, X))()
    _, (_, *full) = outputs_and_gradients(theirs, matrices, X)
    for cell, gradient, matrix in zip(ours.cell.cells, found, full):
        c = cell.recurrent_kernel.connectivity
        np.testing.assert_allclose(gradient, matrix.numpy()[c.inputs, c.outputs], atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("mode", ["concat", "sum"])
def test_bidirectional(kind, mode):
    sparse, dense = LAYERS[kind]
    options = {"merge_mode": mode}
    ours = keras.layers.Bidirectional(sparse(UNITS, density=0.4, return_sequences=True), **options)
    theirs = keras.layers.Bidirectional(dense(UNITS, return_sequences=True), **options)
    for mask in (None, tf.constant(MASK)):
        assert ours(X, mask=mask).shape == theirs(X, mask=mask).shape
        copy_weights(ours.forward_layer, theirs.forward_layer)
        copy_weights(ours.backward_layer, theirs.backward_layer)
        np.testing.assert_allclose(ours(X, mask=mask), theirs(X, mask=mask), atol=1e-5)
    forward, backward = ours.forward_layer.kernel, ours.backward_layer.kernel
    assert forward.connectivity != backward.connectivity


class Conformance(TestCase):
    """Keras' own harness: shapes, dtypes, serialization, training, mixed precision."""

    def test_layers(self):
        for kind, (sparse, _) in LAYERS.items():
            for path in ("auto", "stock", "dense"):
                self.run_layer_test(
                    sparse,
                    init_kwargs={
                        "units": 4,
                        "density": 0.5,
                        "recurrent_density": ks.ErdosRenyi(1),
                        "compute": path,
                        "dropout": 0.2,
                        "kernel_regularizer": "l2",
                        "recurrent_constraint": "non_neg",
                        "return_sequences": kind == "gru",
                    },
                    input_shape=(3, 2, 3),
                    expected_output_shape=(3, 2, 4) if kind == "gru" else (3, 4),
                    expected_num_trainable_weights=3,
                    expected_num_non_trainable_weights=6,
                    expected_num_non_trainable_variables=7,
                    expected_num_losses=1,
                    supports_masking=True,
                )

    def test_cells(self):
        for sparse, _ in CELLS.values():
            self.run_layer_test(
                keras.layers.RNN,
                init_kwargs={"cell": sparse(5, density=0.5, use_bias=False, name="inner"), "return_sequences": True},
                input_shape=(3, 2, 6),
                expected_output_shape=(3, 2, 5),
                expected_num_trainable_weights=2,
                expected_num_non_trainable_weights=6,
                expected_num_non_trainable_variables=7,
                supports_masking=True,
                custom_objects={sparse.__name__: sparse},
            )


class TestArguments:
    @pytest.mark.parametrize("kind", LAYERS)
    def test_densities(self, kind):
        layer, _ = twins(kind, density=0.25, recurrent_density=0.5)
        wide = GATES[kind] * UNITS
        assert len(layer.kernel) == round(0.25 * N_IN * wide)
        assert len(layer.recurrent_kernel) == round(0.5 * UNITS * wide)
        assert layer.kernel.shape == (N_IN, wide)
        assert layer.recurrent_kernel.shape == (UNITS, wide)
        layer, _ = twins(kind, density=0.25, recurrent_density=None)
        assert len(layer.recurrent_kernel) == round(0.25 * UNITS * wide)

    def test_patterns_have_their_own_counts(self):
        mask = np.eye(4, 16, dtype=bool)
        layer = ks.SparseLSTM(4, density=0.5, recurrent_pattern=ks.FromMask(mask))
        layer.build((None, None, 2))
        assert np.array_equal(layer.recurrent_kernel.connectivity.to_mask(), mask)
        assert len(layer.kernel) == 16

    def test_kernels_of_one_size_differ(self):
        layer = ks.SparseGRU(20, density=0.2, seed=5)
        layer.build((None, None, 20))
        assert layer.kernel.connectivity != layer.recurrent_kernel.connectivity
        again = ks.SparseGRU(20, density=0.2, seed=5)
        again.build((None, None, 20))
        for one, other in ((layer.kernel, again.kernel), (layer.recurrent_kernel, again.recurrent_kernel)):
            assert one.connectivity == other.connectivity
            assert np.array_equal(one.values, other.values)

    def test_the_forget_gate_starts_open(self):
        layer, _ = twins("lstm")
        assert layer.bias.numpy().tolist() == [0.0] * UNITS + [1.0] * UNITS + [0.0] * 2 * UNITS

    def test_recurrent_weights_have_norm_one_per_unit(self):
        layer = ks.SparseLSTM(400, recurrent_density=0.05, seed=1)
        layer.build((None, None, 3))
        norms = np.linalg.norm(layer.recurrent_kernel.to_dense(), axis=0)
        assert norms.mean() == pytest.approx(1, abs=0.05)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"units": 0}, "positive integer"),
            ({"density": 2}, r"fraction in \(0, 1\]"),
            ({"recurrent_density": 0}, r"fraction in \(0, 1\]"),
            ({"pattern": "random"}, "`pattern` must be a pattern"),
            ({"recurrent_pattern": ks.Random}, "`recurrent_pattern` must be a pattern"),
            ({"recurrent_capacity": 0}, "`recurrent_capacity` must be"),
            ({"recurrent_initializer": "orthogonal"}, "whole matrix.*such as 'lecun_normal'"),
            ({"kernel_initializer": "identity"}, "whole matrix"),
            ({"recurrent_regularizer": keras.regularizers.OrthogonalRegularizer()}, "needs a matrix"),
            ({"recurrent_constraint": keras.constraints.MaxNorm(1, axis=1)}, "axis=0"),
            ({"seed": -1}, "integer in"),
            ({"compute": "gpu"}, "must be one of"),
            ({"keep_gates": True, "recurrent_pattern": ks.Block((2, 2))}, "`keep_gates` is for connections"),
        ],
    )
    def test_wrong_ones_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ks.SparseLSTM(**{"units": 4, **arguments})

    def test_inputs_that_do_not_fit(self):
        with pytest.raises(ValueError, match="ndim=3"):
            ks.SparseLSTM(4)(np.zeros((2, 3)))
        with pytest.raises(ValueError, match="last dimension"):
            ks.SparseLSTM(4).build((None, 3, None))

    @pytest.mark.parametrize("kind", LAYERS)
    def test_config_round_trip(self, kind):
        layer = LAYERS[kind][0](
            7,
            density=ks.ERK(2.5),
            recurrent_density=0.3,
            capacity=63 * GATES[kind],
            go_backwards=True,
            dropout=0.1,
            kernel_initializer=keras.initializers.HeNormal(seed=3),
            activity_regularizer="l2",
            recurrent_constraint=keras.constraints.MaxNorm(2),
            seed=4,
            name="hidden",
            dtype="mixed_bfloat16",
        )
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert again.go_backwards
        assert again.units == 7
        assert again.cell.compute_dtype == "bfloat16"
        for built in (layer, again):
            built.build((None, None, 9))
        assert again.kernel.connectivity == layer.kernel.connectivity
