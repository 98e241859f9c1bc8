"""Trials: repeatable anywhere, scored at their best epoch with its topology, failing alone."""

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from keras_sparse.search.best_epoch import BestEpoch, TrialDivergedError
from keras_sparse.search.hypermodel import SparseHyperModel
from keras_sparse.search.objective import Objective
from keras_sparse.search.oracle import SparseOracle
from keras_sparse.search.records import Records
from keras_sparse.search.space import MLPSpace
from keras_sparse.search.tuner import SparseTuner, StorageError

import keras_sparse as ks

SPACE = MLPSpace(units=(16, 24), input_density=(0.1, 0.3), batch_sizes=(16, 32), zeta=(0.3, 0.5))
GOAL = Objective("classification", weight=1.0, reference=SPACE.reference_size(12, 3), n_validation=60)


@pytest.fixture
def parts(problem):
    x, y = problem
    return (x[:100], y[:100]), (x[100:], y[100:])


def tuner_on(folder, hypermodel=None, max_trials=3, goal=GOAL, **options):
    oracle = SparseOracle(Records(folder), goal, max_trials=max_trials, seed=5)
    hypermodel = hypermodel or SparseHyperModel(SPACE, n_in=12, n_out=3, task="classification", n_train=100)
    return SparseTuner(oracle, hypermodel, **options)


def search(tuner, parts, **options):
    train, val = parts
    tuner.search(*train, validation_data=val, **{"epochs": 3, "test_data": val, **options})
    return tuner.oracle.finished


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "trials").glob("[0-9]*.json")}


def test_the_built_network_is_the_one_described():
    model_of = SparseHyperModel(SPACE, n_in=12, n_out=3, task="classification", n_train=100)
    hp = keras_tuner.HyperParameters()
    hp.values = {"hidden_layers": 2, "units_1": 24, "density_1": 0.2, "units_2": 16, "density_2": 0.05}
    model = model_of.build(hp)
    assert [layer.name for layer in model.layers] == ["hidden_1", "hidden_2", "output"]
    assert ks.inspect(model).connections == SPACE.connections(hp.values, 12, 3)
    assert model.output_shape == (None, 3)
    assert model.steps_per_execution == 4  # 100 examples in batches of 32 (the middle choice)
    outputs = model.predict(np.ones((2, 12)), verbose=0)
    assert np.allclose(outputs.sum(axis=1), 1)


def test_a_regression_network_is_linear():
    model_of = SparseHyperModel(SPACE, n_in=12, n_out=1, task="regression")
    model = model_of.build(keras_tuner.HyperParameters())
    assert model.layers[-1].activation is keras.activations.linear
    assert model.output_shape == (None, 1)
    assert model.steps_per_execution == 1


def test_a_trial_does_not_depend_on_what_ran_before(tmp_path, parts):
    """Run third in this process, first in this process after others, and with the session full of other models."""
    search(tuner_on(tmp_path), parts)
    before = bytes_of(tmp_path)
    assert len(before) == 3
    (tmp_path / "trials/0002.json").unlink()
    keras.utils.set_random_seed(99)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])(np.ones((2, 4)))
    search(tuner_on(tmp_path), parts)
    assert bytes_of(tmp_path) == before


def test_the_saved_network_is_that_of_the_best_epoch(tmp_path, parts):
    records = search(tuner_on(tmp_path, max_trials=2), parts, epochs=6)
    _, (x, y) = parts
    for record in records.values():
        curve = record.curve["val_metric"]
        assert record.val_metric == max(curve)
        assert record.best_epoch == curve.index(max(curve)) + 1
        assert len(curve) == len(record.curve["loss"]) == 6
        network = keras.models.load_model(tmp_path / record.network)
        assert network.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == pytest.approx(record.val_metric)
        size = ks.inspect(network)
        assert (size.connections, size.density, size.parameters) == (
            record.connections,
            record.density,
            record.parameters,
        )
        assert record.connections == SPACE.connections(record.hyperparameters, 12, 3)
        assert record.test_metric == pytest.approx(record.val_metric)  # the same data here
        assert not [v for v in network.optimizer.variables if "momentum" in v.path]


class Shrinking(keras.callbacks.Callback):
    """Stands for a policy that loses connections; the objective has to see them."""

    def on_epoch_begin(self, epoch, logs=None):
        kernel = self.model.layers[0].kernel
        if epoch:
            half = len(kernel) // 2
            c = kernel.connectivity
            kernel.assign(
                ks.Connectivity(c.inputs[:half], c.outputs[:half], shape=c.shape), kernel.values.numpy()[:half]
            )


def test_best_epoch_weighs_connections_and_restores_topology(parts):
    (x, y), val = parts
    model = keras.Sequential([keras.Input((12,)), ks.SparseDense(3, density=1.0, activation="softmax")])
    model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    goal = Objective("classification", weight=100.0, reference=36, n_validation=60)
    best = BestEpoch(goal)
    model.fit(x, y, epochs=3, validation_data=val, callbacks=[Shrinking(), best], verbose=0)
    assert best.curve["connections"] == [36, 18, 9]
    assert best.epoch == 3
    model.layers[0].kernel.assign(ks.Connectivity([0], [0], shape=(12, 3)), np.ones(1, "float32"))
    assert best.restore().f_c == 9 / 36
    assert ks.inspect(model).connections == 9
    assert model.evaluate(*val, verbose=0, return_dict=True)["accuracy"] == pytest.approx(best.metric)


def test_patience_stops_a_trial(parts):
    (x, y), val = parts
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.0), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    best = BestEpoch(GOAL, patience=2)
    model.fit(x, y, epochs=9, validation_data=val, callbacks=[best], verbose=0)
    assert (best.epoch, len(best.curve["loss"])) == (1, 3)


def test_what_is_not_finite_fails_the_trial(parts):
    (x, y), val = parts
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(1e30), loss="mse", metrics=["mse"])
    best = BestEpoch(Objective("regression", weight=0.0, reference=9, n_validation=9, target_variance=1.0))
    model.fit(x, np.eye(3)[y], epochs=9, validation_data=(val[0], np.eye(3)[val[1]]), callbacks=[best], verbose=0)
    assert len(best.curve["loss"]) < 9
    assert best.curve["loss"][-1] is None
    with pytest.raises(TrialDivergedError, match=r"not finite in epoch \d"):
        best.restore()


class Moody(SparseHyperModel):
    """Its trials die in every way."""

    def __init__(self, *ways):
        super().__init__(SPACE, n_in=12, n_out=3, task="classification")
        self.ways = ["before the first trial", *ways]

    def fit(self, hp, model, *args, **kwargs):
        way = self.ways.pop(0)
        if isinstance(way, BaseException):
            raise way
        if way == "nan":
            model.optimizer.learning_rate = float("nan")
        return super().fit(hp, model, *args, **kwargs)


def test_failed_trials_are_recorded_and_the_search_goes_on(tmp_path, parts, capfd):
    ways = [RuntimeError("broken " * 200), "nan", MemoryError("no room"), ValueError("bad"), "fine"]
    records = search(tuner_on(tmp_path, Moody(*ways), max_trials=5), parts)
    assert [record.status for record in records.values()] == ["failed"] * 4 + ["completed"]
    assert records[0].error.startswith("RuntimeError: broken")
    assert len(records[0].error) <= 500
    assert records[1].error.startswith("TrialDivergedError")
    assert records[2].error == "MemoryError: no room"
    assert all(record.objective is None and record.network is None for record in list(records.values())[:4])
    assert sorted(path.name for path in (tmp_path / "trials").glob("*.keras")) == ["0004.keras"]
    assert "Traceback" not in capfd.readouterr().err  # the records say why


def test_an_interrupt_is_no_failure(tmp_path, parts):
    with pytest.raises(KeyboardInterrupt):
        search(tuner_on(tmp_path, Moody("fine", KeyboardInterrupt())), parts)
    assert list(bytes_of(tmp_path)) == ["0000.json"]


def test_a_full_disk_stops_the_search_and_counts_nothing(tmp_path, parts, monkeypatch):
    tuner = tuner_on(tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tuner.oracle.records, "write", full)
    with pytest.raises(StorageError, match="No space left on device"):
        search(tuner, parts)
    assert bytes_of(tmp_path) == {}


def test_any_hypermodel_with_hyperparameters_of_its_own(tmp_path, parts):
    class Mine(keras_tuner.HyperModel):
        def build(self, hp):
            layers = [keras.layers.Dense(hp.Choice("units", [4, 8]), activation="tanh")]
            if hp.Boolean("deep"):
                with hp.conditional_scope("deep", [True]):
                    layers.append(ks.SparseDense(hp.Int("more", 4, 16), density=0.5))
            layers.append(ks.SparseDense(3, density=0.5, activation="softmax"))
            model = keras.Sequential([keras.Input((12,)), *layers])
            model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

    records = search(tuner_on(tmp_path, Mine(), max_trials=4), parts, test_data=None, callbacks=Counting())
    assert {record.status for record in records.values()} == {"completed"}
    assert len({str(record.hyperparameters) for record in records.values()}) == 4
    assert all(record.test_metric is None for record in records.values())
    best = tuner_on(tmp_path, Mine(), max_trials=4).get_best_models()[0]
    assert ks.inspect(best).connections == min(records.values(), key=lambda record: record.objective).connections


class Looping(keras_tuner.HyperModel):
    """Asks for hyperparameters in a loop and behind a branch, without telling KerasTuner, as its guides do."""

    def build(self, hp):
        layers = [ks.SparseDense(hp.Int(f"units_{i}", 8, 16), density=0.5) for i in range(hp.Int("layers", 1, 3))]
        if hp.Choice("end", ["plain", "dropped", "broken"]) == "dropped":
            layers.append(keras.layers.Dropout(hp.Float("rate", 0.1, 0.5)))
        elif hp.get("end") == "broken":
            raise ValueError("no such end")
        if hp.Boolean("wide"):
            with hp.conditional_scope("wide", [True]):
                layers.append(ks.SparseDense(hp.Int("more", 4, 8), density=0.5))
        model = keras.Sequential([keras.Input((12,)), *layers, keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model


def test_hyperparameters_of_branches_are_known_before_the_first_trial(tmp_path, parts):
    tuner = tuner_on(tmp_path / "a", Looping(), max_trials=6)
    space = [hp.name for hp in tuner.oracle.get_space().space]
    assert sorted(space) == sorted(["layers", "units_0", "units_1", "units_2", "end", "rate", "wide", "more"])
    again = tuner_on(tmp_path / "b", Looping(), max_trials=6)
    assert [hp.name for hp in again.oracle.get_space().space] == space
    records = search(tuner, parts, epochs=1)
    assert len({record.hyperparameters["units_2"] for record in records.values()}) > 2
    for record in records.values():
        assert record.completed == (record.hyperparameters["end"] != "broken")
        assert ("more" in record.hyperparameters) == record.hyperparameters["wide"]
        if record.completed:
            first, *_ = ks.inspect(tuner.load_model(tuner.oracle.trials[f"{record.trial:04d}"])).junctions
            assert first.shape == (12, record.hyperparameters["units_0"])


class Plain(keras_tuner.HyperModel):
    def build(self, hp):
        hidden = ks.SparseDense(hp.Choice("units", [4, 8]), density=0.5)
        model = keras.Sequential([keras.Input((12,)), hidden, keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model


class Fitting(Plain):
    """Asks for hyperparameters in `fit`, as KerasTuner's guides do; trains by itself if it is told to."""

    calls = 0

    def fit(self, hp, model, x, y, callbacks, **kwargs):
        self.calls += 1
        batch_size = hp.Choice("batch_size", [16, 64])
        if hp.Boolean("noisy"):
            x = x + hp.Float("noise", 0.01, 0.1)
        if hp.Boolean("loop"):
            model(x[:1], training=True)
            raise ValueError("no loop here")
        return model.fit(x, y, batch_size=batch_size, callbacks=callbacks, **kwargs)


def test_hyperparameters_of_fit_are_known_before_the_first_trial(tmp_path, parts):
    mine = Fitting()
    tuner = tuner_on(tmp_path, mine, max_trials=10)
    records = search(tuner, parts, epochs=1)
    tried = [record.hyperparameters for record in records.values()]
    assert len({hp["noise"] for hp in tried if hp["noisy"]}) > 2
    assert {hp["batch_size"] for hp in tried} == {16, 64}
    assert all(record.completed != record.hyperparameters["loop"] for record in records.values())
    assert mine.calls == len(records) + 5  # before: at the defaults, and at the other end of each of its own
    again = tuner_on(tmp_path / "b", Fitting(), max_trials=1)
    record = next(record for record in records.values() if record.completed)
    assert again.repeat(record, parts[0][0], parts[0][1], validation_data=parts[1], epochs=1).objective == (
        record.objective
    )


def test_a_training_loop_of_its_own(tmp_path, parts):
    class Alone(keras_tuner.HyperModel):
        def build(self, hp):
            return keras.Sequential([keras.Input((12,)), ks.SparseDense(3, density=0.5, activation="softmax")])

        def fit(self, hp, model, x, y, validation_data, callbacks, epochs, **kwargs):
            optimizer = keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log"))
            loss = keras.losses.SparseCategoricalCrossentropy()
            for callback in callbacks:
                callback.set_model(model)
            for epoch in range(epochs):
                with tf.GradientTape() as tape:
                    value = loss(y, model(x, training=True))
                optimizer.apply_gradients(
                    zip(tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True)
                )
                right = np.mean(np.argmax(model(validation_data[0]), axis=1) == validation_data[1])
                for callback in callbacks:
                    callback.on_epoch_end(epoch, {"val_accuracy": right})

    tuner = tuner_on(tmp_path, Alone(), max_trials=3)
    records = search(tuner, parts, test_data=None)
    assert len({record.hyperparameters["rate"] for record in records.values()}) == 3
    for record in records.values():
        assert record.completed, record.error
        assert record.curve["loss"] == [None] * 3
        assert record.curve["val_metric"][record.best_epoch - 1] == record.val_metric
        assert not tuner.load_model(tuner.oracle.trials[f"{record.trial:04d}"]).compiled


def test_no_model_is_trained_before_the_first_trial(tmp_path, parts):
    """Not even one that `fit` makes anew."""
    epochs = []

    class Another(Plain):
        def fit(self, hp, model, *args, callbacks, **kwargs):
            twin = keras.models.clone_model(model)
            twin.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            told = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
            return twin.fit(*args, batch_size=hp.Choice("batch_size", [20, 50]), callbacks=[*callbacks, told], **kwargs)

    tuner = tuner_on(tmp_path, Another(), max_trials=0)
    search(tuner, parts)
    assert "batch_size" in {hp.name for hp in tuner.oracle.get_space().space}
    assert not epochs


class Late(Plain):
    def fit(self, hp, model, *args, **kwargs):
        history = super().fit(hp, model, *args, **kwargs)
        hp.Float("zeta", 0.1, 0.4)
        return history


def test_a_hyperparameter_no_proposal_can_know_ends_the_search(tmp_path, parts):
    seen = []
    with pytest.raises(keras_tuner.errors.FatalError, match=r"'zeta'.*Ask for it in `build`"):
        search(tuner_on(tmp_path, Late(), on_progress=seen.append), parts, epochs=2)
    assert [progress.event for progress in seen] == ["search", "trial", "epoch", "epoch"]  # no other trial
    assert not list((tmp_path / "trials").glob("*.json"))


class Counting(keras.callbacks.Callback):
    """Fails if it is not a fresh copy in every trial."""

    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        assert self.epochs == epoch + 1


def test_progress_is_reported_and_cannot_break_a_trial(tmp_path, parts):
    seen = []
    search(tuner_on(tmp_path, max_trials=2, on_progress=seen.append), parts)
    trial = ["trial", "epoch", "epoch", "epoch", "result"]
    assert [progress.event for progress in seen] == ["search", *trial, *trial]
    assert [progress.epoch for progress in seen if progress.event == "epoch"] == [1, 2, 3, 1, 2, 3]
    assert seen[-1].done == seen[-1].total == 2
    assert seen[-1].best.objective == min(p.record.objective for p in seen if p.record)
    assert seen[1].remaining_s is None
    assert seen[5].remaining_s > 0
    assert seen[-1].remaining_s == 0

    def broken(_):
        raise BrokenPipeError

    with pytest.warns(UserWarning, match="no longer reported"):
        records = search(tuner_on(tmp_path / "b", max_trials=1, on_progress=broken), parts)
    assert records[0].completed


def test_a_missing_metric_says_how_to_add_it(tmp_path, parts):
    class Forgetful(keras_tuner.HyperModel):
        def build(self, hp):
            model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(hp.Choice("units", [3, 4]))])
            model.compile("adam", loss="sparse_categorical_crossentropy")
            return model

    records = search(tuner_on(tmp_path, Forgetful(), max_trials=1), parts)
    assert "compile the model with the metric 'accuracy'" in records[0].error
