import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.models.executions import MOST, looks_at_steps


def bits(samples, n=30, seed=0):
    return (np.random.default_rng(seed).random((samples, n)) < 0.3).astype("float32")


def made(**compiled):
    rbm = ks.RBM(20, density=0.3, seed=1)
    rbm.compile(keras.optimizers.Adam(0.01), **compiled)
    return rbm


class Seen(keras.callbacks.Callback):
    """Notes how many steps an execution has, without a hook for batches."""

    def __init__(self):
        super().__init__()
        self.steps, self.iterations = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.steps.append(self.model.steps_per_execution)
        self.iterations.append(int(self.model.optimizer.iterations))


class Looking(Seen):
    def on_train_batch_end(self, batch, logs=None):
        pass


@pytest.mark.parametrize("samples", [400, 403])  # a last execution of eight steps, and a last step of three samples
def test_many_steps_at_once_are_the_same_training(samples):
    x, results = bits(samples), []
    for seen in (Seen(), Looking()):
        rbm = made()
        callbacks = [seen, ks.Rewire(ks.SET(0.3))]
        history = rbm.fit(
            x, batch_size=10, epochs=3, verbose=0, validation_data=(bits(55, seed=2),), callbacks=callbacks
        )
        results.append((seen, history.history, rbm))
        assert rbm.steps_per_execution == 1
        assert rbm.predict(x, verbose=0).shape == (samples, 20)
    (many, told, rbm), (one, also, twin) = results
    assert (set(many.steps), set(one.steps)) == ({MOST}, {1})
    per_epoch = -(-samples // 10)
    assert many.iterations == one.iterations == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    for a, b in zip(rbm.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert rbm.kernel.connectivity == twin.kernel.connectivity
    assert told.keys() == also.keys()
    for name in told:
        np.testing.assert_allclose(told[name], also[name], rtol=1e-5)


def test_what_was_traced_serves_until_the_model_is_compiled_anew():
    rbm, x = made(), bits(320)
    traces = []
    step = rbm.train_step

    def counted(data):
        traces.append(1)
        return step(data)

    rbm.train_step = counted
    rbm.fit(x, epochs=1, verbose=0)
    before = len(traces)
    rbm.fit(x, epochs=1, verbose=0)
    assert len(traces) == before
    rbm.fit(x, epochs=1, verbose=0, callbacks=[Looking()])
    rbm.fit(x, epochs=1, verbose=0)
    steps = int(rbm.optimizer.iterations)
    assert steps == 40
    rbm.compile(keras.optimizers.SGD(0.0))
    weights = rbm.get_weights()
    rbm.fit(x, epochs=1, verbose=0)
    np.testing.assert_array_equal(weights[0], rbm.get_weights()[0])  # the new optimizer, not the old one
    assert int(rbm.optimizer.iterations) == 10


@pytest.mark.parametrize(
    ("compiled", "fit", "steps"),
    [
        ({}, {}, 8),  # of the epoch
        ({"steps_per_execution": 3}, {}, 3),
        ({"run_eagerly": True}, {"epochs": 1}, 1),
        ({}, {"steps_per_epoch": 5}, 1),
        ({}, {"validation_split": 0.5}, 4),
        ({}, {"batch_size": 1000}, 1),
        ({}, {"x": tf.data.Dataset.from_tensor_slices(bits(80)).batch(10), "batch_size": None}, 1),
        ({}, {"x": tf.constant(bits(80))}, 8),
    ],
)
def test_steps_of_an_execution(compiled, fit, steps):
    rbm, seen = made(**compiled), Seen()
    rbm.fit(**{"x": bits(80), "batch_size": 10, "verbose": 0, "callbacks": [seen], **fit})
    assert set(seen.steps) == {steps}


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    class Failing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("stopped")

    rbm, x = made(), bits(320)
    with pytest.raises(RuntimeError, match="stopped"):
        rbm.fit(x, verbose=0, callbacks=[Failing()])
    assert rbm.steps_per_execution == 1
    assert np.isfinite(rbm.fit(x, verbose=0, callbacks=Looking()).history["loss"][0])


def test_who_looks_at_steps():
    plain = [keras.callbacks.EarlyStopping(), keras.callbacks.History(), ks.Rewire(ks.SET(0.3)), Seen()]
    assert not [callback for callback in plain if looks_at_steps(callback)]
    looking = [
        Looking(),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None),
        ks.Rewire(ks.SET(0.3), every=5),
        ks.Rewire(ks.DeepR()),
        ks.Rewire(ks.RigL(), every=100),
    ]
    assert [callback for callback in looking if not looks_at_steps(callback)] == []
