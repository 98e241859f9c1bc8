"""Giving up hopeless trials: successive halving on partial learning curves, a pure function of the records.

A trial that reaches a rung (after epoch 3, 9, 27, …) goes on if, by its best epoch so far, it is among the best third
of those that reached the rung before it. Trials need not wait for each other: each is compared with what is known.
Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (ASHA), with stopping for promoting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .dominance import dominators
from .measures import STATIC
from .objective import Objective
from .records import TrialRecord

ETA: Final = 3
"""η: one in so many goes on, and rungs are so many times apart."""


def rungs(epochs: int, eta: int = ETA) -> list[int]:
    """The epochs after which trials are compared: η, η², … below `epochs`."""
    found = []
    rung = eta
    while rung < epochs:
        found.append(rung)
        rung *= eta
    return found


@dataclass(frozen=True)
class Halving:
    """Decides which trials of a search are given up.

    In a search for the whole front the trials are ranked by how many others beat them, and one that nobody beats goes
    on. Seconds are known when a trial has ended only: a front takes connections for them here, f leaves them out.

    Args:
        objective: What trials are compared by.
        earlier: The trials to compare with: those known when the trial was proposed.
        epochs: Epochs a trial trains at most.
        eta: η ≥ 2. No trial is given up before η others have reached a rung.
    """

    objective: Objective
    earlier: Sequence[TrialRecord]
    epochs: int
    eta: int = ETA

    def hopeless(self, curve: Sequence[float | None], measures: Mapping[str, float]) -> bool:
        """Whether to stop a trial now.

        Args:
            curve: Its validation metric, one per epoch so far.
            measures: What its network costs.
        """
        epoch = len(curve)
        if epoch not in rungs(self.epochs, self.eta):
            return False
        mine = self._point(curve, measures, epoch)
        others = [point for record in self.earlier if (point := self._earlier(record, epoch)) is not None]
        if mine is None or len(others) < self.eta:
            return mine is None
        places = math.ceil((len(others) + 1) / self.eta)
        if not self.objective.pareto:
            return sum(other < mine for other in others) >= places
        beaten = dominators([*others, mine])
        return bool(beaten[-1] > 0 and sum(beaten[:-1] < beaten[-1]) >= places)

    def _earlier(self, record: TrialRecord, epoch: int) -> tuple[float, ...] | None:
        curve = record.curve.get("val_metric", ())
        if not record.feasible or (record.stopped_early is not None and record.stopped_early < epoch):
            return None
        return self._point(curve, {"connections": record.connections or 0, **record.measures}, epoch)

    def _point(
        self, curve: Sequence[float | None], measures: Mapping[str, float], epoch: int
    ) -> tuple[float, ...] | None:
        """What a trial had after an epoch, smaller is better: f, or f_p and the measures; None if nothing finite."""
        goal = self.objective
        size = measures.get(goal.complexity, 0.0) if goal.complexity in STATIC else 0.0
        scores = [goal.score(metric, size) for metric in curve[:epoch] if metric is not None]
        scores = [score for score in scores if score.valid]
        if not scores:
            return None
        if not goal.pareto:
            return (min(score.objective for score in scores),)
        names = dict.fromkeys(name if name in STATIC else "connections" for name in goal.pareto)
        return (min(score.f_p for score in scores), *(measures.get(name, 0.0) for name in names))
