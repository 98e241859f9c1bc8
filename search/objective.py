"""What a search minimises: f = log10(f_p + w_c · f_c), as pure functions.

f_p says how wrong a network is, f_c how large it is, w_c ≥ 0 how much size matters. With w_c = 1 one per cent of the
connections of the largest network costs as much as one point of accuracy. Source: Deep-n-Cheap (Dey et al. 2020), with
the number of connections as the complexity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Task = Literal["classification", "regression"]


def prediction_loss(task: Task, metric: float, *, n_validation: int, target_variance: float | None = None) -> float:
    """f_p: the share of validation examples that is wrong, or the share of variance that is not explained.

    Args:
        task: "classification" or "regression".
        metric: The validation accuracy in [0, 1]; for regression the validation mean squared error.
        n_validation: Number of validation examples. f_p is at least 0.5 / n_validation: below that the examples
            cannot tell two networks apart.
        target_variance: Variance of the training targets, in the square of the error's unit. Regression only.

    Returns:
        f_p > 0; NaN where `metric` is NaN.

    Raises:
        ValueError: No validation examples, or a regression without a positive variance.
    """
    if n_validation < 1:
        raise ValueError(f"Expected at least one validation example, got {n_validation}.")
    if task == "classification":
        loss = 1.0 - metric
    else:
        if target_variance is None or not target_variance > 0:
            raise ValueError(f"A regression needs a positive variance of its training targets, got {target_variance}.")
        loss = metric / target_variance
    return loss if math.isnan(loss) else max(loss, 0.5 / n_validation)


def complexity(connections: int, reference: int) -> float:
    """f_c: connections over the positions of the widest, deepest network of the space (Σ n_in · n_out, > 0)."""
    if reference < 1:
        raise ValueError(f"Expected a reference network with at least one position, got {reference}.")
    return connections / reference


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
        reference: Positions of the widest, deepest network of the space.
        n_validation: Number of validation examples.
        target_variance: Variance of the training targets in the unit of the metric; regression only.
    """

    task: Task
    weight: float
    reference: int
    n_validation: int
    target_variance: float | None = None

    def __post_init__(self) -> None:
        check_weight(self.weight)
        complexity(0, self.reference)
        prediction_loss(self.task, 0.0, n_validation=self.n_validation, target_variance=self.target_variance)

    @property
    def metric(self) -> str:
        """Name of the metric: "accuracy" or "mse" (mean squared error)."""
        return "accuracy" if self.task == "classification" else "mse"

    def score(self, metric: float, connections: int) -> Score:
        """Scores a network by its validation metric and its number of connections."""
        f_p = prediction_loss(self.task, metric, n_validation=self.n_validation, target_variance=self.target_variance)
        f_c = complexity(connections, self.reference)
        return Score(objective(f_p, f_c, self.weight), f_p, f_c)
