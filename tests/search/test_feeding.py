"""Arrays reach a network in training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_sparse.search import feeding
from keras_sparse.search.feeding import batches, fit

import keras_sparse as ks

N = 70


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 6))
    return x, (x[:, 0] > 0).astype("int64")


def network(**compiled_with: Any) -> Any:
    keras.utils.set_random_seed(5)
    model: Any = keras.Sequential(
        [keras.Input((6,)), Counting(name="counting"), ks.SparseDense(8, density=0.5), keras.layers.Dense(2)]
    )
    return compiled(model, **compiled_with)


def compiled(model: Any, **compiled_with: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, **{"metrics": ["accuracy"], **compiled_with})
    return model


class Counting(keras.layers.Layer):
    """Passes on what it gets and remembers of what type that was, whenever a step of training is traced."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.traced: list[str] = []

    def call(self, x: Any, training: bool | None = None) -> Any:
        if training:
            self.traced.append(x.dtype.name)
        return x


class Own(keras.Sequential):
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


class Subclass(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.layer = ks.SparseDense(2, density=0.5)

    def call(self, x: Any, training: bool) -> Any:
        return self.layer(x)


class Share(keras.metrics.Mean):
    """Wants tensors: arrays have no static shape."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        assert y_true.shape.rank == 1
        return super().update_state(tf.cast(y_true, "float32"))


@pytest.fixture(params=["few", "many"])
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to shuffle."""
    if request.param == "many":
        monkeypatch.setattr(feeding, "_FEW", N - 1)


@pytest.mark.usefixtures("number")
class TestBatches:
    @pytest.mark.parametrize("size", [1, 16, 35, N, 100])
    def test_every_example_comes_once_with_its_target(self, data: Any, size: int) -> None:
        x, y = data
        dataset = batches(x, y, size, seed=1)
        found = [(np.asarray(a), np.asarray(b)) for a, b in dataset]
        assert len(found) == len(dataset) == -(-N // size)
        assert {len(a) for a, _ in found[:-1]} <= {size}
        rows, targets = np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])
        order = [int(np.argmin(np.abs(x.astype("float32") - row).sum(axis=1))) for row in rows]
        assert sorted(order) == list(range(N))
        assert order != sorted(order)
        np.testing.assert_array_equal(targets, y[order])

    def test_the_order_changes_from_epoch_to_epoch_and_is_that_of_the_seed(self, data: Any) -> None:
        def orders(seed: int) -> list[list[float]]:
            dataset = batches(*data, 16, seed=seed)
            return [np.concatenate([a[:, 0] for a, _ in dataset]).tolist() for _ in range(3)]

        first = orders(1)
        assert first == orders(1)
        assert first != orders(2)
        assert first[0] != first[1] != first[2] != first[0]

    def test_without_a_seed_they_come_as_they_are(self, data: Any) -> None:
        x, y = data
        for _ in range(2):
            found = list(batches(x, y, 32))
            np.testing.assert_array_equal(np.concatenate([a for a, _ in found]), x.astype("float32"))
            np.testing.assert_array_equal(np.concatenate([b for _, b in found]), y)


class TestFit:
    @pytest.mark.usefixtures("number")
    def test_seeded_epochs_differ(self, data: Any) -> None:
        class Watched(keras.metrics.Metric):
            """Remembers the targets of an epoch's batches, in their order."""

            def __init__(self) -> None:
                super().__init__(name="watched")
                self.total = self.add_weight(shape=(), initializer="zeros")

            def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
                self.total.assign(self.total * 1.7 + keras.ops.sum(keras.ops.cast(y_true, "float32")))

            def result(self) -> Any:
                return self.total

        x, y = data
        history = fit(network(metrics=[Watched()]), x, y, batch_size=7, epochs=4, verbose=0).history
        assert len(set(history["watched"])) == 4

    @pytest.mark.usefixtures("number")
    def test_it_trains_and_validates_as_fit_does(self, data: Any) -> None:
        x, y = data
        model = network(steps_per_execution=3)
        seen: list[int] = []
        callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
        history = fit(
            model, x, y, batch_size=16, validation_data=data, epochs=40, callbacks=callback, verbose=0
        ).history
        assert model.optimizer.iterations == 40 * 5
        assert seen[:4] == [2, 5, 2, 5]
        assert history["accuracy"][-1] > 0.9 > history["accuracy"][0]
        evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
        for name in ("loss", "accuracy"):
            assert history[f"val_{name}"][-1] == pytest.approx(evaluated[name], rel=1e-5)

    @pytest.mark.parametrize("kind", ["float32", "float64"])
    def test_the_step_is_traced_once_and_computes_in_keras_type(self, data: Any, kind: str) -> None:
        model = network()
        fit(model, data[0].astype(kind), data[1], epochs=2, verbose=0)
        assert model.get_layer("counting").traced == ["float32"]

    @pytest.mark.usefixtures("number")
    def test_a_seed_repeats_it(self, data: Any) -> None:
        def trained() -> list[np.ndarray]:
            model = network()
            fit(model, *data, epochs=3, verbose=0)
            return model.get_weights()

        for one, other in zip(trained(), trained(), strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("change", ["weights", "validation_split", "validation_weights", "dataset", "started"])
    def test_what_is_more_than_arrays_is_left_to_keras(self, data: Any, change: str) -> None:
        x, y = data
        given: dict[str, Any] = {"x": x, "y": y, "epochs": 2, "verbose": 0}
        if change == "weights":
            given["sample_weight"] = np.zeros(N)
        elif change == "validation_split":
            given["validation_split"] = 0.2
        elif change == "validation_weights":
            given["validation_data"] = (x, y, np.ones(N))
        elif change == "started":
            given |= {"epochs": 5, "initial_epoch": 3}
        else:
            given |= {"x": batches(x, y, 16), "y": None}
        model = network()
        before = model.get_weights()
        history = fit(model, **given).history
        assert len(history["loss"]) == 2
        assert ("val_loss" in history) is (change in ("validation_split", "validation_weights"))
        same = all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
        assert same is (change == "weights")

    @pytest.mark.parametrize("kind", ["unbuilt", "subclass", "own step", "fixed batch", "scope", "metric"])
    def test_it_trains_what_keras_trains(self, data: Any, kind: str) -> None:
        layers = [ks.SparseDense(8, density=0.5), keras.layers.Dense(2)]
        if kind == "scope":
            with tf.distribute.OneDeviceStrategy("CPU:0").scope():
                model = network()
        elif kind == "fixed batch":
            model = compiled(keras.Sequential([keras.Input(batch_shape=(35, 6)), *layers]))
        elif kind == "own step":
            model = compiled(Own([keras.Input((6,)), *layers]))
        elif kind == "subclass":
            model = compiled(Subclass())
        elif kind == "unbuilt":
            model = compiled(keras.Sequential(layers))
        else:
            model = network(metrics=[Share(name="share")])
        history = fit(model, *data, batch_size=35, epochs=2, verbose=0).history
        assert history["loss"][1] < history["loss"][0]
        assert model.optimizer.iterations == 4
        if kind == "metric":
            assert history["share"][0] == pytest.approx(data[1].mean())

    def test_what_was_not_compiled_is_refused_as_keras_does(self, data: Any) -> None:
        with pytest.raises(ValueError, match=r"compile\(\)"):
            fit(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]), *data, verbose=0)

    def test_a_backup_resumes_as_if_nothing_had_been(self, data: Any, tmp_path: Any) -> None:
        def trained(*epochs: int) -> list[np.ndarray]:
            for last in epochs:
                model = network()
                backup = ks.Backup(tmp_path / str(epochs), delete_at_end=False)
                fit(model, *data, batch_size=16, epochs=last, callbacks=[backup], verbose=0)
            return model.get_weights()

        for one, other in zip(trained(4), trained(2, 4), strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("n", [0, N - 1, N + 1])
    def test_wrong_numbers_of_targets_are_refused_as_keras_does(self, data: Any, n: int) -> None:
        x, y = data
        with pytest.raises(ValueError, match="cardinality"):
            fit(network(), x, np.resize(y, n), verbose=0)
