from math import prod

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks

SPARSE = (ks.SparseConv2D, ks.SparseDense)


def parameters(model, kinds):
    return sum(layer.count_params() for layer in model.layers if isinstance(layer, kinds))


def kernels(model):
    return [layer.kernel for layer in model.layers if isinstance(layer, SPARSE)]


def test_set_cnn_is_the_papers_network():
    dense = ks.models.set_cnn(density=1.0)
    assert parameters(dense, keras.layers.Conv2D) == 287_008  # figure 7 of the paper
    assert parameters(dense, keras.layers.Dense) == 8_413_194
    assert not kernels(dense)
    model = ks.models.set_cnn(seed=1)
    assert parameters(model, keras.layers.Conv2D) == 287_008
    counts = [j.connections for j in ks.inspect(model).junctions][-3:]
    assert counts == [20 * 4096, 20 * 4096, 20_480]
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "ReLU", "Dropout", "Conv2D", "ReLU", "MaxPooling2D"]
    assert kinds == [*block * 3, "Flatten", *["SparseDense", "ReLU", "Dropout"] * 2, "Dense"]


def test_deep_r_cnn_is_the_tutorials_network():
    dense = ks.models.deep_r_cnn(density=1.0)
    assert [j.shape for j in ks.inspect(dense).junctions] == [
        (75, 64),
        (1600, 64),
        (6 * 6 * 64, 384),
        (384, 192),
        (192, 10),
    ]
    assert not kernels(dense)
    kinds = [type(layer).__name__ for layer in ks.models.deep_r_cnn().layers]
    first = ["SparseConv2D", "ReLU", "MaxPooling2D", "LocalResponseNormalization"]
    second = ["SparseConv2D", "ReLU", "LocalResponseNormalization", "MaxPooling2D"]
    assert kinds == [*first, *second, "Flatten", *["SparseDense", "ReLU"] * 2, "Dense"]


@pytest.mark.parametrize("rule", ["er", "erk", "uniform"])
@pytest.mark.parametrize("density", [0.01, 0.05, 0.5])
def test_a_density_is_that_of_the_whole_network(density, rule):
    report = ks.inspect(ks.models.deep_r_cnn(density=density, rule=rule))
    assert report.connections == round(density * 1_067_584)


def test_convolutions_may_stay_dense():
    model = ks.models.deep_r_cnn(density=0.1, sparse_convolutions=False)
    junctions = ks.inspect(model).junctions
    assert [j.density for j in junctions[:2]] == [1, 1]
    assert sum(j.connections for j in junctions[2:]) == round(0.1 * sum(prod(j.shape) for j in junctions[2:]))


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 2), (28, 28, 1), (33, 32, 3)])
@pytest.mark.parametrize("make", [ks.models.set_cnn, ks.models.deep_r_cnn])
def test_any_picture_does(make, shape):
    model = make(shape, 3, filters=(4, 6), hidden=(9,), density=0.4, dropout=0.1)
    found = model.predict(np.ones((2, *shape)), verbose=0)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert found.shape == (2, 3)


def test_densities_of_single_layers():
    model = ks.models.set_cnn(
        (8, 8, 3), 4, filters=(4,), hidden=(16, 16), density=[0.5, 1.0], convolution_density=[1.0, ks.ERK(2.0)]
    )
    densities = [j.density for j in ks.inspect(model).junctions]
    assert densities == [1.0, pytest.approx(2 * (3 + 3 + 4 + 4) / 144, abs=0.01), 0.5, 1.0, 1.0]
    assert len(kernels(model)) == 2
    model = ks.models.deep_r_cnn((8, 8, 3), 4, filters=(4,), hidden=(16,), density=[1.0, ks.ErdosRenyi(2), 0.25])
    assert [j.connections for j in ks.inspect(model).junctions] == [300, 2 * (64 + 16), 16]


@pytest.mark.parametrize("make", [ks.models.set_cnn, ks.models.deep_r_cnn])
def test_a_seed_decides_connections_and_values(make):
    def weights(seed):
        model = make((8, 8, 3), 4, filters=(4,), hidden=(16,), density=0.3, seed=seed)
        return [np.asarray(variable) for variable in model.trainable_variables]

    assert all(map(np.array_equal, weights(3), weights(3)))
    assert not all(map(np.array_equal, weights(3), weights(4)))


@pytest.mark.parametrize("make", [ks.models.set_cnn, ks.models.deep_r_cnn])
def test_saved_and_made_again_from_the_configuration(make, tmp_path):
    model = make((9, 8, 3), 4, filters=(4,), hidden=(16,), density=0.3, seed=1)
    x = np.random.default_rng(0).normal(size=(3, 9, 8, 3)).astype("float32")
    model.save(tmp_path / "m.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "m.keras")(x), model(x))
    again = keras.Sequential.from_config(model.get_config())
    assert [len(k) for k in kernels(again)] == [len(k) for k in kernels(model)]
    again.set_weights(model.get_weights())
    assert np.array_equal(again(x), model(x))


def test_exported_as_stock_operations(tmp_path):
    model = ks.models.deep_r_cnn((8, 8, 3), 4, filters=(4,), hidden=(16,), density=0.3, seed=1)
    model.export(tmp_path / "served", verbose=False)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(x), model(x), rtol=1e-4, atol=1e-6)


def test_channels_may_come_first():
    keras.config.set_image_data_format("channels_first")
    try:
        model = ks.models.deep_r_cnn((3, 8, 6), 4, filters=(4,), hidden=(5,), density=0.3)
        deep = ks.models.set_cnn((3, 8, 6), 4, filters=(4,), hidden=(5,), density=0.3)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert [j.shape for j in ks.inspect(model).junctions] == [(75, 4), (4 * 3 * 4, 5), (5, 4)]
    assert [layer.axis for layer in model.layers if isinstance(layer, ks.LocalResponseNormalization)] == [1]
    assert [j.shape for j in ks.inspect(deep).junctions] == [(27, 4), (36, 4), (4 * 3 * 4, 5), (5, 4)]


@pytest.mark.parametrize(
    ("make", "policy"), [(ks.models.set_cnn, ks.SET(0.2)), (ks.models.deep_r_cnn, ks.DeepR(temperature=1e-9))]
)
def test_they_train_and_rewire(make, policy):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    x = rng.normal(0, 0.5, (240, 8, 8, 3)).astype("float32")
    x[np.arange(240), :, :, y] += 1  # the class is a colour
    model = make((8, 8, 3), 3, filters=(6,), hidden=(24,), density=0.4, seed=0)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = [k.connectivity for k in kernels(model)]
    rewire = ks.Rewire(policy)
    history = model.fit(x, y, batch_size=20, epochs=6, verbose=0, callbacks=[rewire]).history
    assert history["accuracy"][-1] > 0.8
    assert [len(k.connectivity) for k in kernels(model)] == [len(b) for b in before]
    assert any(k.connectivity != b for k, b in zip(kernels(model), before))


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (ks.models.set_cnn, {"input_shape": (32, 32)}, "height, width and channels"),
        (ks.models.set_cnn, {"input_shape": (None, 32, 3)}, "height, width and channels"),
        (ks.models.set_cnn, {"density": 0.0}, "`density` must be a fraction"),
        (ks.models.set_cnn, {"density": [0.1] * 3}, "`density` must be one for all layers or 2 of them; got 3"),
        (ks.models.set_cnn, {"convolution_density": [0.1]}, "`convolution_density` must be one for all layers or 6"),
        (ks.models.set_cnn, {"hidden": (0,)}, "`hidden` must be positive integers"),
        (ks.models.deep_r_cnn, {"filters": ()}, "`filters` is empty"),
        (ks.models.deep_r_cnn, {"classes": 2.0}, "`classes` must be positive integers"),
        (ks.models.deep_r_cnn, {"density": 5}, "`density` must be a fraction"),
        (ks.models.deep_r_cnn, {"density": [0.5]}, "`density` must be one for all layers or 5 of them; got 1"),
        (ks.models.deep_r_cnn, {"rule": "even"}, "`rule` must be"),
    ],
)
def test_wrong_arguments_are_explained(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
