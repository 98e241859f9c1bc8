"""What a search is asked for, beside where: objective, limits and when to give up, checked and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from .measures import check_names
from .metrics import Adapted, canonical, direction_of, scale_of
from .objective import Direction, Objective, Task, check_weight

Mode = Literal["weighted", "pareto"]

DEFAULTS: Final[Mapping[str, Any]] = {
    "objective": "weighted",
    "complexity": ["connections"],
    "metric": None,
    "direction": None,
    "limits": {},
    "early_stopping": False,
}
"""What a run directory that does not say otherwise was made with."""


@dataclass(frozen=True)
class Settings:
    """The objective of a search and its limits.

    Args:
        mode: "weighted" for the smallest f, "pareto" for the whole front.
        complexity: What size is measured in, see `measures.NAMES`: one, or with "pareto" any number; f_c is the first.
        weight: w_c ≥ 0.
        metric: Name of a Keras metric. None: accuracy, or for regression the mean squared error.
        direction: Whether it shall be large or small. None: as its name says.
        limits: Measure to the largest value a network may have; entries that are None are left out.
        early_stopping: Whether hopeless trials are given up. None: with "pareto".

    Raises:
        ValueError: A value is none of these.
    """

    mode: Mode = "weighted"
    complexity: str | Sequence[str] = "connections"
    weight: float = 0.1
    metric: str | None = None
    direction: Direction | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)
    early_stopping: bool | None = None

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if self.mode not in ("weighted", "pareto"):
            raise ValueError(f"objective must be 'weighted' or 'pareto', got {self.mode!r}.")
        if self.direction not in (None, "min", "max"):
            raise ValueError(f"direction must be 'min' or 'max', got {self.direction!r}.")
        names = self.measures
        check_names(names)
        if not names or len(names) != len(set(names)):
            raise ValueError(f"complexity must name each measure once, got {list(names)}.")
        if self.mode == "weighted" and len(names) > 1:
            raise ValueError(
                f"A weighted objective has one complexity, got {', '.join(names)}; 'pareto' takes several."
            )
        check_names(self.limits)
        for name, limit in self.limits.items():
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise ValueError(f"The limit on {name} must be a finite number > 0, got {limit}.")

    @property
    def measures(self) -> tuple[str, ...]:
        """What size is measured in."""
        return (self.complexity,) if isinstance(self.complexity, str) else tuple(self.complexity)

    @property
    def kept(self) -> dict[str, float]:
        """The limits there are."""
        return {name: float(limit) for name, limit in self.limits.items() if limit is not None}

    @property
    def stops(self) -> bool:
        """Whether hopeless trials are given up."""
        return self.mode == "pareto" if self.early_stopping is None else self.early_stopping

    def to_options(self) -> dict[str, Any]:
        """The settings as JSON, for the manifest."""
        return {
            "complexity_weight": float(self.weight),
            "objective": self.mode,
            "complexity": list(self.measures),
            "metric": self.metric,
            "direction": self.direction,
            "limits": self.kept,
            "early_stopping": self.stops,
        }

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """What `to_options` wrote; what earlier versions did not write is at its default."""
        found = {**DEFAULTS, **options}
        names = ("metric", "direction", "limits", "early_stopping", "complexity")
        return cls(mode=found["objective"], weight=found["complexity_weight"], **{name: found[name] for name in names})

    def objective(
        self, task: Task, *, reference: float, n_validation: int, target_variance: float | None = None
    ) -> Objective:
        """The objective on some data; see `Objective`."""
        name = canonical(self.metric, task)
        return Objective(
            task=task,
            weight=self.weight,
            reference=reference,
            n_validation=n_validation,
            target_variance=target_variance,
            metric=name,
            direction=self.direction or direction_of(name),
            scale=scale_of(name, target_variance),
            complexity=self.measures[0],
            pareto=self.measures if self.mode == "pareto" else (),
            limits=self.kept,
        )

    def adapted(
        self, task: Task, n_outputs: int, *, mean: float = 0.0, deviation: float = 1.0
    ) -> Callable[[], Adapted] | None:
        """Makes the metric to compile a network with; None where it is the task's own.

        Args:
            task: "classification" or "regression".
            n_outputs: Number of classes.
            mean: Of the targets that a network learns.
            deviation: The unit they are in.
        """
        name = canonical(self.metric, task)
        if name == canonical(None, task):
            return None
        return lambda: Adapted(name, task, n_outputs, mean=mean, deviation=deviation)
