"""The networks of a space, built and trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

import keras_sparse as ks

from .base_space import Inputs, Space
from .networks import compiled, evaluation_batch, steps_per_execution
from .objective import Task


class SparseHyperModel(keras_tuner.HyperModel):
    """The sparse networks of a space, trained with Adam and rewired by SET while they train.

    Args:
        space: The space: `MLPSpace`, `ConvSpace`, `RecurrentSpace`, or a `Space` of your own.
        n_in: What one example is: the number of features; (height, width, channels) for `ConvSpace`; (time, features)
            for `RecurrentSpace` and `ConvSpace(dimensions=1)`.
        n_out: Number of classes, or of regression targets.
        task: "classification" (integer labels) or "regression".
        n_train: Number of training examples; decides how many steps run between two looks of Python at the training
            (up to 64). It changes the speed only. Default: one step.
        padded: Whether sequences have padded steps, marked as `keras_sparse.search.data.Preprocessing` marks them.
            Default False.
    """

    def __init__(
        self,
        space: Space,
        *,
        n_in: Inputs,
        n_out: int,
        task: Task,
        n_train: int | None = None,
        padded: bool = False,
    ) -> None:
        super().__init__(name=f"sparse_{space.kind}")
        self.space = space
        self.n_in = n_in
        self.n_out = n_out
        self.task: Task = task
        self.n_train = n_train
        self.padded = padded

    def declare_hyperparameters(self, hp: Any) -> None:
        """Registers every hyperparameter of the space."""
        self.space.declare(hp)

    def build(self, hp: Any) -> keras.Model:
        """The compiled network that `hp` describes."""
        self.space.declare(hp)
        return compiled(
            self.space.build(hp.values, self.n_in, self.n_out, task=self.task, padded=self.padded),
            task=self.task,
            learning_rate=hp.get("learning_rate"),
            steps_per_execution=steps_per_execution(self.n_train, hp.get("batch_size")),
        )

    def fit(self, hp: Any, model: keras.Model, *args: Any, callbacks: Sequence[Any] = (), **kwargs: Any) -> Any:
        """Trains with SET, which rewires before any other callback looks at an epoch."""
        rewire = ks.Rewire(ks.SET(zeta=hp.get("zeta")))
        batches = {"batch_size": hp.get("batch_size"), "validation_batch_size": evaluation_batch(model)}
        return model.fit(*args, callbacks=[rewire, *callbacks], **{**batches, **kwargs})
