"""Giving up hopeless trials: successive halving on partial learning curves, a pure function of the records.

A trial that reaches a rung (after epoch 3, 9, 27, …) goes on if, by its best epoch so far, it is among the best third
of those that reached the rung before it. Trials need not wait for each other: each is compared with what is known.
In a search for a front one that might join it goes on, too.
Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (ASHA), with stopping for promoting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .dominance import dominators
from .measures import STATIC
from .objective import Objective
from .records import TrialRecord

ETA: Final = 3
"""η: one in so many goes on, and rungs are so many times apart."""
HOPE: Final = 0.25
"""Share of the trials before that gained at least as much after a rung as one that may join the front is hoped to."""


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
    on; so does one that no result would beat if it gained from here on what the best quarter of the others did: late in
    a search the front is so good that most trials are worse after few epochs, those that would join it, too. Seconds
    are known when a trial has ended only: a front takes connections for them here, f leaves them out.

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
        return bool(beaten[-1] > 0 and sum(beaten[:-1] < beaten[-1]) >= places) and not self._may_join(mine, epoch)

    def _may_join(self, mine: tuple[float, ...], epoch: int) -> bool:
        """Whether no result so far would beat the trial if it gained as others did that went on after the epoch."""
        results, gains = [], []
        for record in self.earlier:
            curve = record.curve.get("val_metric", ())
            if record.feasible and (result := self._of(record, len(curve))) is not None:
                results.append(result)
                before = self._of(record, epoch)
                if record.stopped_early is None and len(curve) > epoch and before is not None and before[0]:
                    gains.append(result[0] / before[0])
        gain = float(np.quantile(gains, HOPE)) if gains else 1.0
        return dominators([*results, (mine[0] * gain, *mine[1:])])[-1] == 0

    def _earlier(self, record: TrialRecord, epoch: int) -> tuple[float, ...] | None:
        if not record.feasible or (record.stopped_early is not None and record.stopped_early < epoch):
            return None
        return self._of(record, epoch)

    def _of(self, record: TrialRecord, epoch: int) -> tuple[float, ...] | None:
        measures = {"connections": record.connections or 0, **record.measures}
        return self._point(record.curve.get("val_metric", ()), measures, epoch)

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
