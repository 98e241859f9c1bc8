import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks


class Conformance(TestCase):
    def test_keras_harness(self):
        for shape in ((2, 3), (2, 4, 5, 7)):
            self.run_layer_test(
                ks.LocalResponseNormalization,
                init_kwargs={"radius": 2, "alpha": 0.3},
                input_shape=shape,
                expected_output_shape=shape,
                expected_num_trainable_weights=0,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=0,
                expected_num_losses=0,
                supports_masking=False,
            )


@pytest.mark.parametrize("radius", [0, 1, 4, 9])
def test_values_and_gradients_are_those_of_tensorflow(radius):
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 4, 8)), tf.float32) * 3
    layer = ks.LocalResponseNormalization(radius, bias=1.5, alpha=0.2, beta=0.6)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = layer(x)
        theirs = tf.nn.local_response_normalization(x, radius, 1.5, 0.2, 0.6)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), rtol=1e-4, atol=1e-5)


def test_channels_may_come_first():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4)).astype("float32")
    first = ks.LocalResponseNormalization(1, alpha=1.0, axis=1)(x)
    last = ks.LocalResponseNormalization(1, alpha=1.0)(np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), last, rtol=1e-6)


def test_half_precision_does_not_overflow():
    layer = ks.LocalResponseNormalization(dtype="mixed_float16")
    found = layer(np.full((1, 2, 2, 3), 300.0))
    assert found.dtype == "float16"
    np.testing.assert_allclose(found, np.full((1, 2, 2, 3), 300 * (1 + 0.001 / 9 * 3 * 300**2) ** -0.75), rtol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": -1}, "`radius` must be an integer of at least 0"),
        ({"radius": 1.5}, "`radius` must be an integer of at least 0"),
        ({"bias": 0.0}, "`bias` must be a finite number above 0"),
        ({"alpha": -1e-9}, "`alpha` must be a finite number of at least 0"),
        ({"beta": float("nan")}, "`beta` must be a finite number; got nan"),
        ({"axis": 0}, "`axis` must be an integer other than 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.LocalResponseNormalization(**arguments)


def test_unknown_channels_are_explained():
    with pytest.raises(ValueError, match="whose length is known"):
        ks.LocalResponseNormalization()(keras.Input((4, 4, None)))
    with pytest.raises(ValueError, match="whose length is known"):
        ks.LocalResponseNormalization(axis=3)(keras.Input((4,)))
