import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.junctions import junctions
from keras_sparse.rewiring import optimizer_state

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    return keras.Sequential(
        [
            keras.Input((12,)),
            ks.SparseDense(16, density=0.5, capacity=150, activation="relu", seed=1, name="hidden"),
            keras.layers.Dropout(0.5, seed=5),
            ks.SparseDense(3, density=0.8, seed=2, name="out"),
        ]
    )


def shrink(model, name, count):
    """Let a kernel lose connections, as a pruning policy does."""
    kernel = model.get_layer(name).kernel
    old, values = kernel.connectivity, kernel.host_values().copy()
    kept = ks.Connectivity(old.inputs[:count], old.outputs[:count], shape=old.shape)
    kernel.assign(kept, values[:count], getattr(model, "optimizer", None))


def snapshot(model):
    optimizer = getattr(model, "optimizer", None)
    return [np.array(v) for v in [*model.variables, *(optimizer.variables if optimizer else [])]]


def state_of(model, name):
    """Slots of a kernel, by position of the connection."""
    kernel = model.get_layer(name).kernel
    keys = kernel.connectivity.keys.tolist()
    found = optimizer_state.slots(model.optimizer, kernel.values)
    return {slot.name: dict(zip(keys, slot.variable.numpy()[: len(keys)].tolist())) for slot in found}


def test_fits_and_leaves_the_old_one_alone(problem, tmp_path):
    model = network()
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    model.fit(*problem, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
    shrink(model, "hidden", 20)
    before = snapshot(model)
    small = ks.resize(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, snapshot(model), strict=True))
    assert [j.kernel.capacity for j in junctions(small)] == [20, 38]
    assert model.get_layer("hidden").kernel.capacity == 150
    np.testing.assert_allclose(model(problem[0]), small(problem[0]), atol=1e-6)
    for name in ("hidden", "out"):
        assert state_of(model, name) == state_of(small, name)
        old, new = model.get_layer(name).kernel, small.get_layer(name).kernel
        assert old.connectivity == new.connectivity
        assert (old.state().seed, old.state().updates, old.state().last_iteration) == (
            new.state().seed, new.state().updates, new.state().last_iteration,
        )  # fmt: skip
        assert new.slots_aligned()
    assert small.optimizer.iterations == model.optimizer.iterations
    model.save(tmp_path / "large.keras")
    small.save(tmp_path / "small.keras")
    assert (tmp_path / "small.keras").stat().st_size < (tmp_path / "large.keras").stat().st_size


def test_after_saving_as_h5(problem, tmp_path):
    """Keras takes the optimizer out of the model's compile configuration when it writes that format."""
    model = network()
    model.compile(keras.optimizers.Adam(0.01), LOSS)
    model.fit(*problem, epochs=1, verbose=0)
    model.save(tmp_path / "old.h5")
    small = ks.resize(model)
    assert state_of(model, "hidden") == state_of(small, "hidden")
    assert len(small.optimizer.variables) == len(model.optimizer.variables)


def test_training_goes_on_as_it_would_have(problem):
    """Dropout's state, slots, iterations, the rewiring's random numbers: all the same."""
    model = network()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS, metrics=["accuracy"])
    model.fit(*problem, epochs=2, verbose=0, shuffle=False, callbacks=[ks.Rewire(ks.SET(0.3))])
    twin = ks.resize(model)
    for one in (model, twin):
        one.fit(*problem, epochs=3, verbose=0, shuffle=False, callbacks=[ks.Rewire(ks.SET(0.3))])
    for name in ("hidden", "out"):
        a, b = (one.get_layer(name).kernel for one in (model, twin))
        assert a.connectivity == b.connectivity
        np.testing.assert_allclose(a.to_dense(), b.to_dense(), atol=1e-6)


def test_a_resized_model_is_saved_and_resized_again(problem, tmp_path):
    model = network()
    model.compile("adam", LOSS)
    model.fit(*problem, epochs=1, verbose=0)
    shrink(model, "hidden", 7)  # fewer than the density says
    ks.resize(model).save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.get_layer("hidden").kernel.capacity == 7
    np.testing.assert_allclose(model(problem[0]), again(problem[0]), atol=1e-6)
    grown = ks.resize(again, {"hidden": 192})
    assert [j.kernel.capacity for j in junctions(grown)] == [192, 38]
    np.testing.assert_allclose(model(problem[0]), grown(problem[0]), atol=1e-6)


def test_capacities_that_change_the_storage_order():
    """More room means smaller blocks of outputs, and another order."""
    layer = ks.SparseDense(70000, density=1e-6, capacity=2_000_000, seed=4, use_bias=False)
    model = keras.Sequential([keras.Input((40,)), layer])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    [slot] = optimizer_state.slots(model.optimizer, layer.kernel.values)
    connectivity = ks.Random().sample((40, 70000), 2000, seed=3)
    layer.kernel.assign(connectivity, np.arange(2000.0))
    slot.variable.assign(np.pad(np.arange(2000.0), (0, 2_000_000 - 2000)))
    small = ks.resize(model)
    assert small.layers[0].kernel.layout.block != layer.kernel.layout.block
    assert state_of(small, layer.name) == state_of(model, layer.name)
    x = np.random.default_rng(0).normal(size=(2, 40)).astype("float32")
    np.testing.assert_allclose(small(x), model(x), rtol=1e-4, atol=1e-3)


def test_slots_that_no_longer_belong_are_noticed_later(problem):
    model = network()
    model.compile("adam", LOSS)
    model.fit(*problem, epochs=1, verbose=0)
    kernel = model.get_layer("hidden").kernel
    kernel.assign(ks.Random().sample(kernel.shape, 30, seed=9), np.ones(30))
    assert not ks.resize(model).get_layer("hidden").kernel.slots_aligned()


def test_functional_nested_shared_and_wrapped(problem):
    shared = ks.SparseDense(12, density=0.5, capacity=100, name="shared")
    twice = keras.Sequential([keras.Input((12,)), ks.SparseDense(12, density=0.5, capacity=90, name="in")])
    x = keras.Input((12,))
    y = twice(shared(keras.layers.Add()([shared(x), twice(x)])))
    y = keras.layers.Reshape((3, 4))(y)
    y = keras.layers.TimeDistributed(ks.SparseDense(4, density=0.5, capacity=16, name="wrapped"))(y)
    model = keras.Model(x, keras.layers.BatchNormalization()(y))
    small = ks.resize(model)
    assert [(j.name, j.kernel.capacity) for j in junctions(small)] == [
        ("in", 72), ("shared", 72), ("wrapped", 8),
    ]  # fmt: skip
    np.testing.assert_allclose(model(problem[0]), small(problem[0]), atol=1e-5)
    assert len(small.variables) == len(model.variables)


def test_unregistered_layers_and_mixed_precision(problem):
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    layer = ks.SparseDense(3, density=0.5, capacity=30, dtype="mixed_float16")
    model = keras.Sequential([keras.Input((12,)), Twice(), layer, keras.layers.Activation("linear", dtype="float32")])
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), LOSS)
    model.fit(*problem, epochs=1, verbose=0)
    small = ks.resize(model)
    np.testing.assert_allclose(model(problem[0]), small(problem[0]), rtol=1e-2)
    assert state_of(small, layer.name) == state_of(model, layer.name)
    small.fit(*problem, epochs=1, verbose=0)


def test_frozen_after_the_optimizer_was_built(problem):
    model = network()
    model.compile("adam", LOSS)
    model.fit(*problem, epochs=1, verbose=0)
    model.get_layer("out").trainable = False
    small = ks.resize(model)
    assert state_of(small, "hidden") == state_of(model, "hidden")
    assert not small.get_layer("out").trainable


@pytest.mark.parametrize(
    ("capacity", "message"),
    [
        ({"nowhere": 5}, "'nowhere', which is no junction. There are: hidden, out"),
        ({"hidden": 95}, "between its number of connections, 96, and its 192 positions; got 95"),
        (193, "its 192 positions; got 193"),
        ({"out": 38.0}, "got 38.0"),
        ("tight", 'must be "fit"'),
    ],
)
def test_wrong_capacities(capacity, message):
    with pytest.raises(ValueError, match=message):
        ks.resize(network(), capacity)


def test_models_that_cannot_be_resized():
    with pytest.raises(ValueError, match="not built"):
        ks.resize(keras.Sequential([ks.SparseDense(3)]))
    with pytest.raises(ValueError, match="no sparse kernel"):
        ks.resize(keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)]))

    class Own(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inside = ks.SparseDense(3, density=0.5, capacity=30)

        def call(self, x):
            return self.inside(x)

    model = Own()
    model(np.zeros((1, 12)))
    with pytest.raises(ValueError, match="code of the model makes it"):
        ks.resize(model)
