import keras
import numpy as np
import pytest
from keras.src.testing import TestCase

import keras_sparse as ks


class Conformance(TestCase):
    def test_keras_harness(self):
        self.run_layer_test(
            ks.SparseEinsumDense,
            init_kwargs={
                "equation": "abc,cde->abde",
                "output_shape": (None, 3, 4),
                "bias_axes": "de",
                "density": 0.5,
                "activation": "relu",
                "seed": 1,
            },
            input_shape=(2, 5, 6),
            expected_output_shape=(2, 5, 3, 4),
            expected_num_trainable_weights=2,
            expected_num_non_trainable_weights=3,
            expected_num_seed_generators=0,
            expected_num_losses=0,
            supports_masking=True,
        )


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "input_shape"),
    [
        ("abc,cde->abde", (None, 3, 4), "de", (2, 5, 6)),
        ("abcd,cde->abe", (None, 7), "e", (2, 5, 3, 4)),
        ("...x,xy->...y", 8, "y", (2, 3, 4, 5)),
        ("ab,bc->ac", 4, None, (0, 5)),
    ],
)
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_is_an_einsum_dense_with_the_sparse_matrix(equation, output_shape, bias_axes, input_shape, activation):
    arguments = {"bias_axes": bias_axes, "activation": activation}
    layer = ks.SparseEinsumDense(equation, output_shape, density=0.4, seed=1, **arguments)
    dense = keras.layers.EinsumDense(equation, output_shape, **arguments)
    layer.build(input_shape)
    dense.build(input_shape)
    dense.kernel.assign(layer.kernel.to_dense().reshape(dense.kernel.shape))
    if bias_axes:
        layer.bias.assign(np.linspace(-1, 1, layer.units))
        dense.bias.assign(np.linspace(-1, 1, layer.units).reshape(dense.bias.shape))
    x = np.random.default_rng(0).normal(size=input_shape).astype("float32")
    y = layer(x)
    np.testing.assert_allclose(y, dense(x), atol=1e-5)
    assert layer.compute_output_shape(input_shape) == y.shape


@pytest.mark.parametrize(
    "equation", ["ab,cb->ac", "abc,bd->adc", "ab,b->a", "abc,ced->abde", "abc", "ab,bc->ab", "ab,bc->ca", "aab,bc->aac"]
)
def test_other_equations_are_refused(equation):
    with pytest.raises(ValueError, match="not one product over the last axes"):
        ks.SparseEinsumDense(equation, (None, 3))


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match="sizes of the axes 'de'"):
        ks.SparseEinsumDense("abc,cde->abde", (None, 3, None))
    with pytest.raises(ValueError, match="`bias_axes` must be 'de'"):
        ks.SparseEinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="e")
    layer = ks.SparseEinsumDense("abcd,cde->abe", (None, 7))
    with pytest.raises(ValueError, match="last 2 dimensions are known"):
        layer.build((None, 4, None, 3))


@pytest.mark.parametrize("kind", ["multi-head", "grouped"])
def test_attention_survives_saving_training_and_export(kind, tmp_path):
    x = keras.Input((6, 8))
    layer = (
        ks.SparseMultiHeadAttention(2, 4, density=0.5, kernel_seed=1, dropout=0.1)
        if kind == "multi-head"
        else ks.SparseGroupQueryAttention(4, 4, 2, density=0.5, kernel_seed=1)
    )
    model = keras.Model(x, keras.layers.Flatten()(layer(x, x)))
    model.compile("adam", "mse")
    data = np.random.default_rng(0).normal(size=(16, 6, 8)).astype("float32")
    rewire = ks.Rewire(ks.SET(0.3))
    model.fit(data, np.zeros((16, 48)), epochs=2, verbose=0, callbacks=[rewire])
    assert len({entry["layer"] for entry in rewire.history}) == 4
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(data, verbose=0), model.predict(data, verbose=0), atol=1e-6)
    assert all(j.compute != "keras" for j in ks.inspect(again).junctions)
    twin = type(layer).from_config(layer.get_config())
    assert (twin.density, twin.kernel_seed) == (0.5, 1)
    kernels = [part.kernel.connectivity for part in layer._layers if isinstance(part, ks.SparseEinsumDense)]
    assert kernels[0] != kernels[1]
