"""The networks of an `MLPSpace`, built and trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner

import keras_sparse as ks
from keras_sparse.rewiring.named import named, rhythm

from .folding import fold
from .objective import Task
from .placing import place
from .space import Junction, MLPSpace

_MAX_STEPS_PER_EXECUTION = 64
_EVALUATION_BATCH = 1024
_WARM_UP_STEPS = 200


class SparseHyperModel(keras_tuner.HyperModel):
    """Sparse multi-layer perceptrons, rewired while they train, by SET where the space has no other policy.

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
        informative: Features that vary, for the pattern "informative"; see `placing`. None: all.
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
        informative: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name="sparse_mlp")
        self.space = space
        self.n_in = n_in
        self.n_out = n_out
        self.task: Task = task
        self.n_train = n_train
        self.metric = metric
        self.informative = informative

    def declare_hyperparameters(self, hp: Any) -> None:
        """Registers every hyperparameter of the space."""
        self.space.declare(hp)

    def build(self, hp: Any) -> keras.Model:
        """The compiled network that `hp` describes."""
        self.space.declare(hp)
        policy = self._policy(hp)
        one_by_one = policy.single_steps or rhythm(policy) == 1
        self._network = {
            "junctions": self.space.junctions(hp.values, self.n_out),
            "n_in": self.n_in,
            "task": self.task,
            "activation": self.space.activation,
            "learning_rate": hp.get("learning_rate"),
            "steps_per_execution": 1 if one_by_one else steps_per_execution(self.n_train, hp.get("batch_size")),
        }
        model = self._make(normalize=self.space.variant(hp.values, "normalize"))
        place(model, self.space.variant(hp.values, "pattern"), self.informative)
        return model

    def _make(self, *, normalize: bool) -> keras.Model:
        metrics = [] if self.metric is None else [self.metric()]
        return build_mlp(**self._network, metrics=metrics, normalize=normalize)

    def finished(self, model: keras.Model) -> keras.Model:
        """The network without batch normalisation: folded into the weights of the layers, which it follows."""
        if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
            return model
        return fold(model, self._make(normalize=False))

    def _policy(self, hp: Any) -> ks.Policy:
        return named(self.space.variant(hp.values, "policy"), hp.get("zeta"))

    def fit(self, hp: Any, model: keras.Model, *args: Any, callbacks: Sequence[Any] = (), **kwargs: Any) -> Any:
        """Trains with the policy, which rewires before any other callback looks at an epoch."""
        policy = self._policy(hp)
        rewire = [] if isinstance(policy, ks.Static) else [ks.Rewire(policy, every=rhythm(policy))]
        if self.space.variant(hp.values, "schedule") == "cosine":
            steps = kwargs.get("epochs", 1) * math.ceil(len(args[0]) / hp.get("batch_size"))
            optimizer: Any = model.optimizer
            optimizer.learning_rate = cosine(hp.get("learning_rate"), steps)
        kwargs = {"batch_size": hp.get("batch_size"), "validation_batch_size": _EVALUATION_BATCH, **kwargs}
        return model.fit(*args, callbacks=[*rewire, *callbacks], **kwargs)


def build_mlp(
    junctions: Sequence[Junction],
    *,
    n_in: int,
    task: Task,
    activation: str = "relu",
    learning_rate: float = 0.003,
    steps_per_execution: int = 1,
    metrics: Sequence[keras.metrics.Metric] = (),
    normalize: bool = False,
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
        normalize: Whether hidden layers have batch normalisation before their activation.
    """
    *hidden, last = junctions
    classifies = task == "classification"
    layers: list[keras.layers.Layer] = []
    for junction in hidden:
        own = None if normalize else activation
        layers.append(
            ks.SparseDense(
                junction.units,
                density=junction.density,
                activation=own,
                kernel_initializer="he_normal",
                name=junction.name,
            )
        )
        if normalize:
            layers += [keras.layers.BatchNormalization(), keras.layers.Activation(activation)]
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


def cosine(rate: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that rises to `rate` in 200 steps (a tenth of fewer than 2000), then falls to 0 like a cosine."""
    rise = max(1, min(_WARM_UP_STEPS, steps // 10))
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - rise), warmup_target=rate, warmup_steps=rise)


def steps_per_execution(n_train: int | None, batch_size: int) -> int:
    """Steps between two looks of Python at the training: an epoch's, at most 64; one if `n_train` is unknown."""
    if n_train is None:
        return 1
    return max(1, min(math.ceil(n_train / batch_size), _MAX_STEPS_PER_EXECUTION))
