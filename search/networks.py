"""The networks that spaces describe, of sparse layers: called "network", on preprocessed features called "features"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

import keras_sparse as ks

from .objective import Task

_MAX_STEPS_PER_EXECUTION = 64
_MOST_EVALUATED = 1024
_POSITIONS_EVALUATED = 2**18
_FEWEST_EVALUATED = 8


@dataclass(frozen=True)
class Junction:
    """One dense layer to build: its name, its units and the density of the junction that feeds it."""

    name: str
    units: int
    density: float


def build_mlp(junctions: Sequence[Junction], *, n_in: int, task: Task, activation: str = "relu") -> keras.Model:
    """A sparse multi-layer perceptron.

    Args:
        junctions: Its layers, the output layer last.
        n_in: Number of features.
        task: "classification" (softmax) or "regression" (linear).
        activation: Of the hidden layers.
    """
    layers = dense_layers(junctions, task, activation)
    return keras.Sequential([keras.Input((n_in,), name="features"), *layers], name="network")


def dense_layers(junctions: Sequence[Junction], task: Task, activation: str) -> list[keras.layers.Layer]:
    """Dense layers, the output layer last."""
    *hidden, last = junctions
    layers: list[keras.layers.Layer] = [
        ks.SparseDense(
            junction.units,
            density=junction.density,
            activation=activation,
            kernel_initializer="he_normal",
            name=junction.name,
        )
        for junction in hidden
    ]
    output = "softmax" if task == "classification" else None
    return [*layers, ks.SparseDense(last.units, density=last.density, activation=output, name=last.name)]


def compiled(
    model: keras.Model, *, task: Task, learning_rate: float = 0.003, steps_per_execution: int = 1
) -> keras.Model:
    """The same model, compiled with Adam for integer labels or a regression.

    Args:
        model: A network that ends as `task` wants it.
        task: "classification" or "regression".
        learning_rate: Adam's.
        steps_per_execution: Steps between two looks of Python at the training.
    """
    classifies = task == "classification"
    compile_model: Any = model.compile
    compile_model(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy" if classifies else "mse",
        metrics=["accuracy" if classifies else "mse"],
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    return model


def steps_per_execution(n_train: int | None, batch_size: int) -> int:
    """Steps between two looks of Python at the training: an epoch's, at most 64; one if `n_train` is unknown."""
    if n_train is None:
        return 1
    return max(1, min(math.ceil(n_train / batch_size), _MAX_STEPS_PER_EXECUTION))


def evaluation_batch(input_shape: Sequence[int | None]) -> int:
    """Examples to evaluate at once: 1024, fewer of large images and long sequences, to bound the memory.

    Args:
        input_shape: Of the network, with the batch: (None, n), (None, h, w, c) or (None, time, n).
    """
    positions = math.prod(n or 1 for n in input_shape[1:-1])
    return min(_MOST_EVALUATED, max(_FEWEST_EVALUATED, _POSITIONS_EVALUATED // positions))
