import keras
import numpy as np
import pytest

import keras_sparse as ks


@pytest.mark.parametrize(("density", "connections"), [(0.01, 2662), (0.05, 13310), (1.0, 266200), (1e-9, 3)])
def test_lenet_has_the_density_asked_for(density, connections):
    report = ks.inspect(ks.models.lenet_300_100(density))
    assert report.connections == connections
    assert [j.shape for j in report.junctions] == [(784, 300), (300, 100), (100, 10)]


def test_set_mlp_is_the_papers_network():
    model = ks.models.set_mlp(784, 10, seed=3)
    counts = [j.connections for j in ks.inspect(model).junctions]
    assert counts == [20 * 1784, 20 * 2000, 20 * 2000, 10_000]
    assert sum(isinstance(layer, ks.SReLU) for layer in model.layers) == 3
    again = ks.models.set_mlp(784, 10, seed=3)
    for one, other in zip(model.layers, again.layers):
        if isinstance(one, ks.SparseDense):
            assert one.kernel.connectivity == other.kernel.connectivity
            assert np.array_equal(one.kernel.values, other.kernel.values)


def test_they_train_with_set():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(512, 20)).astype("float32")
    y = np.argmax(x[:, :3], axis=1)
    model = ks.models.set_mlp(20, 3, hidden=(40,), density=0.4, dropout=0.1, seed=0)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rewire = ks.Rewire(ks.SET(0.2), stop=0.7)
    history = model.fit(x, y, epochs=15, verbose=0, callbacks=[rewire]).history
    assert history["accuracy"][-1] > 0.8
    assert {entry["layer"] for entry in rewire.history} == {j.name for j in ks.inspect(model).junctions}


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match="whole network"):
        ks.models.lenet_300_100(1.5)
    with pytest.raises(ValueError, match="density"):
        ks.models.set_mlp(10, 2, density=0.0)
