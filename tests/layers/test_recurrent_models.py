"""Models with recurrent layers: files, clones, exports, rewiring, memory."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute.paths import native_instruction_set
from keras_sparse.junctions import junctions

LAYERS = [ks.SparseLSTM, ks.SparseGRU, ks.SparseSimpleRNN]


@pytest.fixture
def sequences():
    """Which of three inputs had the largest sum: x [96, 6, 5], y [96]."""
    x = np.random.default_rng(3).normal(size=(96, 6, 5)).astype("float32")
    return x, np.argmax(x[:, :, :3].sum(1), axis=1)


def network(kind=ks.SparseLSTM, **options):
    return keras.Sequential(
        [
            keras.Input((None, 5)),
            keras.layers.Bidirectional(kind(8, density=0.5, return_sequences=True, **options), name="both"),
            kind(8, density=0.3, recurrent_density=0.2, name="second", **options),
            keras.layers.Dense(3),
        ]
    )


def compiled(model, optimizer="adam", **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


NAMES = [
    "forward_{}/kernel",
    "forward_{}/recurrent_kernel",
    "backward_{}/kernel",
    "backward_{}/recurrent_kernel",
    "second/kernel",
    "second/recurrent_kernel",
]


def test_junctions_have_the_names_of_the_layers():
    model = network()
    inner = model.layers[0].forward_layer.name.removeprefix("forward_")
    assert [j.name for j in junctions(model)] == [name.format(inner) for name in NAMES]
    report = ks.inspect(model)
    assert [j.name for j in report.junctions] == [*(name.format(inner) for name in NAMES), "dense"]
    assert report.connections == sum(len(j.kernel) for j in junctions(model)) + 24
    assert report.parameters == report.connections + 3 * 32 + 3
    rewire = ks.Rewire(ks.SET(), layers=["second", model.layers[0].backward_layer])
    rewire.attach(model, keras.optimizers.SGD())
    assert [j.name for j in rewire._junctions] == [name.format(inner) for name in NAMES[2:]]
    with pytest.raises(ValueError, match="which has no sparse kernel"):
        ks.Rewire(ks.SET(), layers=["dense"]).attach(model, keras.optimizers.SGD())


@pytest.mark.parametrize("kind", LAYERS)
def test_trains_with_rewiring_and_comes_back_from_a_file(kind, sequences, tmp_path):
    x, y = sequences
    model = compiled(network(kind), keras.optimizers.Adam(0.02))
    rewire = ks.Rewire(ks.SET(0.3))
    history = model.fit(x, y, epochs=8, verbose=0, callbacks=[rewire])
    assert history.history["accuracy"][-1] > 0.45
    assert len(rewire.history) == 7 * 6
    assert all(entry["removed"] == entry["added"] > 0 for entry in rewire.history)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for a, b in zip(model.weights + model.optimizer.variables, again.weights + again.optimizer.variables):
        assert np.array_equal(a, b), a.path
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    assert ks.realign(again) == []
    for m in (model, again):
        keras.utils.set_random_seed(0)
        m.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
    for a, b in zip(model.weights, again.weights):
        assert np.array_equal(a, b), a.path


def test_a_file_of_another_layer_is_refused_and_changes_nothing(tmp_path):
    model, other = network(), network(use_bias=False)
    model.save_weights(tmp_path / "m.weights.h5")
    again = network()
    again.load_weights(tmp_path / "m.weights.h5")
    x = tf.random.normal([2, 4, 5])
    np.testing.assert_array_equal(model(x), again(x))
    other.save_weights(tmp_path / "o.weights.h5")
    before = [w.numpy() for w in again.layers[1].weights]
    with pytest.raises(ValueError, match="no bias"):
        again.layers[1].cell.load_own_variables({k: v for k, v in _store(model).items() if k != "bias"})
    assert all(np.array_equal(a, b) for a, b in zip(before, again.layers[1].weights))


def _store(model):
    store = {}
    model.layers[1].cell.save_own_variables(store)
    return store


def test_clone_and_resize(sequences):
    x, y = sequences
    model = compiled(network(capacity=160, recurrent_capacity=130))
    model.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    clone.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(clone.predict(x, verbose=0), expected)
    small = ks.resize(model)
    assert [j.kernel.capacity for j in junctions(small)] == [len(j.kernel) for j in junctions(model)]
    np.testing.assert_allclose(small.predict(x, verbose=0), expected, atol=1e-6)
    assert small.get_layer("second").recurrent_capacity is None
    large = ks.resize(small, {"second/recurrent_kernel": 200})
    assert large.get_layer("second").recurrent_kernel.capacity == 200
    large.fit(x, y, epochs=1, verbose=0)


def test_cells_in_a_list_of_keras(sequences, tmp_path):
    x, y = sequences
    cells = [ks.SparseLSTMCell(8, density=0.5, name="lower"), ks.SparseGRUCell(8, density=0.5, capacity=100)]
    model = compiled(keras.Sequential([keras.Input((6, 5)), keras.layers.RNN(cells), keras.layers.Dense(3)]))
    rewire = ks.Rewire(ks.SET(0.3))
    model.fit(x, y, epochs=3, verbose=0, callbacks=[rewire])
    assert {entry["layer"] for entry in rewire.history} >= {"lower/kernel", "lower/recurrent_kernel"}
    assert len(rewire.history) == 2 * 4
    with pytest.raises(ValueError, match="capacity"):
        ks.resize(model, {"lower/kernel": 10**6})
    bigger = ks.resize(model, {"lower/kernel": 120})
    bigger.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("kind", [LAYERS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in LAYERS[1:])])
@pytest.mark.parametrize("way", ["export", "saved_model.save"])
def test_an_export_holds_stock_operations_only(kind, way, tmp_path):
    model = network(kind, compute="stock" if way == "export" else "auto")
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    expected = model.predict(x, verbose=0)
    if way == "export":
        model.export(str(tmp_path / "saved"), verbose=False)
        loaded = tf.saved_model.load(str(tmp_path / "saved"))
        found = loaded.serve(x)
    else:
        tf.saved_model.save(model, str(tmp_path / "saved"))
        loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
        [found] = loaded(tf.constant(x)).values()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel()
    proto.ParseFromString((tmp_path / "saved" / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    ops = {node.op for f in graph.library.function for node in f.node_def} | {node.op for node in graph.node}
    assert not [op for op in ops if op.startswith("KerasSparse") or ">" in op or "PyFunc" in op]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies(sequences, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled(network(), keras.optimizers.Adam(0.02))
        history = model.fit(*sequences, epochs=8, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
    finally:
        keras.config.set_dtype_policy("float32")
    assert history.history["accuracy"][-1] > 0.45


def test_mirrored_strategy(sequences, two_devices):
    with two_devices.scope():
        model = compiled(network(), keras.optimizers.SGD(0.1))
    model.fit(*sequences, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.RigL(0.3), every=2)])
    for variable in model.weights:
        first, second = two_devices.experimental_local_results(variable.value)
        assert np.array_equal(first.numpy(), second.numpy()), variable.path


@pytest.mark.slow
def test_trains_under_jax(tmp_path):
    pytest.importorskip("jax")
    code = """
import numpy as np, keras, keras_sparse as ks
keras.utils.set_random_seed(0)
x = np.random.default_rng(3).normal(size=(96, 6, 5)).astype("float32")
y = np.argmax(x[:, :, :3].sum(1), axis=1)
layers = [ks.SparseLSTM(8, density=0.5, return_sequences=True), ks.SparseGRU(8, density=0.5, dropout=0.1)]
dense = keras.layers.LSTM(8, return_sequences=True)
model = keras.Sequential([keras.Input((6, 5)), *layers, keras.layers.Dense(3)])
dense.build((None, 6, 5))
dense.set_weights([layers[0].kernel.to_dense(), layers[0].recurrent_kernel.to_dense(), layers[0].bias])
np.testing.assert_allclose(layers[0](x), dense(x), atol=1e-5)
model.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
rewire = ks.Rewire(ks.SET(0.2))
model.fit(x, y, epochs=10, verbose=0, callbacks=[rewire])
assert len(rewire.history) == 9 * 4
print("accuracy", model.evaluate(x, y, verbose=0)[1])
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout.split()[-1]) > 0.5


class TestGradientGrowth:
    """Policies that grow by gradient see the gradient summed over time."""

    @pytest.mark.parametrize("kind", ["lstm", "gru", "simple", "cells", "unrolled"])
    @pytest.mark.parametrize("compiled", [True, False])
    def test_the_recorded_gradient_is_that_of_the_matrix(self, kind, compiled):
        made = {
            "lstm": (ks.SparseLSTM(6, density=0.3), keras.layers.LSTM(6)),
            "gru": (ks.SparseGRU(6, density=0.3, dropout=0.3, seed=1), keras.layers.GRU(6, dropout=0.3, seed=1)),
            "simple": (ks.SparseSimpleRNN(6, density=0.3), keras.layers.SimpleRNN(6)),
            "cells": (keras.layers.RNN(ks.SparseLSTMCell(6, density=0.3)), keras.layers.RNN(keras.layers.LSTMCell(6))),
            "unrolled": (ks.SparseLSTM(6, density=0.3, unroll=True), keras.layers.LSTM(6, unroll=True)),
        }
        layer, dense = made[kind]
        x = tf.random.normal([4, 7, 5])
        layer(x)
        dense(x)
        kernels = [layer.cell.kernel, layer.cell.recurrent_kernel]
        dense.set_weights([*(k.to_dense() for k in kernels), layer.cell.bias.numpy()])
        for one in (layer, dense):  # both have used their generators once
            one.cell.seed_generator.state.assign(dense.cell.seed_generator.state)
        model = keras.Sequential([layer])
        rewire = ks.Rewire(ks.RigL(0.3)).attach(model, keras.optimizers.SGD())

        def gradients(layer, variables):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
            return tape.gradient(loss, variables)

        function = tf.function(gradients) if compiled else gradients
        with rewire.recording():
            function(layer, [k.values.value for k in kernels])
        found = rewire._gradients(rewire._junctions)
        full = gradients(dense, [dense.cell.kernel.value, dense.cell.recurrent_kernel.value])
        for number, matrix in enumerate(full):
            n_in, n_out = matrix.shape
            inputs, outputs = np.divmod(np.arange(n_in * n_out), n_out)
            np.testing.assert_allclose(found[number].at(inputs, outputs), np.ravel(matrix), atol=1e-4)

    @pytest.mark.parametrize("policy", [ks.RigL(0.3), ks.SNFS(0.3)], ids=repr)
    def test_in_fit(self, policy, sequences):
        model = compiled(network())
        rewire = ks.Rewire(policy, every=2)
        model.fit(*sequences, epochs=3, verbose=0, callbacks=[rewire])
        assert len(rewire.history) >= 6
        assert rewire.history[0]["added"] > 0


@pytest.mark.slow
@pytest.mark.skipif(native_instruction_set() is None, reason="the native kernels are not installed")
@pytest.mark.parametrize("wrapped", [False, True])
def test_no_step_keeps_a_copy_of_the_kernel(wrapped):
    # 2 million connections: 8 MB of values, and 40 steps.
    code = """
import resource, keras, keras_sparse as ks, tensorflow as tf
options = {"density": 0.05, "compute": "native", "seed": 0}
layer = keras.layers.RNN(ks.SparseLSTMCell(3200, **options)) if WRAPPED else ks.SparseLSTM(3200, **options)
x = tf.random.normal([1, 40, 8])
layer(x[:, :2])
kernels = [layer.cell.kernel.values.value, layer.cell.recurrent_kernel.values.value]
@tf.function
def step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x)))
    return tape.gradient(loss, kernels)
step(x[:, :2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(x)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    code = code.replace("WRAPPED", str(wrapped))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) < 100  # MiB; a copy of the values per step would be 320
