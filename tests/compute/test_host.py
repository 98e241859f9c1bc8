import keras
import numpy as np
import pytest

from keras_sparse.compute import host

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="looks at TensorFlow's memory")


def variable():
    return keras.Variable(np.arange(1000, dtype="float32"))


def test_a_view_is_the_value_and_cannot_be_written_to():
    v = variable()
    assert np.array_equal(host.view(v).array, np.arange(1000))
    with pytest.raises(ValueError, match="read-only"):
        host.view(v).array[0] = 1


def test_a_variable_that_nobody_writes_to_stays_the_same():
    v = variable()
    before = host.view(v)
    assert host.view(v).same(before)
    v.assign(np.arange(1000, dtype="float32"))
    assert host.view(v).same(host.view(v))


CHANGES = {
    "assign": lambda v: v.assign(np.ones(1000, "float32")),
    "the same values": lambda v: v.assign(np.arange(1000, dtype="float32")),
    "assign_add": lambda v: v.assign_add(np.ones(1000, "float32")),
    "in place": lambda v: v.value.assign_add(np.ones(1000, "float32")),
    "scattered": lambda v: v.value.scatter_nd_update([[3]], [9.0]),
    "sliced": lambda v: v.value[2:5].assign([1.0, 1.0, 1.0]),
    "written": lambda v: host.write(v, np.zeros(1000)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_view_stays_as_it_is_and_tells_that_the_variable_was_written_to(change):
    v = variable()
    for _ in range(3):
        v.assign(np.arange(1000, dtype="float32"))
        before = host.view(v)
        CHANGES[change](v)
        after = host.view(v)
        assert not after.same(before)
        assert np.array_equal(before.array, np.arange(1000))
        assert np.array_equal(after.array, v.numpy())


def test_writing_another_shape_is_refused():
    with pytest.raises(AssertionError):
        host.write(variable(), np.zeros(999))


def test_training_does_not_change_a_view():
    layer = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.train_on_batch(np.ones((8, 4)), np.ones((8, 3)))
    before = host.view(layer.kernel)
    copy = before.array.copy()
    model.train_on_batch(np.ones((8, 4)), np.zeros((8, 3)))
    assert np.array_equal(before.array, copy)
    assert not host.view(layer.kernel).same(before)
    assert not np.array_equal(host.view(layer.kernel).array, copy)
