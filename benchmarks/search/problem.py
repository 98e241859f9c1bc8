"""What is searched on: data, a space, and the training of one network, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_sparse.search import data as data_module
from keras_sparse.search.best_epoch import BestEpoch
from keras_sparse.search.data import Dataset
from keras_sparse.search.dominance import hypervolume
from keras_sparse.search.halving import Halving
from keras_sparse.search.hypermodel import SparseHyperModel
from keras_sparse.search.networks import evaluation_batch
from keras_sparse.search.objective import Objective
from keras_sparse.search.space import MLPSpace

Values = Mapping[str, Any]
Part = tuple[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """A trained network.

    Attributes:
        error: share of the validation examples it has wrong, at its best epoch; f_p.
        test_error: the same of the test examples; no choice rests on it.
        connections: their number.
        curve: validation accuracy after every epoch.
        weights: of the best epoch, to train on from there.
        stopped: the epoch after which `halving` gave the training up, or None.
    """

    error: float
    test_error: float
    connections: int
    curve: list[float]
    weights: list[Any]
    stopped: int | None


@dataclass(frozen=True)
class Problem:
    """A data set, split, with the networks to try on it.

    Attributes:
        space: of sparse multi-layer perceptrons, the package's default for the data.
        parts: features and labels of the training, validation and test part.
        classes: their number.
        epochs: a trial trains at most.
    """

    space: MLPSpace
    parts: tuple[Part, Part, Part]
    classes: int
    epochs: int

    @property
    def n_in(self) -> int:
        """Number of features."""
        return int(self.parts[0][0].shape[1])

    @property
    def objective(self) -> Objective:
        """The search's objective: the front of error against connections."""
        return Objective(
            "classification",
            weight=0.1,
            reference=self.space.reference_size(self.n_in, self.classes),
            n_validation=len(self.parts[1][1]),
            pareto=("connections",),
        )

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The space as KerasTuner knows it."""
        hp = keras_tuner.HyperParameters()
        self.space.declare(hp)
        return hp

    def connections(self, values: Values) -> int:
        """Connections of a network, known before it is trained."""
        return self.space.connections(values, self.n_in, self.classes)

    def volume(self, points: list[tuple[float, float]]) -> float:
        """The hypervolume of (error, connections): the share that is beaten of what could be.

        The axes are the error and log10 of the connections. The reference point is a guess, error 1 − 1/classes, with
        as many connections as the space's widest, deepest network would have if it were dense; the ideal is no error
        with one connection.
        """
        worst = (1.0 - 1.0 / self.classes, float(np.log10(self.objective.reference)))
        return hypervolume([(error, np.log10(max(count, 1))) for error, count in points], worst) / (worst[0] * worst[1])

    def train(
        self,
        values: Values,
        seed: int,
        *,
        epochs: int | None = None,
        done: int = 0,
        weights: list[Any] | None = None,
        halving: Halving | None = None,
    ) -> Outcome:
        """Train a network.

        Args:
            values: its hyperparameters.
            seed: of connections, values and batches.
            epochs: to train in all; default all.
            done: of these, done before.
            weights: to begin with.
            halving: says when to give up.
        """
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        train, validation, test = self.parts
        hypermodel = SparseHyperModel(
            self.space, n_in=self.n_in, n_out=self.classes, task="classification", n_train=len(train[1])
        )
        hp = self.hyperparameters()
        hp.values = dict(values)
        model: Any = hypermodel.build(hp)
        if weights is not None:
            model.set_weights(weights)
        best = BestEpoch(self.objective, patience=max(5, self.epochs // 3), halving=halving)
        hypermodel.fit(
            hp,
            model,
            *train,
            validation_data=validation,
            epochs=self.epochs if epochs is None else epochs,
            initial_epoch=done,
            callbacks=[best],
            verbose=0,
        )
        score = best.restore()
        logs = model.evaluate(*test, batch_size=evaluation_batch(model), verbose=0, return_dict=True)
        curve = [float(value) for value in best.curve["val_metric"] if value is not None]
        return Outcome(
            score.f_p,
            1.0 - float(logs["accuracy"]),
            self.connections(values),
            curve,
            model.get_weights(),
            best.stopped_early,
        )


def load(name: str, seed: int, epochs: int, data_dir: Path | None, sizes: tuple[int, int, int] | None) -> Problem:
    """Return a problem.

    Args:
        name: "digits", or a TFDS data set of pictures.
        seed: of the split, and of what is drawn from large data.
        epochs: a trial trains at most.
        data_dir: where data sets lie.
        sizes: examples to draw for training, validation and test; None for all there are.
    """
    from keras_sparse.search.data import load as load_data

    from ..reproduce.data import tfds_folder

    where = tfds_folder(data_dir)
    data = load_data(name, seed=seed, data_dir=None if where is None else str(where))
    if sizes is not None:
        data = _some(data, sizes, np.random.default_rng(seed))
    preprocessing = data_module.fit(data)
    train, validation, test = (
        (preprocessing.features(x), preprocessing.target(y))
        for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test))
    )
    space = MLPSpace.for_data(preprocessing.shape, len(data.y_train))
    return Problem(space, (train, validation, test), preprocessing.n_outputs, epochs)


def _some(data: Dataset, sizes: tuple[int, int, int], rng: np.random.Generator) -> Dataset:
    """Return a data set with fewer examples in each part."""

    changes: dict[str, Any] = {}
    for part, wanted in zip(("train", "val", "test"), sizes, strict=True):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        rows = rng.permutation(len(y))[:wanted]
        changes |= {f"x_{part}": x[rows], f"y_{part}": y[rows]}
    return replace(data, **changes)
