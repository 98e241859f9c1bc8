"""Rewiring under MirroredStrategy: replicas stay equal, and what they learn is what one device learns."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.compute import workers

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute needs the TensorFlow backend", allow_module_level=True)

import tensorflow as tf

# A function that makes the policy, and how often it updates; there are six batches.
POLICIES = {
    "SET": (lambda: ks.SET(final_removal=True), "epoch"),
    "ContinuousSET": (lambda: ks.ContinuousSET(0.3, 0.9), 1),
    "RigL": (lambda: ks.RigL(stop=1.0), 2),
    "SNFS": (lambda: ks.SNFS(), 2),
    "GraNet": (lambda: ks.GraNet(0.3), 2),
    "GMP": (lambda: ks.GMP(0.3), 2),
    "SRigL": (lambda: ks.SRigL(), 2),
    "DeepR": (lambda: ks.DeepR(l1=0.2, temperature=1e-4), 1),
    "DeepR-global": (lambda: ks.DeepR(l1=0.2, temperature=1e-4, total="global"), 1),
    "SoftDeepR": (lambda: ks.SoftDeepR(0.4, l1=0.2, temperature=1e-4), 1),
    "ImportancePruning": (lambda: ks.ImportancePruning(percentile=40, first=0, period=1), 2),
    "PruneRegrow": (lambda: ks.PruneRegrow(0.4, redistribute="magnitude"), 2),
}


class Replicas(keras.callbacks.Callback):
    """Compares the replicas of every variable after every batch."""

    def __init__(self):
        super().__init__()
        self.compared, self.different = 0, []

    def on_train_batch_end(self, batch, logs=None):
        for variable in [*self.model.variables, *self.model.optimizer.variables]:
            first, second = (np.asarray(value) for value in variable.value.values)
            self.compared += 1
            if not np.array_equal(first, second):
                self.different.append((batch, variable.path))


class Trainer:
    """A model that is traced once, to be trained by one policy after another."""

    def __init__(self, strategy):
        with strategy.scope():
            self.model = keras.Sequential(
                [
                    keras.Input((10,)),
                    ks.SparseDense(8, density=0.5, capacity=60, activation="relu", seed=1, name="hidden"),
                    ks.SparseDense(3, density=0.5, capacity=20, seed=2, name="out"),
                ]
            )
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self.model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
            self.model.optimizer.build(self.model.trainable_variables)
        self._variables = [*self.model.variables, *self.model.optimizer.variables]
        self._initial = [np.asarray(variable) for variable in self._variables]

    def __call__(self, policy, every, *more):
        """Train six batches from the start; return the history of the rewiring."""
        for variable, value in zip(self._variables, self._initial):
            variable.assign(value)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(96, 10)).astype("float32"), rng.integers(0, 3, 96)
        size, epochs = (96, 1) if every != "epoch" else (48, 2)  # to begin an epoch costs most of the time
        rewire = ks.Rewire(policy, every=every)
        self.model.fit(
            x[:size], y[:size], batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=[rewire, *more]
        )
        return rewire.history


@pytest.fixture(scope="module")
def mirrored():
    # Collective operations of two strategies in one process get into each other's way.
    plain = tf.distribute.ReductionToOneDevice()
    return Trainer(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=plain))


@pytest.fixture(scope="module")
def single():
    return Trainer(tf.distribute.get_strategy())


@pytest.mark.parametrize("name", POLICIES)
def test_replicas_stay_equal_and_agree_with_one_device(name, mirrored, single):
    make, every = POLICIES[name]
    replicas = Replicas()
    histories = mirrored(make(), every, replicas), single(make(), every)
    assert replicas.compared
    assert not replicas.different
    ours, theirs = ([(e["step"], e["layer"], e["removed"], e["added"]) for e in history] for history in histories)
    assert sum(removed + added for _, _, removed, added in ours)
    assert ours == theirs
    for one, other in zip(mirrored.model.layers, single.model.layers):
        assert one.kernel.connectivity == other.kernel.connectivity
        assert np.allclose(one.kernel.to_dense(), other.kernel.to_dense(), atol=1e-5)


def several_workers():
    """Return what tells a strategy of two processes with a device each."""
    return SimpleNamespace(num_replicas_in_sync=2, extended=SimpleNamespace(worker_devices=("CPU:0",)))


def test_a_fit_of_several_workers_is_refused_with_the_way_out(single):
    rewire = ks.Rewire(ks.SET())
    model = SimpleNamespace(distribute_strategy=several_workers())
    rewire.set_model(model)
    with pytest.raises(ValueError, match=r"several workers.*rewire\.update\(\).*examples/two_workers\.py"):
        rewire.on_train_begin()


def test_strategies_of_one_process_are_not_several_workers(mirrored, single):
    assert not workers.several(mirrored.model)
    assert not workers.several(single.model)
    assert not workers.several()
