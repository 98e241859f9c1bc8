"""Keras metrics by name, for labels and outputs as the search's networks have them.

The networks end with a softmax over the classes and learn from integer labels; those of a regression learn
standardised targets. Most Keras metrics want something else: `Adapted` gives it to them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from .objective import Direction, Task

_SMALLER_IS_BETTER = ("loss", "error", "entropy", "hinge", "divergence", "poisson", "logcosh", "false", "mse", "mae")
_ALIASES = {"acc": "accuracy", "ce": "sparse_categorical_crossentropy", "rmse": "root_mean_squared_error"}
_ALIASES |= {"crossentropy": "sparse_categorical_crossentropy", "mean_squared_error": "mse", "msle": "msle"}
_SQUARES = ("mse",)
_UNITS = ("mae", "mean_absolute_error", "root_mean_squared_error")


def canonical(name: str | None, task: Task) -> str:
    """The name of a metric as logs spell it; None is the default of the task."""
    if name is None:
        return "accuracy" if task == "classification" else "mse"
    return _ALIASES.get(name.lower(), name)


def direction_of(name: str) -> Direction:
    """Whether a Keras metric shall be small (errors, losses, divergences, false positives, …) or large."""
    plain = name.lower().replace("_", "")
    short = plain in ("mape", "msle", "kld")
    return "min" if short or any(part in plain for part in _SMALLER_IS_BETTER) else "max"


def scale_of(name: str, target_variance: float | None) -> float | None:
    """What a metric to minimise is divided by to be a share: the variance or deviation of the targets, or nothing."""
    if target_variance is None or name in _SQUARES:
        return None
    return target_variance**0.5 if name.lower() in _UNITS else 1.0


class Adapted(keras.metrics.Metric):
    """A Keras metric on the labels and outputs of a search's network.

    For a classification metrics named "sparse_…" see the labels; others see them one-hot, or with two classes the
    second one's label and probability (AUC, precision, …). For a regression they see targets in their own unit.

    Args:
        name: What `keras.metrics.get` knows, e.g. "auc", "f1_score" (averaged over classes), "mae".
        task: "classification" or "regression".
        n_outputs: Number of classes.
        mean: Of the targets; regression only.
        deviation: The unit the network's targets are in; regression only.

    Raises:
        ValueError: Keras has no such metric, or it needs arguments.
    """

    def __init__(self, name: str, task: Task, n_outputs: int, *, mean: float = 0.0, deviation: float = 1.0) -> None:
        super().__init__(name=name)
        self._inner = _make(name)
        self._task = task
        self._n_outputs = n_outputs
        self._mean, self._deviation = mean, deviation

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        ops = keras.ops
        if self._task == "regression":
            y_pred = ops.convert_to_tensor(y_pred)
            y_true = ops.reshape(ops.cast(y_true, y_pred.dtype), ops.shape(y_pred))
            y_true, y_pred = (y * self._deviation + self._mean for y in (y_true, y_pred))
        elif not self.name.startswith("sparse_"):
            y_true = ops.one_hot(ops.cast(ops.reshape(y_true, [-1]), "int32"), self._n_outputs)
            if self._n_outputs == 2 and "categorical" not in self.name:
                y_true, y_pred = y_true[:, 1:], y_pred[:, 1:]
        self._inner.update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        """The metric as one number."""
        return keras.ops.mean(self._inner.result())

    def reset_state(self) -> None:
        """Forgets all batches."""
        self._inner.reset_state()


def _make(name: str) -> keras.metrics.Metric:
    try:
        found = keras.metrics.get(name)
        if isinstance(found, type):
            found = found()
    except ValueError as error:
        raise ValueError(f"Keras has no metric {name!r}. Examples: accuracy, auc, f1_score, mse, mae.") from error
    except TypeError as error:
        raise ValueError(
            f"The metric {name!r} cannot be made by its name alone ({error}). Compile it in a HyperModel of your own."
        ) from error
    if isinstance(found, keras.metrics.Metric):
        return found
    return keras.metrics.MeanMetricWrapper(found, name=name)


def evaluate(model: Any, metric: Adapted, x: Any, y: np.ndarray, *, batch_size: int = 1024) -> float:
    """The metric of a model's predictions, whatever the model was compiled with."""
    metric.reset_state()
    predicted = model.predict(x, batch_size=batch_size, verbose=0)
    for start in range(0, len(y), batch_size):
        metric.update_state(y[start : start + batch_size], predicted[start : start + batch_size])
    return float(np.asarray(keras.ops.convert_to_numpy(metric.result())))
