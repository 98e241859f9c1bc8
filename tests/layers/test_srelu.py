import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks


class Conformance(TestCase):
    def test_keras_harness(self):
        for shape, shared, size in (((4, 3), None, 3), ((2, 3, 4, 5), [1, -2], 5), ((2, 3, 4), [2], 3)):
            layer = ks.SReLU(shared_axes=shared)
            layer.build(shape)
            assert np.prod(layer.t_left.shape) == size
            self.run_layer_test(
                ks.SReLU,
                init_kwargs={"shared_axes": shared, "t_left_initializer": "random_uniform"},
                input_shape=shape,
                expected_output_shape=shape,
                expected_num_trainable_weights=4,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=0,
                supports_masking=True,
            )


def by_hand():
    """t_l = -1, a_l = 0.5, t_r = 2, a_r = 0.1 in each of two units."""
    layer = ks.SReLU()
    layer.build((None, 2))
    for variable, value in zip(layer.weights, (-1.0, 0.5, 3.0, 0.1)):
        variable.assign(np.full(2, value))
    return layer


def test_values_by_hand():
    layer = by_hand()
    x = np.array([[-3.0, -1.0], [0.5, 2.0], [12.0, -0.5]], "float32")
    np.testing.assert_allclose(layer(x), [[-2.0, -1.0], [0.5, 2.0], [3.0, -0.5]], rtol=1e-6)


def test_gradients_by_hand():
    layer = by_hand()
    x = tf.constant([[-3.0, 12.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    dx, t_left, a_left, t_right, a_right = tape.gradient(y, [x, *(v.value for v in layer.weights)])
    np.testing.assert_allclose(dx, [[0.5, 0.1]], rtol=1e-6)
    # Left of t_l: 1 - a_l. Right of t_r = t_l + |t_right|: 1 - a_r through both.
    np.testing.assert_allclose(t_left, [0.5, 0.9], rtol=1e-6)
    np.testing.assert_allclose(a_left, [-2.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(t_right, [0.0, 0.9], rtol=1e-6)
    np.testing.assert_allclose(a_right, [0.0, 10.0], rtol=1e-6)


def test_the_pieces_never_change_places():
    layer = by_hand()
    layer.t_right.assign(np.full(2, -3.0))
    np.testing.assert_allclose(layer(np.array([[12.0, 1.0]], "float32")), [[3.0, 1.0]], rtol=1e-6)


def test_starts_as_a_leaky_rectifier():
    layer = ks.SReLU()
    layer.build((None, 1000))
    assert not np.any(layer.t_left)
    assert np.all(layer.a_right.numpy() == 1)
    a_left, t_right = layer.a_left.numpy(), layer.t_right.numpy()
    assert 0 <= a_left.min() < 0.1 < 0.9 < a_left.max() <= 1
    assert 0 <= t_right.min() < 0.5 < 4.5 < t_right.max() <= 5


def test_in_a_saved_model(tmp_path):
    model = keras.Sequential([keras.Input((5,)), ks.SparseDense(4, density=0.5), ks.SReLU(a_left_initializer="ones")])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(3, 5)) * 9
    assert np.array_equal(model(x), again(x))


@pytest.mark.parametrize("axes", [[0], [3], [-4], ["x"]])
def test_shared_axes_must_be_axes(axes):
    with pytest.raises(ValueError, match="`shared_axes` must be axes"):
        ks.SReLU(shared_axes=axes).build((2, 3, 4))


def test_unknown_dimensions_must_be_shared():
    with pytest.raises(ValueError, match="must be known"):
        ks.SReLU().build((None, None, 4))
    ks.SReLU(shared_axes=[1]).build((None, None, 4))
