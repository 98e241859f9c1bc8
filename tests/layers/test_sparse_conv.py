import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks
from keras_sparse.compute import native
from keras_sparse.compute.geometry import Geometry

PATHS = ["stock", "dense", "generic", *(["native"] if native.instruction_set() else [])]


class Conformance(TestCase):
    """Keras' own harness: shapes, dtypes, serialization, training, mixed precision."""

    def test_2d(self):
        for path in ("auto", *PATHS):
            self.run_layer_test(
                ks.SparseConv2D,
                init_kwargs={
                    "filters": 4,
                    "kernel_size": 3,
                    "density": 0.5,
                    "compute": path,
                    "activation": "relu",
                    "kernel_initializer": "random_uniform",
                    "bias_initializer": "ones",
                    "kernel_regularizer": "l2",
                    "kernel_constraint": "non_neg",
                },
                input_shape=(2, 6, 5, 3),
                expected_output_shape=(2, 4, 3, 4),
                expected_num_trainable_weights=2,
                expected_num_non_trainable_weights=3,
                expected_num_seed_generators=0,
                expected_num_losses=1,
                supports_masking=False,
            )

    def test_1d(self):
        self.run_layer_test(
            ks.SparseConv1D,
            init_kwargs={"filters": 6, "kernel_size": 4, "padding": "causal", "use_bias": False, "seed": 3},
            input_shape=(2, 8, 5),
            expected_output_shape=(2, 8, 6),
            expected_num_trainable_weights=1,
            expected_num_non_trainable_weights=3,
            expected_num_seed_generators=0,
            expected_num_losses=0,
            supports_masking=False,
        )


def by_tensorflow(layer, x):
    """The same convolution with the whole kernel in float64, by TensorFlow, with its gradients for dy."""
    g = layer.kernel.geometry
    kernel = tf.constant(layer.kernel.to_dense().astype("float64").reshape(*g.size, g.group_channels, g.filters))
    x = tf.constant(np.asarray(x, "float64"))
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        images = tf.transpose(x, [0, 2, 3, 1]) if layer.data_format == "channels_first" else x
        images = images if layer.rank == 2 else images[:, None]
        padding = g.padding.upper()
        if padding == "CAUSAL":
            images, padding = tf.pad(images, [[0, 0], [0, 0], [g.reach(1) - 1, 0], [0, 0]]), "VALID"
        parts = [
            tf.nn.convolution(part, filters, g.strides, padding, dilations=g.dilation)
            for part, filters in zip(tf.split(images, g.groups, -1), tf.split(kernel, g.groups, -1))
        ]
        y = tf.concat(parts, -1)
        y = y if layer.rank == 2 else y[:, 0]
        y = tf.transpose(y, [0, 3, 1, 2]) if layer.data_format == "channels_first" else y
        dy = tf.constant(np.random.default_rng(5).normal(size=y.shape))
        loss = tf.reduce_sum(y * dy)
    dx, dkernel = tape.gradient(loss, [x, kernel])
    c = layer.kernel.connectivity
    return y, dy, dx, np.asarray(dkernel).reshape(layer.kernel.shape)[c.inputs, c.outputs]


def check(layer, x):
    y, dy, dx, dvalues = by_tensorflow(layer, x)

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = layer(x)
            loss = tf.reduce_sum(out * tf.cast(dy, out.dtype))
        return out, *tape.gradient(loss, [x, layer.kernel.values.value])

    # Calls of `generic` and graphs of `stock` take their time.
    ways = {"generic": [tf.function(step)], "stock": [step]}.get(layer.compute, [step, tf.function(step)])
    for run in ways:
        out, by_x, by_values = run(tf.constant(x))
        np.testing.assert_allclose(out, y, atol=2e-4)
        np.testing.assert_allclose(by_x, dx, atol=2e-4)
        np.testing.assert_allclose(by_values[: len(dvalues)], dvalues, atol=1e-3)
        assert not np.any(by_values[len(dvalues) :])
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


CASES = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": 2, "padding": "same"},
    "uneven strides": {"strides": (1, 3), "kernel_size": (2, 4)},
    "stride above the window": {"strides": 3, "kernel_size": 2},
    "dilation": {"dilation_rate": 2, "padding": "same"},
    "uneven dilation": {"dilation_rate": (1, 2), "kernel_size": (3, 2)},
    "groups": {"groups": 2, "padding": "same"},
    "depthwise": {"groups": 4, "strides": 2},
    "single pixels": {"kernel_size": 1, "strides": 2},
    "channels first": {"data_format": "channels_first", "padding": "same", "strides": (2, 1)},
    "full": {"density": 1.0},
    "one connection": {"density": 0.001},
    "large window": {"kernel_size": (5, 7), "padding": "same"},
}


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path in PATHS for name in CASES if path != "generic" or name in ("same", "strides", "groups")],
)
def test_is_the_dense_convolution_with_the_sparse_kernel(path, name):
    arguments = {"kernel_size": 3, "density": 0.3, "capacity": None, **CASES[name]}
    images, high, wide = (1, 5, 6) if path == "generic" else (3, 9, 10)  # generic takes its time
    shape = (images, 4, high, wide) if arguments.get("data_format") else (images, high, wide, 4)
    layer = ks.SparseConv2D(8, compute=path, use_bias=False, seed=1, **arguments)
    layer.build(shape)
    assert layer.kernel.choice().path == path
    check(layer, np.random.default_rng(0).normal(size=shape).astype("float32"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("arguments", [{"padding": "causal", "dilation_rate": 3}, {"strides": 2}, {"padding": "same"}])
def test_sequences(path, arguments):
    layer = ks.SparseConv1D(6, 4, density=0.4, capacity=70, compute=path, use_bias=False, seed=1, **arguments)
    layer.build((2, 17, 5))
    check(layer, np.random.default_rng(0).normal(size=(2, 17, 5)).astype("float32"))


@pytest.mark.parametrize("path", PATHS)
def test_bias_activation_and_unknown_sizes(path):
    layer = ks.SparseConv2D(5, 3, density=0.4, compute=path, padding="same", strides=2, activation="relu", seed=1)
    layer.build((None, None, None, 3))
    layer.bias.assign([0.5, -0.5, 0, 1, 2])
    dense = keras.layers.Conv2D(5, 3, padding="same", strides=2, activation="relu")
    dense.build((None, None, None, 3))
    dense.set_weights([layer.kernel.to_dense().reshape(3, 3, 3, 5), layer.bias.numpy()])
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    assert layer.compute_output_shape((None, None, 7, 3)) == (None, None, 4, 5)
    for size in ((2, 7, 9, 3), (1, 8, 8, 3), (1, 1, 1, 3)):
        x = np.random.default_rng(0).normal(size=size).astype("float32")
        np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)
        np.testing.assert_allclose(traced(x), dense(x), atol=1e-5)
    if path != "dense":  # TensorFlow's convolution of no images has the wrong size
        assert layer(np.zeros((0, 5, 5, 3))).shape == (0, 3, 3, 5)
    x = tf.random.normal([2, 9, 8, 3])
    gradients = []
    for each in (layer, dense):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(each(x)))
        gradients.append(tape.gradient(loss, [x, each.bias.value]))
    for one, other in zip(*gradients):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("path", ["auto", "stock", "dense"])
def test_dtype_policies(policy, path):
    layer = ks.SparseConv2D(6, 3, density=0.4, compute=path, dtype=policy, seed=1, use_bias=False)
    layer.build((2, 8, 8, 5))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 5))
    y, *_ = by_tensorflow(layer, x)
    out = layer(x)
    assert out.dtype == layer.compute_dtype
    np.testing.assert_allclose(tf.cast(out, "float64"), y, atol={"float64": 1e-6}.get(policy, 3e-2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x))
    assert np.all(np.isfinite(tape.gradient(loss, layer.kernel.values.value)))


@pytest.fixture
def pictures():
    """A small learnable problem: images with a bright column, row or nothing."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    x = rng.normal(size=(120, 8, 8, 2)).astype("float32")
    for image, kind in zip(x, y):
        if kind == 1:
            image[rng.integers(8)] += 2
        if kind == 2:
            image[:, rng.integers(8)] += 2
    return x, y


def network(**arguments):
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            ks.SparseConv2D(8, 3, density=0.4, activation="relu", name="first", seed=1, **arguments),
            ks.SparseConv2D(12, 3, density=0.2, strides=2, activation="relu", name="second", seed=2, **arguments),
            keras.layers.GlobalMaxPooling2D(),
            ks.SparseDense(3, density=0.8, name="last", seed=3),
        ]
    )


def compiled(**arguments):
    keras.utils.set_random_seed(0)
    model = network(**arguments)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("policy", [ks.SET(0.2), ks.RigL(), ks.SNFS(), ks.DeepR()])
def test_trains_with_rewiring_and_comes_back_from_a_file(policy, pictures, tmp_path):
    model = compiled()
    gradient = isinstance(policy, (ks.RigL, ks.SNFS))
    rewire = ks.Rewire(policy, every=4 if gradient else "epoch", stop=0.4)
    history = model.fit(*pictures, epochs=25, batch_size=20, verbose=0, callbacks=[rewire])
    assert history.history["accuracy"][-1] > 0.5
    assert {entry["layer"] for entry in rewire.history} == {"first", "second", "last"}
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for a, b in zip(model.variables, again.variables):
        assert np.array_equal(a, b), a.path
    x, _ = pictures
    np.testing.assert_allclose(model.predict(x, verbose=0), again.predict(x, verbose=0), atol=1e-5)
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    small = ks.resize(model, capacity={"second": 300})
    assert small.get_layer("second").kernel.capacity == 300
    np.testing.assert_allclose(model.predict(x, verbose=0), small.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "generic"])
def test_rewiring_sees_the_dense_gradient(path, pictures):
    model = compiled(compute=path)
    x, y = pictures
    rewire = ks.Rewire(ks.RigL()).attach(model)
    kernel = model.get_layer("second").kernel
    junction = next(j for j in rewire._junctions if j.kernel is kernel)
    with rewire.recording(), tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
        tape.gradient(loss, [v.value for v in model.trainable_variables])
    gradient = rewire._recorded.gradients([junction], "RigL")[junction.number]
    assert gradient.finite
    whole = np.empty(kernel.shape, np.float32)
    for first, columns in gradient.outputs():
        whole[:, first : first + columns.shape[1]] = columns
    images = model.layers[0](x)
    matrix = tf.constant(kernel.to_dense().reshape(3, 3, 8, 12))
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        hidden = tf.nn.relu(tf.nn.conv2d(images, matrix, 2, "VALID") + model.layers[1].bias)
        for layer in model.layers[2:]:
            hidden = layer(hidden)
        loss = model.compute_loss(x, y, hidden)
    exact = tape.gradient(loss, matrix).numpy().reshape(kernel.shape)
    np.testing.assert_allclose(whole, exact, atol=1e-5)
    c = kernel.connectivity
    np.testing.assert_allclose(gradient.at(c.inputs, c.outputs), exact[c.inputs, c.outputs], atol=1e-5)
    blocks = np.concatenate([values for _, values in gradient.blocks()])
    assert len(blocks) == exact.size


def test_growth_by_gradient_refuses_groups(pictures):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            ks.SparseConv2D(4, 3, density=0.4, groups=2),
            keras.layers.Flatten(),
            ks.SparseDense(3, density=0.5),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="convolution of 2 groups"):
        model.fit(*pictures, verbose=0, callbacks=[ks.Rewire(ks.RigL(), every=2)])
    model.fit(*pictures, verbose=0, callbacks=[ks.Rewire(ks.RigL(), every=2, layers=["sparse_dense"])])


@pytest.mark.parametrize("path", PATHS)
def test_export_holds_stock_ops(path, pictures, tmp_path):
    model = network(compute=path)
    x = pictures[0][:9]
    model.export(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(x), model.predict(x, verbose=0), atol=1e-5)
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel()
    proto.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    ops = {node.op for f in graph.library.function for node in f.node_def} | {node.op for node in graph.node}
    assert not any(op.startswith("KerasSparse") for op in ops)
    assert not ops & {"PyFunc", "EagerPyFunc", "IdentityN"}


@pytest.mark.parametrize("path", ["stock", "generic"])
def test_no_patches_are_laid_out(path):
    """What a tap sees is as large as the images; all taps together would be many times that."""
    layer = ks.SparseConv2D(4, 5, density=0.05, padding="same", compute=path, use_bias=False)
    layer.build((None, 16, 16, 8))
    x = tf.ones([2, 16, 16, 8])

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, [x, layer.kernel.values.value])

    graph = step.get_concrete_function(x).graph
    sizes = [t.shape.num_elements() or 0 for op in graph.get_operations() for t in op.outputs]
    assert max(sizes) <= 2 * 20 * 20 * 8


def test_inspect_shows_the_path_of_the_convolution(pictures):
    report = ks.inspect(network())
    first = report.junctions[0]
    assert (first.name, first.shape, first.connections) == ("first", (18, 8), 58)
    assert first.compute == network().layers[0].kernel.choice().path
    full = ks.SparseConv2D(8, 3, density=1.0)
    full.build((None, 8, 8, 4))
    assert full.kernel.choice().path == "dense"


def test_initial_scale_goes_by_the_connections():
    layer = ks.SparseConv2D(64, 3, density=0.1, kernel_initializer="he_normal", seed=0)
    layer.build((None, 8, 8, 32))
    c = layer.kernel.connectivity
    scaled = layer.kernel.values.numpy() * np.sqrt(c.in_degrees[c.outputs] / 2)
    assert scaled.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` must be a positive integer"),
        ({"kernel_size": (3, 0)}, "`kernel_size` must be a positive integer or 2"),
        ({"kernel_size": (3, 3, 3)}, "`kernel_size`"),
        ({"strides": 0}, "`strides`"),
        ({"padding": "causal"}, "`padding` must be one of 'valid', 'same'"),
        ({"groups": 3}, "equal groups"),
        ({"strides": 2, "dilation_rate": 2}, "strides above 1 cannot"),
        ({"data_format": "first"}, "channels_last"),
        ({"kernel_constraint": keras.constraints.MaxNorm(1, axis=[0, 1, 2])}, "axis=0"),
        ({"compute": "fast"}, "must be one of"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.SparseConv2D(**{"filters": 4, "kernel_size": 3, **arguments})


def test_inputs_that_do_not_fit():
    with pytest.raises(ValueError, match="number of channels must be known"):
        ks.SparseConv2D(4, 3).build((None, 8, 8, None))
    with pytest.raises(ValueError, match="3 channels cannot be divided into 2"):
        ks.SparseConv2D(4, 3, groups=2).build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="smaller than the window"):
        ks.SparseConv2D(4, 3).build((None, 2, 8, 3))
    with pytest.raises(ValueError, match="expected ndim=4"):
        ks.SparseConv2D(4, 3)(np.zeros((2, 8, 3)))


def test_config_round_trip():
    layer = ks.SparseConv2D(
        6, (3, 2), density=ks.ERK(0.5), strides=(2, 1), padding="same", groups=2, activation="relu", seed=4
    )
    again = ks.SparseConv2D.from_config(json.loads(json.dumps(layer.get_config())))
    for built in (layer, again):
        built.build((None, 9, 9, 4))
    assert json.dumps(again.get_config()) == json.dumps(layer.get_config())
    assert again.kernel.connectivity == layer.kernel.connectivity


def test_rules_of_density_count_every_dimension():
    layer = ks.SparseConv2D(6, (3, 2), density=ks.ERK(2.0), groups=2)
    layer.build((None, 9, 9, 8))
    assert len(layer.kernel) == 2 * (3 + 2 + 4 + 6)
    layer = ks.SparseConv2D(6, (3, 2), density=ks.ErdosRenyi(2.0))
    layer.build((None, 9, 9, 4))
    assert len(layer.kernel) == 2 * (3 * 2 * 4 + 6)
    layer = ks.SparseConv1D(6, 3, density=ks.ERK(1.5))
    layer.build((None, 9, 4))
    assert len(layer.kernel) == round(1.5 * (3 + 4 + 6))


def test_too_large_a_kernel_is_not_built():
    geometry = Geometry(2048, 2048, (3, 3))
    from keras_sparse.compute.dispatch_convolution import choose

    def choice(requested, **changes):
        facts = {"backend": "tensorflow", "device": "gpu", "geometry": geometry, "connections": 10**6, **changes}
        return choose(requested, **facts)

    assert choice("auto").path == "stock"
    assert choice("auto", backend="jax", device="cpu").path == "generic"
    assert choice("auto", device="cpu", native="avx2").path == "native"
    assert choice("auto", connections=2 * 10**7).path == "dense"
    with pytest.raises(ValueError, match="would build a 18432 x 2048 matrix"):
        choice("dense")
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        choice("stock", backend="jax")


@pytest.mark.slow
def test_trains_under_jax(tmp_path):
    pytest.importorskip("jax")
    import os
    import subprocess
    import sys

    code = """
import numpy as np, keras, keras_sparse as ks
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(64, 8, 8, 4)).astype("float32")
y = (x[:, 2:5, 3, 1].sum(1) > 0).astype("int32")
outs = []
for path in ("auto", "generic"):
    arguments = {"density": 0.3, "strides": 2, "padding": "same", "groups": 2, "capacity": 40}
    layer = ks.SparseConv2D(6, 3, compute=path, seed=1, **arguments)
    last = ks.SparseDense(2, density=0.5, seed=2)
    model = keras.Sequential([keras.Input((8, 8, 4)), layer, keras.layers.Flatten(), last])
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=1, batch_size=32, shuffle=False, verbose=0)
    outs.append(model.predict(x, verbose=0))
    print(layer.kernel.choice().path)
np.testing.assert_allclose(*outs, atol=1e-4)
model.fit(x, y, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.2))])
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["dense", "generic"]


@pytest.mark.gpu
@pytest.mark.parametrize("path", ["stock", "dense"])
def test_on_a_gpu(path, pictures):
    layer = ks.SparseConv2D(8, 3, density=0.3, compute=path, use_bias=False, padding="same", strides=2, seed=1)
    layer.build((3, 9, 10, 4))
    with tf.device("GPU:0"):
        check(layer, np.random.default_rng(0).normal(size=(3, 9, 10, 4)).astype("float32"))
    model = compiled(compute=path)
    losses = model.fit(*pictures, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))]).history["loss"]
    assert np.all(np.isfinite(losses))
