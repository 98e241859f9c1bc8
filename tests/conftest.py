"""Shared fixtures. Two virtual CPU devices, so that distribution is tested everywhere."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # see keras_sparse.search; a test may import KerasTuner first

import keras
import numpy as np
import pytest

from keras_sparse.compute.native.library import load

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    )


library = load()


def pytest_collection_modifyitems(items):
    gpu = keras.backend.backend() == "tensorflow" and tf.config.list_physical_devices("GPU")
    for item in items:
        if "gpu" in item.keywords and not gpu:
            item.add_marker(pytest.mark.skip(reason="TensorFlow sees no GPU"))


@pytest.fixture(autouse=True)
def _fresh():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)


@pytest.fixture
def two_devices():
    """A MirroredStrategy; collective operations of several in one process get into each other's way."""
    plain = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=plain)


@pytest.fixture(params=library.instruction_sets if library else [])
def instruction_set(request):
    """One after another, the instruction sets that this processor has for the native kernels."""
    before = library.instruction_set
    library.use(request.param)
    yield request.param
    library.use(before)


@pytest.fixture(params=[1, 3])
def threads(request):
    """A number of threads of the native kernels: one, and perhaps more than there are processors."""
    before = library.threads
    library.set_threads(request.param)
    yield request.param
    library.set_threads(before)


@pytest.fixture
def problem():
    """A small learnable classification problem: x [160, 12], y [160] in three classes."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(160, 12)).astype("float32")
    return x, np.argmax(x @ rng.normal(size=(12, 3)), axis=1)
