"""Optuna's samplers, which know several objectives: NSGA-II, TPE and the Gaussian process (which needs torch)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .methods import Method, Proposal
from .problem import Outcome, Problem

POPULATION = 10
"""Of NSGA-II; by its default, 50, there would be no second generation."""


class _Sampler(Method):
    """A sampler of Optuna; it minimises the error and the logarithm of the connections."""

    whole: ClassVar[bool] = True
    """Whether hyperparameters that a network does not have are suggested, too: it needs the same ones in each trial."""

    def __init__(self, problem: Problem, seed: int, trials: int, scratch: Path) -> None:
        super().__init__(problem, seed, trials, scratch)
        optuna: Any = import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            directions=["minimize", "minimize"], sampler=self.sampler(optuna.samplers, seed)
        )
        self._space = problem.hyperparameters().space
        self._trial: Any = None

    def sampler(self, samplers: Any, seed: int) -> Any:
        """Make the sampler, of the module `samplers`."""
        raise NotImplementedError

    def ask(self, index: int) -> Proposal:
        """The network of trial `index`."""
        self._trial = self._study.ask()
        values: dict[str, Any] = {}
        for hp in self._space:
            active = all(condition.is_active(values) for condition in hp.conditions)
            if active or self.whole:
                value = _suggest(self._trial, hp)
                if active:
                    values[hp.name] = value
        return Proposal(values)

    def tell(self, index: int, outcome: Outcome) -> None:
        """What became of it."""
        self._study.tell(self._trial, [outcome.error, float(np.log10(outcome.connections))])


class NSGA2(_Sampler):
    """A genetic algorithm (Deb et al. 2002)."""

    def sampler(self, samplers: Any, seed: int) -> Any:
        """Make the sampler, of the module `samplers`."""
        return samplers.NSGAIISampler(seed=seed, population_size=POPULATION)


class TPE(_Sampler):
    """Tree-structured Parzen estimators for several objectives (Ozaki et al. 2022)."""

    whole = False

    def sampler(self, samplers: Any, seed: int) -> Any:
        """Make the sampler, of the module `samplers`."""
        return samplers.TPESampler(seed=seed)


class GP(_Sampler):
    """A Gaussian process and the expected improvement of the hypervolume."""

    def sampler(self, samplers: Any, seed: int) -> Any:
        """Make the sampler, of the module `samplers`."""
        return samplers.GPSampler(seed=seed)


def _suggest(trial: Any, hp: Any) -> Any:
    """Return a value of a hyperparameter of KerasTuner; numbers to choose from keep their order."""
    kind = type(hp).__name__
    if kind == "Fixed":
        return hp.value
    if kind == "Float":
        return trial.suggest_float(hp.name, hp.min_value, hp.max_value, log=hp.sampling == "log")
    if kind == "Int":
        return trial.suggest_int(hp.name, hp.min_value, hp.max_value, step=hp.step or 1)
    if kind == "Choice" and hp.ordered:
        return hp.values[trial.suggest_int(hp.name, 0, len(hp.values) - 1)]
    return trial.suggest_categorical(hp.name, [False, True] if kind == "Boolean" else list(hp.values))
