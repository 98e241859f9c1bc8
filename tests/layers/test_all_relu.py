import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks


class Conformance(TestCase):
    def test_keras_harness(self):
        for shape in ((3,), (2, 3), (2, 3, 4, 5)):
            self.run_layer_test(
                ks.AllReLU,
                init_kwargs={"alpha": 0.75, "layer_number": 2},
                input_shape=shape,
                expected_output_shape=shape,
                expected_num_trainable_weights=0,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=0,
                supports_masking=True,
            )


@pytest.mark.parametrize(("number", "slope"), [(1, -0.6), (2, 0.6), (3, -0.6), (4, 0.6)])
def test_values_and_gradients_alternate(number, slope):
    layer = ks.AllReLU(layer_number=number)
    x = tf.constant([[-2.0, -0.5, 0.5, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    np.testing.assert_allclose(y, [[-2 * slope, -0.5 * slope, 0.5, 3.0]], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(y, x), [[slope, slope, 1, 1]], rtol=1e-6)
    assert ks.AllReLU(layer_number=number)(np.zeros((1, 2)))[0, 0] == 0


def test_in_a_saved_model(tmp_path):
    model = keras.Sequential(
        [keras.Input((5,)), ks.SparseDense(4, density=0.5), ks.AllReLU(0.75, layer_number=1), ks.SparseDense(2)]
    )
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(3, 5))
    assert np.array_equal(model(x), again(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -0.1, "layer_number": 1}, "`alpha` must be"),
        ({"alpha": float("nan"), "layer_number": 1}, "`alpha` must be"),
        ({"layer_number": 0}, "counts layers from 1"),
        ({"layer_number": 1.0}, "counts layers from 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.AllReLU(**arguments)
