"""What a search minimises: f = log10(f_p + w_c · f_c), as pure functions.

f_p says how wrong a network is, f_c how large or slow it is, w_c ≥ 0 how much that matters. With w_c = 1 one per cent
of the connections of the largest network costs as much as one point of accuracy. Source: Deep-n-Cheap (Dey et al.
2020), with the number of connections, or another of `measures.NAMES`, as the complexity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Task = Literal["classification", "regression"]
Direction = Literal["min", "max"]


def prediction_loss(
    task: Task,
    metric: float,
    *,
    n_validation: int,
    target_variance: float | None = None,
    direction: Direction | None = None,
    scale: float | None = None,
) -> float:
    """f_p: the share of validation examples that is wrong, or the share of variance that is not explained.

    With another metric: 1 − metric of one to maximise (they end at 1), metric / scale of one to minimise.

    Args:
        task: "classification" or "regression".
        metric: The validation accuracy in [0, 1]; for regression the validation mean squared error; or another metric.
        n_validation: Number of validation examples. f_p is at least 0.5 / n_validation: below that the examples
            cannot tell two networks apart.
        target_variance: Variance of the training targets, in the square of the error's unit. Regression only.
        direction: "max" or "min". Default: "max" for classification, "min" for regression.
        scale: What a metric to minimise is divided by, > 0. Default: the variance of the targets, or 1 for
            classification.

    Returns:
        f_p > 0; NaN where `metric` is NaN.

    Raises:
        ValueError: No validation examples, a scale that is not positive, or a regression without a positive variance.
    """
    if n_validation < 1:
        raise ValueError(f"Expected at least one validation example, got {n_validation}.")
    if (direction or default_direction(task)) == "max":
        loss = 1.0 - metric
    else:
        if task == "regression" and scale is None:
            scale = target_variance
            if scale is None or not scale > 0:
                raise ValueError(f"A regression needs a positive variance of its training targets, got {scale}.")
        scale = 1.0 if scale is None else scale
        if not scale > 0:
            raise ValueError(f"A metric needs a positive scale, got {scale}.")
        loss = metric / scale
    return loss if math.isnan(loss) else max(loss, 0.5 / n_validation)


def default_direction(task: Task) -> Direction:
    """Which way the default metric of a task goes: accuracy up, the mean squared error down."""
    return "max" if task == "classification" else "min"


def complexity(size: float, reference: float) -> float:
    """f_c: connections over the positions of the widest, deepest network of the space (Σ n_in · n_out, > 0).

    Or bytes, FLOPs, seconds over those of a reference network.
    """
    if not reference > 0:
        raise ValueError(f"Expected a reference network with at least one position, got {reference}.")
    return size / reference


def reference_size(n_in: int, units: Sequence[int], n_out: int) -> int:
    """Positions Σ n_in · n_out of a network with `n_in` inputs, hidden layers of `units` and `n_out` outputs."""
    sizes = [n_in, *units, n_out]
    return sum(a * b for a, b in itertools.pairwise(sizes))


def objective(f_p: float, f_c: float, weight: float) -> float:
    """log10(f_p + weight · f_c); smaller is better.

    Args:
        f_p: Prediction loss, > 0.
        f_c: Complexity, ≥ 0.
        weight: w_c ≥ 0.

    Returns:
        A finite number, or NaN if f_p or f_c is not finite or f_p + weight · f_c is not positive.

    Raises:
        ValueError: `weight` is negative or not finite.
    """
    check_weight(weight)
    total = f_p + weight * f_c
    return math.log10(total) if math.isfinite(total) and total > 0 else math.nan


def check_weight(weight: float) -> None:
    """Raises a ValueError unless `weight` is a finite number ≥ 0."""
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"The complexity weight must be a finite number >= 0, got {weight}.")


@dataclass(frozen=True)
class Score:
    """The objective of a network and its two parts."""

    objective: float
    f_p: float
    f_c: float

    @property
    def valid(self) -> bool:
        """Whether the network may be compared with others at all."""
        return math.isfinite(self.objective)


@dataclass(frozen=True)
class Objective:
    """The objective of one search: everything `score` needs but the network.

    Args:
        task: "classification" or "regression".
        weight: w_c ≥ 0.
        reference: The complexity of the largest network of the space: for connections its positions.
        n_validation: Number of validation examples.
        target_variance: Variance of the training targets in the unit of the metric; regression only.
        metric: Name of the validation metric, as in Keras' logs. Default: "accuracy" or "mse" (mean squared error).
        direction: Whether it shall be large ("max") or small ("min"). Default: that of the default metric.
        scale: What a metric to minimise is divided by; see `prediction_loss`.
        complexity: What f_c counts: one of `measures.NAMES`.
        pareto: Measures that are minimised beside f_p in a search for the whole front; empty for a search for the
            smallest f. Such a search still has a winner, the front's point of smallest f.
        limits: Measure to the largest value a network may have.

    Example:
        >>> goal = Objective("classification", weight=1.0, reference=10_000, n_validation=100)
        >>> round(goal.score(0.93, 300).objective, 6)
        -1.0
    """

    task: Task
    weight: float
    reference: float
    n_validation: int
    target_variance: float | None = None
    metric: str = ""
    direction: Direction | None = None
    scale: float | None = None
    complexity: str = "connections"
    pareto: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_weight(self.weight)
        complexity(0, self.reference)
        if not self.metric:
            object.__setattr__(self, "metric", "accuracy" if self.task == "classification" else "mse")
        if self.direction is None:
            object.__setattr__(self, "direction", default_direction(self.task))
        self.score(0.0, 0.0)

    @property
    def minimised(self) -> tuple[str, ...]:
        """The measures a front weighs against the error."""
        return self.pareto or (self.complexity,)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures a network is judged by, each once."""
        return tuple(dict.fromkeys([self.complexity, *self.pareto, *self.limits]))

    def score(self, metric: float, size: float) -> Score:
        """Scores a network by its validation metric and its complexity, e.g. its number of connections."""
        f_p = prediction_loss(
            self.task,
            metric,
            n_validation=self.n_validation,
            target_variance=self.target_variance,
            direction=self.direction,
            scale=self.scale,
        )
        f_c = complexity(size, self.reference)
        return Score(objective(f_p, f_c, self.weight), f_p, f_c)

    def broken(self, measures: Mapping[str, float]) -> str | None:
        """Which limits a network breaks, as a sentence; None if none that could be measured."""
        found = [
            f"{name} {measures[name]:,.6g} > {limit:,.6g}"
            for name, limit in self.limits.items()
            if measures.get(name, 0.0) > limit
        ]
        return ", ".join(found) or None
