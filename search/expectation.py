"""How much each candidate promises: from finished trials, by way of predictions, to one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .acquisition import chebyshev_improvement, hypervolume_improvement, shortfall, within
from .candidates import Known
from .encoding import Encoding, Values
from .surrogate import predict

Array = NDArray[np.float64]

EI_MARGIN = 1e-4
"""ξ of expected improvement, in units of f (Deep-n-Cheap)."""
_MARGIN = 0.1
"""How far beyond the largest network the reference of a hypervolume lies, in ranges."""
_RIDGE = 0.01
"""Of the trend with size: two trials of almost one size say nothing of it."""
_USELESS = 1.0
"""A network with this f_p, always wrong or as good as the mean target, is of no use, whatever it costs."""


@dataclass(frozen=True)
class Finished:
    """What a proposal may know of a finished trial.

    Args:
        values: Its hyperparameters.
        objective: f, or None if the trial has no network: it failed, or was not trained.
        f_p: Prediction loss, or None.
        measures: What its network costs, as far as that was measured.
        feasible: Whether it keeps every limit.
    """

    values: Mapping[str, Any]
    objective: float | None
    f_p: float | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    feasible: bool = True

    @property
    def failed(self) -> bool:
        """Whether its training failed; one that was not trained for its size did not."""
        return self.objective is None and self.feasible


class Expectation:
    """Predicts candidates from finished trials.

    Args:
        encoding: The space.
        finished: The trials to learn from.
        running: Configurations being tried: they are taken to give what is predicted of them, so that others are
            proposed meanwhile.
        candidates: The configurations in question.
        known: What a configuration costs, as far as that is known beforehand.
    """

    def __init__(
        self,
        encoding: Encoding,
        finished: Sequence[Finished],
        running: Sequence[Mapping[str, Any]],
        candidates: Sequence[Values],
        known: Known | None,
    ) -> None:
        self._finished = list(finished)
        self._layout = encoding.layout()
        groups = [[trial.values for trial in finished], running, candidates]
        tables = [np.array([encoding.features(values) for values in group], dtype=np.float64) for group in groups]
        width = len(encoding.features(candidates[0]))
        tables = [table.reshape(-1, width) for table in tables]
        costs = [[dict(known(values)) if known is not None else {} for values in group] for group in groups]
        self._known = {name for name in (costs[2][0] if costs[2] else {}) if all(name in c for g in costs for c in g)}
        if "connections" in self._known:  # four decades of connections are one unit
            sizes = [np.array([max(c["connections"], 1e-9) for c in group], dtype=np.float64) for group in costs]
            tables = [np.column_stack([t, np.log10(s) / 4.0]) for t, s in zip(tables, sizes, strict=True)]
            self._layout = self._layout.with_column(width)
        self._past, self._running, self._new = tables
        self._costs = costs

    def improvement(self, weight: float, complexity: str | None, reference: float) -> Array:
        """Expected improvement of f = log10(f_p + w_c · f_c) over the best feasible result, [candidates].

        Args:
            weight: w_c.
            complexity: The measure in f_c if it is known beforehand; else None, and f itself is predicted.
            reference: What f_c is in units of.
        """
        best = min((trial.objective for trial in self._results() if trial.objective is not None), default=np.inf)
        known = complexity in self._known and all(trial.f_p for trial in self._finished if trial.objective is not None)
        if not np.isfinite(best):
            return np.ones(len(self._new))
        if not known:
            mean, deviation = self._predict(lambda trial: trial.objective)
            return shortfall(best - EI_MARGIN, mean, deviation)
        assert complexity is not None
        mean, deviation = self._predict(_log_loss)
        cost = np.array([c[complexity] for c in self._costs[2]]) / reference
        loss = 10.0 ** (mean[:, None] + deviation[:, None] * _NODES)
        outcome = np.log10(loss + weight * cost[:, None])
        return np.maximum(best - EI_MARGIN - outcome, 0.0) @ _NODE_WEIGHTS

    def front_improvement(self, measures: Sequence[str], rng: np.random.Generator) -> Array:
        """Expected improvement of the front of log10 f_p and the logarithms of the measures, [candidates].

        Of its hypervolume with one measure; of a Chebyshev norm with weights drawn anew for every trial (ParEGO) with
        more.
        """
        results = [t for t in self._results() if t.f_p and all(name in t.measures for name in measures)]
        if not results:
            return np.ones(len(self._new))
        if len(measures) == 1:
            return self._hypervolume_improvement(results, measures[0])
        past = np.array([[np.log10(t.f_p or 1.0), *(_log(t.measures[m]) for m in measures)] for t in results])
        predicted = [self._predict(_log_loss), *(self.cost(name) for name in measures)]
        mean, deviation = (np.column_stack(columns) for columns in zip(*predicted, strict=True))
        worst, best = past.max(axis=0), past.min(axis=0)
        extent = np.maximum(worst - best, 0.1)
        past, mean, deviation = (past - best) / extent, (mean - best) / extent, deviation / extent
        weights = rng.dirichlet(np.ones(past.shape[1]))
        return chebyshev_improvement(past, mean, deviation, weights, rng)

    def _hypervolume_improvement(self, results: Sequence[Finished], measure: str) -> Array:
        """In (f_p, logarithm of the measure), [candidates]: what `front_hypervolume` counts."""
        past = np.array([[t.f_p or 0.0, _log(t.measures[measure])] for t in results])
        predicted = [self._predict(_log_loss), self.cost(measure)]
        mean, deviation = (np.column_stack(columns) for columns in zip(*predicted, strict=True))
        worst, best = past.max(axis=0), past.min(axis=0)
        if best[0] < _USELESS:  # what one diverged regression gave is no reference
            worst[0] = min(worst[0], _USELESS)
        # No margin in f_p: with one, any network smaller than all others would be a gain, however bad.
        worst[1] += _MARGIN * max(worst[1] - best[1], 0.1)
        return hypervolume_improvement(past, worst, mean, deviation)

    def feasibility(self, limits: Mapping[str, float]) -> Array:
        """The probability that a candidate keeps the limits on what is not known beforehand, [candidates]."""
        chance = np.ones(len(self._new))
        for name, limit in limits.items():
            if name not in self._known and sum(name in trial.measures for trial in self._finished) > 1:
                chance = chance * within(_log(limit), *self.cost(name))
        return chance

    def cost(self, name: str) -> tuple[Array, Array]:
        """Mean and deviation of the logarithm of a measure, [candidates]; exact where it is known beforehand."""
        if name in self._known:
            return np.array([_log(c[name]) for c in self._costs[2]]), np.zeros(len(self._new))
        return self._predict(lambda trial: _log(trial.measures[name]) if name in trial.measures else None, False)

    def _results(self) -> list[Finished]:
        return [trial for trial in self._finished if trial.objective is not None and trial.feasible]

    def _predict(self, outcome: Callable[[Finished], float | None], failures: bool = True) -> tuple[Array, Array]:
        """Mean and deviation of an outcome at the candidates; failures count as bad as the worst result."""
        outcomes = [outcome(trial) for trial in self._finished]
        worst = max((value for value in outcomes if value is not None), default=0.0)
        rows = [
            (row, value if value is not None else worst)
            for row, value, trial in zip(self._past, outcomes, self._finished, strict=True)
            if value is not None or (failures and trial.failed)
        ]
        past, targets = np.array([row for row, _ in rows]), np.array([value for _, value in rows])
        if len(rows) < 2:
            return np.full(len(self._new), worst), np.ones(len(self._new))
        slope = self._trend(past, targets) if failures else 0.0
        if len(self._running):
            believed, _ = self._along(slope, past, targets, self._running)
            past, targets = np.concatenate([past, self._running]), np.concatenate([targets, believed])
        return self._along(slope, past, targets, self._new)

    def _trend(self, past: Array, targets: Array) -> float:
        """How much an outcome falls with size, which is the last column if sizes are known; never more than 0.

        A process falls back to the mean of what it knows: without a trend the smallest networks, beyond all tried ones,
        would be thought to be as good as others.
        """
        if "connections" not in self._known or float(np.std(past[:, -1])) < 1e-9:
            return 0.0
        size, outcome = past[:, -1] - past[:, -1].mean(), targets - targets.mean()
        return min(float(size @ outcome / (size @ size + _RIDGE)), 0.0)

    def _along(self, slope: float, past: Array, targets: Array, new: Array) -> tuple[Array, Array]:
        """What is predicted beside the trend, and the trend."""
        mean, deviation = predict(self._layout, past, targets - slope * past[:, -1], new)
        return mean + slope * new[:, -1], deviation


def _log_loss(trial: Finished) -> float | None:
    return float(np.log10(trial.f_p)) if trial.f_p else None


def _log(value: float) -> float:
    return float(np.log10(max(value, 1e-12)))


_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
