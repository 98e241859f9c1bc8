"""A callback that keeps the best epoch of a trial: its weights, its topology and its figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from . import measures
from .halving import Halving
from .objective import Objective, Score


class TrialDivergedError(ArithmeticError):
    """A loss or a metric became NaN or infinite."""


class BestEpoch(keras.callbacks.Callback):
    """Scores every epoch by the objective and keeps the best one, with the topology of that epoch.

    An epoch whose network keeps the objective's limits is better than one that does not. Where seconds count, epochs
    are compared by f_p: a clock tells networks apart, not epochs. `model.get_weights()` holds the topology, so
    `restore` brings back the network that was scored, whatever was rewired since. List it after `ks.Rewire`. Stops the
    training when `patience` epochs brought nothing better.

    Args:
        objective: What the epochs are compared by.
        unit: What the logged metric is multiplied with before it is scored (a squared target unit for regression).
        patience: Epochs without a better one before training stops. None never stops it.
        halving: Says when to give the training up. None never does.
        on_epoch: Called with the number of epochs done.

    Attributes:
        best: Score of the best epoch, or None before the first.
        epoch: The best epoch, from 1.
        metric: Its validation metric.
        curve: Name to one number per epoch.
        stopped_early: The epoch after which `halving` gave the training up, or None.
        error: Set, and the training stopped, if a figure was not finite.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        unit: float = 1.0,
        patience: int | None = None,
        halving: Halving | None = None,
        on_epoch: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.unit = unit
        self.patience = patience
        self.halving = halving
        self.stopped_early: int | None = None
        self.on_epoch = on_epoch
        self.best: Score | None = None
        self.epoch = 0
        self.metric = math.nan
        self.curve: dict[str, list[float | None]] = {"loss": [], "val_loss": [], "val_metric": [], "connections": []}
        self.error: TrialDivergedError | None = None
        self._weights: list[np.ndarray] = []
        self._broken: str | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Scores the epoch."""
        logs = logs or {}
        name = f"val_{self.objective.metric}"
        if name not in logs:
            raise ValueError(
                f"The search needs {name} after every epoch, got {sorted(logs)}: compile the model with the metric "
                f"{self.objective.metric!r} and train it with validation data."
            )
        metric = float(logs[name]) * self.unit
        figures = {key: float(logs[key]) for key in ("loss", "val_loss") if key in logs} | {"val_metric": metric}
        model: Any = self.model
        size = measures.static(model)
        told = {**figures, "connections": int(size["connections"])}
        for key, values in self.curve.items():  # a training loop of one's own may tell less than `Model.fit`
            value = told.get(key, math.nan)
            values.append(value if math.isfinite(value) else None)
        score = self.objective.score(metric, size.get(self.objective.complexity, 0.0))
        wrong = [key for key, value in figures.items() if not math.isfinite(value)]
        if wrong or not score.valid:
            self.error = TrialDivergedError(f"{', '.join(wrong) or 'objective'} is not finite in epoch {epoch + 1}")
            model.stop_training = True
        elif self._is_better(score, self.objective.broken(size)):
            self._weights = model.get_weights()
            self.epoch, self.metric = epoch + 1, metric
        elif self.patience is not None and epoch + 1 - self.epoch >= self.patience:
            model.stop_training = True
        if self.error is None and self.halving is not None and self.halving.hopeless(self.curve["val_metric"], size):
            self.stopped_early = epoch + 1
            model.stop_training = True
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1)

    def _is_better(self, score: Score, broken: str | None) -> bool:
        """Takes over the score if it is the best so far."""
        if self.best is not None:
            before, now = (self._broken is not None, self.best.objective), (broken is not None, score.objective)
            if now >= before:
                return False
        self.best, self._broken = score, broken
        return True

    def restore(self) -> Score:
        """Puts weights and topology of the best epoch back into the model.

        Returns:
            Its score.

        Raises:
            TrialDivergedError: A figure was not finite in some epoch, or no epoch ended.
        """
        if self.error is not None:
            raise self.error
        if self.best is None:
            raise TrialDivergedError("no epoch was trained to its end")
        model: Any = self.model
        model.set_weights(self._weights)
        return self.best
