"""The networks of an `MLPSpace`, built and trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner

import keras_sparse as ks

from .objective import Task
from .space import Junction, MLPSpace

_MAX_STEPS_PER_EXECUTION = 64
_EVALUATION_BATCH = 1024


class SparseHyperModel(keras_tuner.HyperModel):
    """Sparse multi-layer perceptrons, rewired by SET while they train.

    A network is Input → SparseDense with an activation, once per hidden layer → SparseDense with softmax (or one linear
    output for regression). Layers are called "hidden_1", …, "output". It is trained with Adam.

    Args:
        space: The space.
        n_in: Number of features.
        n_out: Number of classes, or of regression targets.
        task: "classification" (integer labels) or "regression".
        n_train: Number of training examples; decides how many steps run between two looks of Python at the training
            (up to 64). It changes the speed only. Default: one step.
        metric: Makes a metric to compile beside the task's own; see `metrics.Adapted`.
    """

    fixed_size = True

    def __init__(
        self,
        space: MLPSpace,
        *,
        n_in: int,
        n_out: int,
        task: Task,
        n_train: int | None = None,
        metric: Callable[[], keras.metrics.Metric] | None = None,
    ) -> None:
        super().__init__(name="sparse_mlp")
        self.space = space
        self.n_in = n_in
        self.n_out = n_out
        self.task: Task = task
        self.n_train = n_train
        self.metric = metric

    def declare_hyperparameters(self, hp: Any) -> None:
        """Registers every hyperparameter of the space."""
        self.space.declare(hp)

    def build(self, hp: Any) -> keras.Model:
        """The compiled network that `hp` describes."""
        self.space.declare(hp)
        return build_mlp(
            self.space.junctions(hp.values, self.n_out),
            n_in=self.n_in,
            task=self.task,
            activation=self.space.activation,
            learning_rate=hp.get("learning_rate"),
            steps_per_execution=steps_per_execution(self.n_train, hp.get("batch_size")),
            metrics=[] if self.metric is None else [self.metric()],
        )

    def fit(self, hp: Any, model: keras.Model, *args: Any, callbacks: Sequence[Any] = (), **kwargs: Any) -> Any:
        """Trains with SET, which rewires before any other callback looks at an epoch."""
        rewire = ks.Rewire(ks.SET(zeta=hp.get("zeta")))
        kwargs = {"batch_size": hp.get("batch_size"), "validation_batch_size": _EVALUATION_BATCH, **kwargs}
        return model.fit(*args, callbacks=[rewire, *callbacks], **kwargs)


def build_mlp(
    junctions: Sequence[Junction],
    *,
    n_in: int,
    task: Task,
    activation: str = "relu",
    learning_rate: float = 0.003,
    steps_per_execution: int = 1,
    metrics: Sequence[keras.metrics.Metric] = (),
) -> keras.Model:
    """A compiled sparse multi-layer perceptron called "network".

    Args:
        junctions: Its layers, the output layer last.
        n_in: Number of features.
        task: "classification" (softmax, integer labels) or "regression" (linear).
        activation: Of the hidden layers.
        learning_rate: Adam's.
        steps_per_execution: Steps between two looks of Python at the training.
        metrics: To compile beside "accuracy" or "mse".
    """
    *hidden, last = junctions
    classifies = task == "classification"
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
    output = "softmax" if classifies else None
    layers.append(ks.SparseDense(last.units, density=last.density, activation=output, name=last.name))
    model = keras.Sequential([keras.Input((n_in,), name="features"), *layers], name="network")
    compile_model: Any = model.compile
    compile_model(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy" if classifies else "mse",
        metrics=["accuracy" if classifies else "mse", *metrics],
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    return model


def steps_per_execution(n_train: int | None, batch_size: int) -> int:
    """Steps between two looks of Python at the training: an epoch's, at most 64; one if `n_train` is unknown."""
    if n_train is None:
        return 1
    return max(1, min(math.ceil(n_train / batch_size), _MAX_STEPS_PER_EXECUTION))
