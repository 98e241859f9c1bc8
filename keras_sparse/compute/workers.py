"""Telling whether several processes train one model together."""

from __future__ import annotations

from typing import Any

import keras


def several(model: Any = None) -> bool:
    """Return whether the strategy of TensorFlow in force, or that of `model`, spans several processes."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    strategies = [tf.distribute.get_strategy(), getattr(model, "distribute_strategy", None)]
    return any(spans(strategy) for strategy in strategies if strategy is not None)


def spans(strategy: Any) -> bool:
    """Return whether some replicas of a strategy live in other processes."""
    replicas = strategy.num_replicas_in_sync  # TensorFlow's default strategy has one, and does not tell its devices
    return replicas > 1 and replicas > len(strategy.extended.worker_devices)


def check_fit(model: Any, who: str) -> None:
    """Refuse a `fit` of several workers.

    Raises:
        ValueError: naming the custom loop.
    """
    if several(model):
        raise ValueError(
            f"{who} cannot rewire in `fit` under a strategy of several workers, which Keras' `fit` does not support: "
            "write the loop yourself, with `rewire.attach(model, optimizer)` and `rewire.update()`, as in "
            "examples/two_workers.py."
        )
