"""What the experiments with convolutional networks have in common: augmentation, and training that can be resumed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import keras

import keras_sparse as ks

from . import data, training
from .experiment import Results, Run

CURVES = {"test_accuracy": "test accuracy, %", "train_accuracy": "training accuracy, %", "loss": "training loss"}


def augmentation(*, shift: float, rotation: float = 0.0) -> list[Any]:
    """Return layers that flip, shift and turn the pictures of every batch anew in training.

    Args:
        shift: at most, as a share of height and width.
        rotation: at most, in degrees.
    """
    layers: list[Any] = [keras.layers.RandomFlip("horizontal")]
    how: dict[str, Any] = {"fill_mode": "nearest", "interpolation": "nearest"}
    layers.append(keras.layers.RandomTranslation(shift, shift, **how))
    return [*layers, keras.layers.RandomRotation(rotation / 360, **how)] if rotation else layers


def train(
    this: Run,
    model: keras.Sequential,
    part: data.Data,
    *,
    optimizer: Any,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Results:
    """Train for `this["epochs"]` with `this["batch"]`; go on after the last whole epoch if the run was interrupted."""
    curve = training.Curve(part)
    # Its file stays until the run is recorded: a kill in between loses nothing.
    backup = ks.Backup(this.scratch, include=[curve], delete_at_end=False)
    training.fit(
        model,
        part,
        optimizer=optimizer,
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=[*callbacks, curve, backup],
    )
    rewire = next((callback for callback in callbacks if isinstance(callback, ks.Rewire)), None)
    return {
        **training.summary(model, part, rewire),
        "test_accuracy": curve.values("accuracies"),
        "train_accuracy": curve.values("train_accuracies"),
        "loss": curve.values("losses"),
        "epoch_seconds": statistics.fmean(curve.values("training_seconds")),
        "seconds": sum(curve.values("all_seconds")),
    }
