"""Every path agrees with a float64 sum over the connections that exist (invariant 6), in bounded memory (3)."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.compute import dispatch
from keras_sparse.compute.paths import native_instruction_set
from keras_sparse.compute.recording import recording

PATHS = ("native", "stock", "dense", "generic")

needs_native = pytest.mark.skipif(native_instruction_set() is None, reason="the native kernels are not installed")


def built(n_in, n_out, density, path, seed=0, capacity=None, **kwargs):
    layer = ks.SparseDense(n_out, density=density, compute=path, seed=seed, capacity=capacity, use_bias=False, **kwargs)
    layer.build((None, n_in))
    return layer


def gradients(kernel, x, dy):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = kernel.matmul(x)
        loss = tf.reduce_sum(y * dy)
    return y, *tape.gradient(loss, [x, kernel.values.value])


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(PATHS),
    st.integers(1, 40),
    st.integers(1, 700),
    st.floats(0.001, 1),
    st.integers(0, 9),
    st.booleans(),
)
def test_agrees_with_a_float64_sum(path, n_in, n_out, density, batch, spare):
    rng = np.random.default_rng(n_in + n_out)
    k = max(1, round(density * (n_in * n_out)))
    layer = built(n_in, n_out, density, path, capacity=min(n_in * n_out, k + 7) if spare else None)
    kernel, c = layer.kernel, layer.kernel.connectivity
    assert len(c) == k
    x = rng.normal(size=(batch, n_in)).astype("float32")
    dy = rng.normal(size=(batch, n_out)).astype("float32")
    w = kernel.to_dense().astype("float64")
    y, dx, dv = gradients(kernel, tf.constant(x), tf.constant(dy))
    scale = 1e-5 * max(1, n_in, n_out)
    np.testing.assert_allclose(y, x @ w, atol=scale)
    np.testing.assert_allclose(dx, dy @ w.T, atol=scale)
    full = x.astype("float64").T @ dy
    np.testing.assert_allclose(dv[:k], full[c.inputs, c.outputs], atol=1e-4)
    assert not np.any(dv[k:])
    np.testing.assert_allclose(kernel.outer(x, dy), dv, atol=1e-4)
    np.testing.assert_allclose(kernel.matmul(dy, transpose=True), dx, atol=scale)


@pytest.mark.parametrize("path", PATHS)
def test_products_in_a_function_of_the_user_warn_of_nothing(path, caplog):
    kernel, x, y = built(9, 14, 0.9, path).kernel, tf.ones((2, 9)), tf.ones((2, 14))

    @tf.function
    def products():
        return kernel.matmul(x), kernel.matmul(tf.sparse.from_dense(x)), kernel.outer(x, y)

    with caplog.at_level("WARNING"):
        tf.get_logger().addHandler(caplog.handler)  # TensorFlow's messages go no further
        try:
            products()
        finally:
            tf.get_logger().removeHandler(caplog.handler)
    assert not caplog.messages


@pytest.mark.parametrize("path", PATHS)
def test_transposed_product_has_the_right_gradients(path):
    kernel = built(9, 14, 0.3, path).kernel
    c, w = kernel.connectivity, kernel.to_dense()
    rng = np.random.default_rng(0)
    h, g = (tf.constant(rng.normal(size=(5, n)).astype("float32")) for n in (14, 9))
    with tf.GradientTape() as tape:
        tape.watch(h)
        loss = tf.reduce_sum(kernel.matmul(h, transpose=True) * g)
    dh, dv = tape.gradient(loss, [h, kernel.values.value])
    np.testing.assert_allclose(dh, g @ w, atol=1e-5)
    np.testing.assert_allclose(dv, (tf.transpose(g) @ h).numpy()[c.inputs, c.outputs], atol=1e-5)


@pytest.mark.parametrize("path", [pytest.param("native", marks=needs_native), "stock", "generic"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_inputs_reach_connected_outputs_only(path, bad):
    kernel = built(6, 8, 0.3, path).kernel
    x = np.ones((2, 6), "float32")
    x[0, 2] = bad
    y = kernel.matmul(tf.constant(x)).numpy()
    reached = np.zeros(8, bool)
    reached[kernel.connectivity.outputs[kernel.connectivity.inputs == 2]] = True
    assert np.array_equal(~np.isfinite(y[0]), reached)
    assert np.all(np.isfinite(y[1]))


@pytest.mark.parametrize("path", PATHS)
def test_half_precision_stays_close_to_float32(path):
    x = np.random.default_rng(0).normal(size=(4, 50)).astype("float32")
    for policy in ("mixed_float16", "mixed_bfloat16"):
        layer = built(50, 30, 0.3, path, dtype=policy)
        y = layer(x)
        assert y.dtype == policy.removeprefix("mixed_")
        assert layer.kernel.values.dtype == "float32"
        np.testing.assert_allclose(tf.cast(y, tf.float32), x @ layer.kernel.to_dense(), atol=0.1)


@pytest.mark.parametrize("path", ["native", "stock", "dense"])
def test_works_inside_a_function_and_sees_new_connections_without_retracing(path):
    kernel = built(10, 12, 0.2, path).kernel
    traces = []

    @tf.function
    def step(x):
        traces.append(1)
        return kernel.matmul(x)

    x = tf.random.normal([3, 10])
    np.testing.assert_allclose(step(x), x @ kernel.to_dense(), atol=1e-5)
    fewer = ks.Random().sample((10, 12), 11, seed=9)
    kernel.assign(fewer, np.arange(11.0))
    np.testing.assert_allclose(step(x), x @ kernel.to_dense(), atol=1e-4)
    assert len(traces) == 1


def test_a_layer_can_be_built_inside_a_function():
    layer = ks.SparseDense(5, density=0.5, seed=0)
    x = tf.random.normal([3, 4])
    np.testing.assert_allclose(tf.function(layer)(x), x @ layer.kernel.to_dense(), atol=1e-5)
    assert layer.kernel.slots_aligned()


@pytest.mark.parametrize("path", ["native", "stock"])
def test_the_gradient_never_builds_connections_times_batch(path):
    # 1.2 million connections x batch 512 would be 2.4 GB an array, and the matrix 1.6 GB.
    code = """
import resource, keras_sparse as ks, tensorflow as tf
layer = ks.SparseDense(20000, density=0.003, compute="PATH", seed=0)
x = tf.random.normal([512, 20000])
layer.build(x.shape)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with tf.GradientTape() as tape:
    tape.watch(x)
    loss = tf.reduce_sum(tf.square(layer(x)))
tape.gradient(loss, [x, layer.kernel.values.value])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", code.replace("PATH", path)], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) < 700  # MiB; activations alone are 40 MB each


def test_the_recorder_sees_what_the_dense_gradient_is_made_of():
    layer = built(7, 5, 0.4, "stock")
    x = tf.random.normal([6, 7])
    seen = []
    with recording(lambda kernel, inputs, dy: seen.append((kernel, inputs, dy))), tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x)))
        tape.gradient(loss, layer.kernel.values.value)
    [(kernel, inputs, dy)] = seen
    assert kernel is layer.kernel
    w = tf.Variable(layer.kernel.to_dense())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(x @ w))
    np.testing.assert_allclose(tf.transpose(inputs) @ dy, tape.gradient(loss, w), rtol=1e-4, atol=1e-4)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x))
    tape.gradient(loss, layer.kernel.values.value)
    assert len(seen) == 1  # only inside the context


class TestDispatch:
    def choose(self, **changes):
        arguments = {"backend": "tensorflow", "device": "cpu", "shape": (784, 1000), "connections": 78400}
        return dispatch.choose(changes.pop("requested", "auto"), **{**arguments, **changes})

    def test_small_matrices_are_built_and_sparse_ones_are_not(self):
        assert self.choose().path == "dense"
        assert self.choose(connections=784).path == "stock"
        assert self.choose(shape=(10**5, 10**5), connections=10**6).path == "stock"
        assert self.choose(shape=(10**5, 10**5), connections=6 * 10**9).path == "dense"

    def test_the_cap_counts_bytes(self):
        shape = (4096, 4096)
        assert self.choose(shape=shape, connections=10**6).path == "dense"
        assert self.choose(shape=shape, connections=10**6, dtype="float64").path == "stock"
        layer = ks.SparseDense(3000, density=0.1, capacity=8_000_000, dtype="float64")
        layer.build((None, 3000))
        assert layer.kernel.choice().path == "stock"  # 72 MB in float64, and a tenth full whatever the capacity

    def test_other_devices(self):
        assert self.choose(device="gpu").path == "stock"

    def test_native_kernels_are_chosen_where_they_can_run(self):
        assert self.choose(native="avx2") == dispatch.Choice("native", "own kernels, avx2")
        assert self.choose(native="avx2", requested="native").path == "native"
        for change, reason in [
            ({"native": None}, "not installed"),
            ({"device": "gpu"}, "for CPUs"),
            ({"dtype": "float64"}, "do not compute in float64"),
            ({"portable": True}, "exported models use stock ops"),
        ]:
            for requested in ("auto", "native"):
                choice = self.choose(**{"native": "avx2", "requested": requested, **change})
                assert choice.path in ("stock", "dense")
                assert reason in choice.reason

    def test_every_choice_has_a_reason(self):
        assert "too high for tf.sparse" in self.choose().reason
        assert self.choose(requested="stock").reason == "asked for"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"requested": "dense", "shape": (10**5, 10**5)}, "allowed are 64 MiB"),
            ({"requested": "fast"}, "must be one of 'auto'"),
            ({"requested": "stock", "backend": "jax"}, "needs the TensorFlow backend"),
        ],
    )
    def test_what_cannot_run_is_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            self.choose(**changes)


@pytest.mark.gpu
def test_paths_agree_on_a_gpu():
    x = tf.random.normal([32, 300])
    layer = built(300, 200, 0.05, "stock")
    np.testing.assert_allclose(layer(x), x @ layer.kernel.to_dense(), atol=1e-3)


def test_export_holds_stock_ops_and_no_custom_gradient():
    layer = built(20, 10, 0.2, "stock")
    with ks.stock_ops():
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec([None, 20])).graph
    types = {op.type for op in graph.get_operations()}
    assert "SparseTensorDenseMatMul" in types
    assert not types & {"IdentityN", "StatefulPartitionedCall", "Bitcast", "Cumsum"}


assert keras.backend.backend() == "tensorflow", "these tests are of the TensorFlow paths"


@pytest.mark.gpu
def test_a_model_trains_on_a_gpu_with_its_index_there(problem):
    x, labels = problem
    model = keras.Sequential(
        [keras.Input((12,)), ks.SparseDense(40, density=0.3, activation="relu", seed=0), ks.SparseDense(3, density=0.5)]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    kernel = model.layers[0].kernel
    assert kernel.choice().path == "stock"
    assert all("GPU" in variable.value.device for variable in (kernel.values, *kernel.index_variables))
    losses = model.fit(x, labels, epochs=5, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))]).history["loss"]
    assert np.all(np.isfinite(losses))


@pytest.mark.gpu
def test_gradients_on_a_gpu_never_build_connections_times_batch():
    layer = built(20000, 20000, 0.003, "stock")
    x = tf.random.normal([512, 20000])
    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.square(layer(x)))
    tape.gradient(loss, [x, layer.kernel.values.value])
    assert tf.config.experimental.get_memory_info("GPU:0")["peak"] - before < 700 * 2**20
