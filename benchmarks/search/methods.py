"""What a method of search is, and this package's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_sparse.search.halving import Halving
from keras_sparse.search.oracle import SparseOracle
from keras_sparse.search.records import Records, TrialRecord
from keras_sparse.search.seeds import trial_seed

from .problem import Outcome, Problem, Values


@dataclass(frozen=True)
class Proposal:
    """What a method wants to have trained.

    Attributes:
        values: hyperparameters.
        epochs: to train in all; None for all a trial may have.
        done: of these, done in an earlier trial.
        weights: of that.
        halving: says when to give up.
    """

    values: Values
    epochs: int | None = None
    done: int = 0
    weights: list[Any] | None = None
    halving: Halving | None = None


class Method(ABC):
    """Proposes a network, is told what became of it, proposes the next.

    Args:
        problem: where to search.
        seed: of the search.
        trials: number of trials.
        scratch: a folder for files, which exists.
    """

    def __init__(self, problem: Problem, seed: int, trials: int, scratch: Path) -> None:
        self.problem, self.seed, self.trials, self.scratch = problem, seed, trials, scratch

    @abstractmethod
    def ask(self, index: int) -> Proposal:
        """The network of trial `index`."""

    @abstractmethod
    def tell(self, index: int, outcome: Outcome) -> None:
        """What became of it."""


class KerasSparse(Method):
    """`ksparse search --objective pareto`: the oracle and the successive halving of this package."""

    stops = True

    def __init__(self, problem: Problem, seed: int, trials: int, scratch: Path) -> None:
        super().__init__(problem, seed, trials, scratch)
        self._records = Records(scratch)
        self._oracle = SparseOracle(
            self._records,
            problem.objective,
            max_trials=trials,
            seed=seed,
            known=lambda values: {"connections": problem.connections(values)},
            hyperparameters=problem.hyperparameters(),
        )
        self._trial: Any = None

    def ask(self, index: int) -> Proposal:
        """The network of trial `index`."""
        self._trial = self._oracle.create_trial("benchmark")
        earlier = self._oracle.known_to(index)
        halving = Halving(self.problem.objective, earlier, self.problem.epochs) if self.stops else None
        return Proposal(dict(self._trial.hyperparameters.values), halving=halving)

    def tell(self, index: int, outcome: Outcome) -> None:
        """What became of it."""
        goal = self.problem.objective
        score = goal.score(1.0 - outcome.error, outcome.connections)
        values: Mapping[str, Any] = self._trial.hyperparameters.values
        record = TrialRecord(
            trial=index,
            status="completed",
            seed=trial_seed(self.seed, index),
            hyperparameters=dict(values),
            metric="accuracy",
            objective=score.objective,
            prediction_loss=score.f_p,
            complexity=score.f_c,
            val_metric=1.0 - outcome.error,
            connections=outcome.connections,
            density=score.f_c,
            parameters=outcome.connections,
            curve={"val_metric": outcome.curve},
            network="not kept",
            stopped_early=outcome.stopped,
        )
        self._records.write(record)
        self._oracle.end_trial(self._trial)


class Chebyshev:
    """One number for two objectives, for methods that have room for one: ParEGO's (Knowles 2006).

    Before each proposal a weight is drawn, the error and the logarithm of the connections are scaled to [0, 1] over the
    results so far, and all results are scored anew: max(w a, (1 − w) b) + 0.05 (w a + (1 − w) b). So the method looks
    along the whole front, and not for one point of it.
    """

    def __init__(self, rng: Any) -> None:
        self._rng = rng

    def scores(self, points: Any) -> Any:
        """Scores, [n], smaller is better, of (error, logarithm of connections), [n, 2], by a new weight."""
        weight = self._rng.random()
        low, high = points.min(axis=0), points.max(axis=0)
        weighted = (points - low) / (high - low).clip(1e-9) * [weight, 1.0 - weight]
        return weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)
