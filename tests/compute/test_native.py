"""The native kernels: every instruction set against float64 sums, hostile input, and what TensorFlow does with them."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute.dispatch import BUILD_BATCH
from keras_sparse.compute.native import ops
from keras_sparse.compute.native.library import load

library = load()
pytestmark = pytest.mark.skipif(library is None, reason="the native kernels are not installed")
SETS = library.instruction_sets if library else []


def built(n_in, n_out, density, compute="native", **kwargs):
    layer = ks.SparseDense(n_out, density=density, compute=compute, seed=0, use_bias=False, **kwargs)
    layer.build((None, n_in))
    return layer.kernel


def stored(kernel):
    return ops.Stored(*kernel._storage.index_tensors(), kernel.layout)


def step(kernel, x, dy):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = kernel.matmul(x)
    return y, *tape.gradient(y, [x, kernel.values.value], dy)


def check(kernel, batch):
    rng = np.random.default_rng(batch)
    c = kernel.connectivity
    values = kernel.values.numpy()[: len(c)].astype("float64")
    w = scipy.sparse.csr_array((values, (c.inputs, c.outputs)), shape=kernel.shape)
    x, dy = (rng.normal(size=(batch, n)).astype("float32") for n in kernel.shape)
    y, dx, dv = step(kernel, tf.constant(x), tf.constant(dy))
    np.testing.assert_allclose(y, x @ w, atol=1e-4)
    np.testing.assert_allclose(dx, dy @ w.T, atol=1e-4)
    exact = np.einsum("bk,bk->k", x[:, c.inputs], dy[:, c.outputs], dtype="float64")
    np.testing.assert_allclose(dv[: len(c)], exact, atol=1e-3)
    assert not np.any(dv[len(c) :])


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8, 31, 64, 100, 129, 300])
def test_every_batch_size(instruction_set, threads, batch):
    check(built(301, 517, 0.2, capacity=40_000), batch)


@pytest.mark.parametrize(
    ("n_in", "n_out", "density"),
    [(1, 1, 1.0), (1, 5000, 0.5), (5000, 1, 0.5), (700, 70_000, 1e-4), (2000, 3000, 0.002), (64, 64, 1.0)],
)
def test_every_shape(instruction_set, n_in, n_out, density):
    kernel = built(n_in, n_out, density)
    assert kernel.layout.id_bits == (32 if n_out > 65536 else 16)
    for batch in (1, 40):
        check(kernel, batch)


def test_one_sample_with_rows_of_every_length(instruction_set):
    lengths = [0, 1, 15, 16, 17, 95, 0, 96, 97, 3, 1023, 1024, 1025, 2, 40, 40, 0]
    mask = np.arange(1100) < np.array(lengths)[:, None]
    kernel = built(len(lengths), 1100, None, pattern=ks.FromMask(np.random.default_rng(0).permuted(mask, axis=1)))
    check(kernel, 1)
    assert len(kernel) == sum(lengths)


def test_same_threads_same_bits(threads):
    kernel = built(500, 600, 0.1)
    x, dy = tf.random.normal([128, 500]), tf.random.normal([128, 600])
    first = step(kernel, x, dy)
    for _ in range(20):
        for one, other in zip(first, step(kernel, x, dy), strict=True):
            assert np.array_equal(one, other)


def test_non_finite_numbers_spread_along_connections_only(instruction_set):
    kernel = built(300, 400, 0.05)
    c = kernel.connectivity
    for batch in (1, 70):
        x = np.ones((batch, 300), "float32")
        x[0, 7], x[0, 9] = np.nan, np.inf
        y, _, dv = step(kernel, tf.constant(x), tf.ones([batch, 400]))
        touched = np.isin(np.arange(400), c.outputs[np.isin(c.inputs, (7, 9))])
        assert np.array_equal(~np.isfinite(y[0]), touched)
        assert np.all(np.isfinite(y[1:]))
        assert np.array_equal(~np.isfinite(dv), np.isin(c.inputs, (7, 9)))


def test_subnormals_count_as_zero_inside_and_only_there():
    kernel = built(64, 64, 0.5)
    assert not np.any(kernel.matmul(tf.fill([40, 64], 1e-40)))
    assert np.float32(1e-40) * np.float32(2) > 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("batch", [1, 50])
def test_half_precision_is_summed_in_float32(instruction_set, dtype, batch):
    kernel = built(2000, 30, 0.5, dtype=f"mixed_{dtype}")
    x = tf.cast(tf.random.stateless_normal([batch, 2000], (1, 2)), dtype)
    exact = tf.cast(x, tf.float64) @ kernel.to_dense().astype("float64")
    y = kernel.matmul(x)
    assert y.dtype == dtype
    # One rounding at the end.
    np.testing.assert_allclose(
        tf.cast(y, tf.float64), exact, rtol=2.0 ** (-8 if dtype == "bfloat16" else -11), atol=1e-4
    )


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_second_derivatives(relu, first):
    kernel = built(6, 5, 0.6)
    x, bias = tf.random.stateless_normal([3, 6], (0, 3)), tf.constant([0.3, -0.2, 0.1, 0.0, 0.5])

    def penalty(values, x, bias):
        with tf.GradientTape() as inner:
            watched = [values, bias] if first else [values, bias, x]
            inner.watch(watched)
            y = ops.multiply(x, values, stored(kernel), transpose=False, finish=ops.Finish(bias, relu))
            loss = tf.reduce_sum(y**2)
        return tf.add_n([tf.reduce_sum(gradient**2) for gradient in inner.gradient(loss, watched)])

    theory, numeric = tf.test.compute_gradient(penalty, [tf.constant(kernel.values.value), x, bias], delta=1e-2)
    for one, other in zip(theory, numeric, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("activation", ["relu", "tanh", None])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("trainable", [True, False])
def test_bias_and_relu_within_the_product_change_nothing(activation, dtype, trainable):
    arguments = {"density": 0.2, "activation": activation, "seed": 3, "dtype": dtype, "bias_initializer": "uniform"}
    fused, plain = (ks.SparseDense(50, compute=compute, **arguments) for compute in ("native", "stock"))
    x = tf.random.stateless_normal([2, 40, 30], (1, 1))
    fused(x), plain(x)
    plain.set_weights(fused.get_weights())
    fused.kernel.values.trainable = plain.kernel.values.trainable = trainable
    results = []
    for layer in (fused, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
        results.append(
            [y, *tape.gradient(loss, [x, layer.bias.value, *([layer.kernel.values.value] if trainable else [])])]
        )
    for one, other in zip(*results, strict=True):
        one, other = tf.cast(one, "float32"), tf.cast(other, "float32")
        np.testing.assert_allclose(one, other, atol=(1e-5 if dtype == "float32" else 0.05) * np.abs(other).max())


def test_the_first_layer_is_spared_the_gradient_of_its_inputs():
    first, second = (ks.SparseDense(n, density=0.5, compute="native") for n in (20, 10))
    model = keras.Sequential([keras.Input((30,)), first, second])

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            y = model(x)
        return tape.gradient(y, [v.value for v in model.trainable_variables])

    types = [op.type for op in gradients.get_concrete_function(tf.TensorSpec([None, 30])).graph.get_operations()]
    assert types.count("KerasSparseOuter") == 1
    assert types.count("KerasSparseGradients") == 1


class TestErrors:
    @pytest.fixture
    def kernel(self):
        return built(20, 300, 0.1)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"x": tf.zeros([3, 19])}, "x must have 20 features, but has 19"),
            ({"x": tf.zeros([20])}, "rank"),
            ({"values": tf.zeros([599])}, "values must hold 600 numbers, the capacity; it holds 599"),
            ({"bias": tf.zeros([299]), "with_bias": True}, "bias must hold 300 numbers"),
            ({"relu": True, "transpose": True, "x": tf.zeros([3, 300])}, "a transposed product takes no ReLU"),
            ({"ids": tf.zeros([149], tf.int64)}, "ids must hold 600 packed ids"),
            ({"rows": tf.zeros([20], tf.int64)}, "rows must hold a row pointer per input and block"),
            ({"rows": tf.fill([21], tf.constant(601, tf.int64))}, "the index is broken"),
            ({"rows": tf.range(21, 0, -1, tf.int64)}, "the index is broken"),
            ({"rows": tf.fill([21], tf.constant(-1, tf.int64))}, "the index is broken"),
            ({"ids": tf.fill([150], tf.constant(-1, tf.int64))}, "the index is broken"),
            ({"x": tf.zeros([3, 20], tf.float64)}, "attr .T. of double is not"),
            ({"ids": tf.zeros([150], tf.int32)}, "int"),
        ],
    )
    @pytest.mark.parametrize("batch", [1, 3])
    def test_wrong_input_is_an_op_error(self, kernel, change, message, batch):
        assert kernel.layout.blocks == 1
        inputs = {
            "x": tf.zeros([batch, 20]),
            "values": kernel.values.value,
            "bias": tf.zeros([0]),
            **dict(zip(("ids", "rows"), kernel._storage.index_tensors(), strict=True)),
            **change,
        }
        with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.NotFoundError, TypeError), match=message):
            library.ops.keras_sparse_mat_mul(**{**inputs, **ops.sizes(stored(kernel))})

    def test_gradients_check_as_well(self, kernel):
        x, dy, values, index = tf.zeros([3, 20]), tf.zeros([4, 300]), kernel.values.value, stored(kernel)
        with pytest.raises(tf.errors.InvalidArgumentError, match="x has a batch of 3 and dy of 4"):
            ops.gradients(x, dy, values, index)
        broken = index._replace(ids=-tf.ones_like(index.ids))
        for call in (
            lambda: ops.gradients(x, dy[:3], values, broken),
            lambda: ops.outer(x, dy[:3], broken),
            lambda: ops.to_dense(values, broken, tf.float32),
            lambda: ops.from_dense(tf.zeros([20, 300]), broken),
        ):
            with pytest.raises(tf.errors.InvalidArgumentError, match="the index is broken"):
                call()

    def test_shapes_are_inferred(self, kernel):
        @tf.function(input_signature=[tf.TensorSpec([None, 20])])
        def f(x):
            y = kernel.matmul(x)
            assert y.shape.as_list() == [None, 300]
            return y

        assert f(tf.zeros([2, 20])).shape == (2, 300)
        with pytest.raises(ValueError, match="rank"):
            tf.function(lambda x: ops.multiply(x, kernel.values.value, stored(kernel), transpose=False))(tf.zeros([20]))


@pytest.mark.parametrize(("path", "density"), [("native", 0.2), ("auto", 0.9), ("dense", 0.2), ("stock", 0.2)])
@pytest.mark.parametrize("transpose", [False, True])
def test_shapes_of_gradients_are_known(path, density, transpose):
    kernel = built(20, 300, density, path)
    n_in, n_out = (300, 20) if transpose else (20, 300)

    @tf.function(input_signature=[tf.TensorSpec([None, n_in])])
    def f(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = kernel.matmul(x, transpose=transpose)
        dx, dvalues = tape.gradient(y, [x, kernel.values.value])
        assert y.shape.as_list() == [None, n_out]
        assert dx.shape.as_list() == [None, n_in]
        assert dvalues.shape == kernel.values.shape
        return dx

    assert f(tf.zeros([2, n_in])).shape == (2, n_in)


class TestAdaptive:
    """A kernel that is nearly full takes the matrix for large batches, decided at run time."""

    @pytest.mark.parametrize("batch", [1, BUILD_BATCH - 1, BUILD_BATCH + 5])
    @pytest.mark.parametrize("compiled", [False, True])
    def test_both_branches_agree(self, batch, compiled):
        kernel = built(30, 40, 0.9, "auto")
        assert kernel.choice().module == "native.adaptive"
        x, dy = tf.random.normal([batch, 30]), tf.random.normal([batch, 40])
        w, c = kernel.to_dense(), kernel.connectivity
        signature = [tf.TensorSpec([None, 30]), tf.TensorSpec([None, 40])]
        run = tf.function(step.__get__(kernel), input_signature=signature) if compiled else step.__get__(kernel)
        y, dx, dv = run(x, dy)
        np.testing.assert_allclose(y, x @ w, atol=1e-4)
        np.testing.assert_allclose(dx, dy @ w.T, atol=1e-4)
        np.testing.assert_allclose(dv, (tf.transpose(x) @ dy).numpy()[c.inputs, c.outputs], atol=1e-3)
        np.testing.assert_allclose(kernel.matmul(dy, transpose=True), dx, atol=1e-4)

    def test_a_compiled_step_follows_a_kernel_that_shrinks(self):
        kernel = built(30, 40, 0.9, "auto")
        call = tf.function(kernel.matmul)
        x = tf.constant(np.random.default_rng(0).normal(size=(BUILD_BATCH, 30)).astype("float32"))
        x = tf.concat(
            [tf.fill([BUILD_BATCH, 1], np.inf), x[:, 1:]], 1
        )  # the matrix turns inf · 0 into NaN, connections do not
        assert np.any(np.isnan(call(x)))
        c = kernel.connectivity
        few = ks.Connectivity(c.inputs[:50], c.outputs[:50], shape=c.shape)
        kernel.assign(few, np.ones(50))
        assert not np.any(np.isnan(call(x)))


def test_the_dense_path_builds_its_matrix_natively():
    kernel = built(300, 700, 0.3, "dense")
    assert kernel.choice().module == "native.dense"
    check(kernel, 20)


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


MIRRORED = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, keras_sparse as ks
def trained(strategy):
    with strategy.scope():
        model = keras.Sequential([keras.Input((20,)), ks.SparseDense(30, density=0.2, seed=1, compute="native"),
                                  keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile("sgd", "mse")
    assert model.layers[0].kernel.choice().path == "native"
    x = np.random.default_rng(0).normal(size=(64, 20)).astype("float32")
    model.fit(x, x[:, :1], batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model.layers[0].kernel.host_values()
one = trained(tf.distribute.get_strategy())
two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
print("same")
"""


def test_mirrored_replicas_train_as_one():
    done = run(MIRRORED)
    assert "same" in done.stdout, done.stderr[-2000:]


CHOICE = """
import keras_sparse as ks
layer = ks.SparseDense(30, density=0.2, compute="native")
layer.build((None, 20))
choice = layer.kernel.choice()
print(choice.path, "|", choice.reason)
"""


@pytest.mark.parametrize("name", SETS)
def test_the_environment_forces_an_instruction_set(name):
    assert run(CHOICE, KERAS_SPARSE_INSTRUCTION_SET=name).stdout.strip() == f"native | asked for, {name}"


def test_without_the_library_the_stock_ops_do_it_and_one_line_says_so():
    done = run(CHOICE, KERAS_SPARSE_INSTRUCTION_SET="abacus")
    assert done.stdout.startswith("dense |")
    assert "native kernels are not installed" in done.stdout
    assert done.stderr.count("the stock path is used") == 1
    assert "This processor has the instruction sets" in done.stderr
    assert "stock path" not in run(CHOICE, KERAS_SPARSE_INSTRUCTION_SET="none").stderr


def test_only_the_c_api_is_needed():
    path = Path(library.binary._name)
    symbols = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, text=True).stdout
    if not symbols:
        pytest.skip("no nm here")
    assert "tensorflow" not in symbols
    assert "TF_" not in symbols
