"""KerasTuner's RandomSearch, BayesianOptimization and Hyperband, by their oracles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle

from .methods import Chebyshev, Method, Proposal
from .problem import Outcome, Problem

FIRST = 10
"""Random trials of BayesianOptimization; its default, three for every dimension, would be the whole search."""


class _OneObjective(Method):
    """An oracle of KerasTuner, which minimises one number; see `Chebyshev`."""

    def __init__(self, problem: Problem, seed: int, trials: int, scratch: Path) -> None:
        super().__init__(problem, seed, trials, scratch)
        self._oracle: Any = self.oracle(
            objective=keras_tuner.Objective("score", "min"),
            hyperparameters=problem.hyperparameters(),
            seed=seed + 1,  # KerasTuner draws a random one for 0
        )
        self._oracle.verbose = 0
        self._oracle._set_project_dir(str(scratch), "keras_tuner")
        self._scores = Chebyshev(np.random.default_rng([seed, 1]))
        self._points: dict[str, tuple[float, float]] = {}
        self._trial: Any = None

    def oracle(self, **common: Any) -> Any:
        """Make the oracle."""
        raise NotImplementedError

    def ask(self, index: int) -> Proposal:
        """The network of trial `index`."""
        if self._points:
            scores = self._scores.scores(np.array(list(self._points.values())))
            for name, score in zip(self._points, scores, strict=True):
                self._oracle.trials[name].score = float(score)
        self._trial = self._oracle.create_trial("benchmark")
        if self._trial.status != "RUNNING":
            raise RuntimeError(f"KerasTuner has no trial {index}: {self._trial.status}.")
        return Proposal(dict(self._trial.hyperparameters.values))

    def tell(self, index: int, outcome: Outcome) -> None:
        """What became of it."""
        name = self._trial.trial_id
        self._points[name] = (outcome.error, float(np.log10(outcome.connections)))
        self._oracle.update_trial(name, {"score": outcome.error})  # scored anew before it is looked at
        self._trial.status = "COMPLETED"
        self._oracle.end_trial(self._trial)


class RandomSearch(_OneObjective):
    """Random configurations, none twice."""

    def oracle(self, **common: Any) -> Any:
        """Make the oracle."""
        return RandomSearchOracle(max_trials=self.trials, **common)


class BayesianOptimization(_OneObjective):
    """A Gaussian process and an upper confidence bound."""

    def oracle(self, **common: Any) -> Any:
        """Make the oracle."""
        return BayesianOptimizationOracle(max_trials=self.trials, num_initial_points=FIRST, **common)


class Hyperband(_OneObjective):
    """Random configurations trained a little, the best of them more; as its tuner does, on from the best epoch."""

    def __init__(self, problem: Problem, seed: int, trials: int, scratch: Path) -> None:
        super().__init__(problem, seed, trials, scratch)
        self._weights: dict[str, list[Any]] = {}

    def oracle(self, **common: Any) -> Any:
        """Make the oracle."""
        return HyperbandOracle(max_epochs=self.problem.epochs, factor=3, hyperband_iterations=1000, **common)

    def ask(self, index: int) -> Proposal:
        """The network of trial `index`."""
        values = dict(super().ask(index).values)
        own = {name: values.pop(name) for name in list(values) if name.startswith("tuner/")}
        weights = self._weights.get(own.get("tuner/trial_id", ""))
        return Proposal(values, own["tuner/epochs"], own["tuner/initial_epoch"] if weights else 0, weights)

    def tell(self, index: int, outcome: Outcome) -> None:
        """What became of it."""
        self._weights[self._trial.trial_id] = outcome.weights
        super().tell(index, outcome)
