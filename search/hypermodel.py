"""The networks of a space, built and trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

import keras_sparse as ks
from keras_sparse.rewiring.named import named, rhythm

from . import feeding
from .base_space import Inputs, Space
from .folding import fold
from .networks import compiled, evaluation_batch, steps_per_execution
from .objective import Task
from .placing import place

_WARM_UP_STEPS = 200


class SparseHyperModel(keras_tuner.HyperModel):
    """The sparse networks of a space, trained with Adam and rewired meanwhile, by SET unless the space says otherwise.

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
        metric: Makes a metric to compile beside the task's own; see `metrics.Adapted`.
        informative: Features that vary, for the patterns "informative" and "local"; see `placing`. None: all.
        grid: (height, width) of the picture that flat features are, for the pattern "local". Default: none.
    """

    fixed_size = True

    def __init__(
        self,
        space: Space,
        *,
        n_in: Inputs,
        n_out: int,
        task: Task,
        n_train: int | None = None,
        padded: bool = False,
        metric: Callable[[], keras.metrics.Metric] | None = None,
        informative: Sequence[int] | None = None,
        grid: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name=f"sparse_{space.kind}")
        self.space = space
        self.n_in = n_in
        self.n_out = n_out
        self.task: Task = task
        self.n_train = n_train
        self.padded = padded
        self.metric = metric
        self.informative = informative
        self.grid = grid

    def declare_hyperparameters(self, hp: Any) -> None:
        """Registers every hyperparameter of the space."""
        self.space.declare(hp)

    def build(self, hp: Any) -> keras.Model:
        """The compiled network that `hp` describes."""
        self.space.declare(hp)
        self._values = dict(hp.values)
        model = self._make(self._values)
        place(model, self.space.variant(hp.values, "pattern"), self.informative, self.grid)
        return model

    def _make(self, values: Mapping[str, Any]) -> keras.Model:
        network = self.space.build(values, self.n_in, self.n_out, task=self.task, padded=self.padded)
        return self._compiled(network, values)

    def _compiled(self, network: keras.Model, values: Mapping[str, Any]) -> keras.Model:
        policy, every = self._policy(values), self._rhythm(values)
        steps = 1 if policy.single_steps else steps_per_execution(self.n_train, values["batch_size"])
        if every != "epoch":  # callbacks run between executions
            steps = next(n for n in range(min(steps, every), 0, -1) if every % n == 0)
        return compiled(
            network,
            task=self.task,
            learning_rate=values["learning_rate"],
            weight_decay=self.space.number(values, "weight_decay"),
            smoothing=self.space.number(values, "smoothing"),
            steps_per_execution=steps,
            metrics=[] if self.metric is None else [self.metric()],
        )

    def finished(self, model: keras.Model) -> keras.Model:
        """The network built last, as it is kept: judged by plain labels, and without batch normalisation.

        That is folded into the weights of the layers it follows.
        """
        plain = {**self._values, "normalize": False, "smoothing": 0.0}
        if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
            return fold(model, self._make(plain))
        return self._compiled(model, plain) if self.space.number(self._values, "smoothing") else model

    def _policy(self, values: Mapping[str, Any]) -> ks.Policy:
        return named(self.space.variant(values, "policy"), values["zeta"])

    def _rhythm(self, values: Mapping[str, Any]) -> Any:
        """What `Rewire`'s `every` is: the space's, unless the policy has one of its own."""
        own, wanted = rhythm(self._policy(values)), self.space.variant(values, "rhythm")
        return own if own != "epoch" or wanted == "epoch" else int(wanted)

    def fit(self, hp: Any, model: keras.Model, *args: Any, callbacks: Sequence[Any] = (), **kwargs: Any) -> Any:
        """Trains with the policy, which rewires before any other callback looks at an epoch."""
        policy = self._policy(hp.values)
        newcomers = self.space.variant(hp.values, "newcomers")
        rewire = [ks.Rewire(policy, every=self._rhythm(hp.values), newcomers=newcomers)]
        rewire = [] if isinstance(policy, ks.Static) else rewire
        batches = {"batch_size": hp.get("batch_size"), "validation_batch_size": evaluation_batch(model)}
        kwargs = {**batches, **kwargs}
        if self.space.variant(hp.values, "schedule") == "cosine":
            examples = self.n_train or len(args[0] if args else kwargs["x"])
            optimizer: Any = model.optimizer
            optimizer.learning_rate = cosine(
                hp.get("learning_rate"), kwargs.get("epochs", 1) * math.ceil(examples / kwargs["batch_size"])
            )
        return feeding.fit(model, *args, callbacks=[*rewire, *callbacks], **kwargs)


def cosine(rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that rises to `rate` in 200 steps (a tenth of fewer than 2000), then falls to 0 like a cosine."""
    rise = max(1, min(_WARM_UP_STEPS, steps // 10))
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - rise), warmup_target=rate, warmup_steps=rise)
