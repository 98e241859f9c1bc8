"""A callback that keeps the best epoch of a trial: its weights, its topology and its figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_sparse as ks

from .objective import Objective, Score


class TrialDivergedError(ArithmeticError):
    """A loss or a metric became NaN or infinite."""


class BestEpoch(keras.callbacks.Callback):
    """Scores every epoch by the objective and keeps the best one, with the topology of that epoch.

    `model.get_weights()` holds the topology, so `restore` brings back the network that was scored, whatever was rewired
    since. List it after `ks.Rewire`. Stops the training when `patience` epochs brought nothing better.

    Args:
        objective: What the epochs are compared by.
        unit: What the logged metric is multiplied with before it is scored (a squared target unit for regression).
        patience: Epochs without a better one before training stops. None never stops it.
        on_epoch: Called with the number of epochs done.

    Attributes:
        best: Score of the best epoch, or None before the first.
        epoch: The best epoch, from 1.
        metric: Its validation metric.
        curve: Name to one number per epoch.
        error: Set, and the training stopped, if a figure was not finite.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        unit: float = 1.0,
        patience: int | None = None,
        on_epoch: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.unit = unit
        self.patience = patience
        self.on_epoch = on_epoch
        self.best: Score | None = None
        self.epoch = 0
        self.metric = math.nan
        self.curve: dict[str, list[float | None]] = {"loss": [], "val_loss": [], "val_metric": [], "connections": []}
        self.error: TrialDivergedError | None = None
        self._weights: list[np.ndarray] = []

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
        figures = {"loss": float(logs["loss"]), "val_loss": float(logs.get("val_loss", 0.0)), "val_metric": metric}
        model: Any = self.model
        connections = ks.inspect(model).connections
        for key, value in {**figures, "connections": connections}.items():
            self.curve[key].append(value if math.isfinite(value) else None)
        score = self.objective.score(metric, connections)
        wrong = [key for key, value in figures.items() if not math.isfinite(value)]
        if wrong or not score.valid:
            self.error = TrialDivergedError(f"{', '.join(wrong) or 'objective'} is not finite in epoch {epoch + 1}")
            model.stop_training = True
        elif self.best is None or score.objective < self.best.objective:
            self.best, self.epoch, self.metric = score, epoch + 1, metric
            self._weights = model.get_weights()
        elif self.patience is not None and epoch + 1 - self.epoch >= self.patience:
            model.stop_training = True
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1)

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
