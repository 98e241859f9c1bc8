"""Making and training the multilayer perceptrons of the experiments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import keras_sparse as ks

from .data import Data

LOSS = "sparse_categorical_crossentropy"


def start(seed: int) -> None:
    """Forget the last run and seed everything."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


def mlp(
    sizes: Sequence[int],
    densities: Sequence[float | None],
    *,
    seed: int,
    activation: Callable[[], keras.layers.Layer] = keras.layers.ReLU,
    pattern: Any = None,
    normalize: bool = False,
    dropout: float = 0.0,
    use_bias: bool = True,
    initializer: Any = "he_normal",
    regularizer: Any = None,
    room: float = 1.0,
) -> keras.Sequential:
    """Return a multilayer perceptron that ends with a softmax.

    Args:
        sizes: number of inputs, of units per hidden layer, and of classes.
        densities: of every junction; None for keras.layers.Dense.
        seed: of connections and values.
        activation: makes the activation layer of a hidden layer.
        pattern: of the sparse junctions, or a list with one for every junction.
        normalize: whether hidden layers have batch normalisation before the activation.
        dropout: after every hidden layer.
        use_bias: whether layers have biases.
        initializer: of the weights, or a list with one for every junction; in sparse junctions it goes by the fans that
            are really there.
        regularizer: of the weights.
        room: capacity of the sparse junctions over their connections, for policies that move them between junctions.
    """
    layers: list[Any] = [keras.Input((sizes[0],))]
    last = len(densities) - 1
    for number, density in enumerate(densities):
        common = {
            "activation": "softmax" if number == last else None,
            "use_bias": use_bias,
            "kernel_initializer": initializer[number] if isinstance(initializer, list) else initializer,
            "kernel_regularizer": regularizer,
            "name": f"junction_{number + 1}",
        }
        units = sizes[number + 1]
        if density is None:
            layers.append(keras.layers.Dense(units, **common))
        else:
            own = counter(seed, number)
            positions = sizes[number] * units
            capacity = None if room == 1 else min(positions, round(room * density * positions))
            where = pattern[number] if isinstance(pattern, list) else pattern
            layers.append(ks.SparseDense(units, density=density, pattern=where, seed=own, capacity=capacity, **common))
        if number < last:
            layers += [keras.layers.BatchNormalization()] if normalize else []
            layers.append(activation())
            layers += [keras.layers.Dropout(dropout)] if dropout else []
    return keras.Sequential(layers)


def counter(seed: int, number: int) -> int:
    """Return a seed for each junction of each run."""
    return 1000 * seed + number


def fit(
    model: Any,
    data: Data,
    *,
    optimizer: Any,
    batch: int,
    epochs: int,
    progress: Callable[[float], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    steps_per_execution: int = 1,
    smoothing: float = 0.0,
) -> None:
    """Compile and train; without looking at the test part. `smoothing`: of labels."""
    loss = _smoothed(data.classes, smoothing) if smoothing else LOSS
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=steps_per_execution)
    more = [] if progress is None else [_Progress(progress, epochs)]
    model.fit(data.x_train, data.y_train, batch_size=batch, epochs=epochs, verbose=0, callbacks=[*callbacks, *more])


def _smoothed(classes: int, amount: float) -> Callable[[Any, Any], Any]:
    """Return the cross-entropy for labels of which `amount` is spread over all classes."""

    def loss(labels: Any, found: Any) -> Any:
        wanted = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(labels, [-1]), "int32"), classes)
        return keras.losses.categorical_crossentropy(wanted, found, label_smoothing=amount)

    return loss


def learn(
    model: ks.RBM,
    x: NDArray[Any],
    *,
    optimizer: Any,
    batch: int,
    epochs: int,
    progress: Callable[[float], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    steps_per_execution: int = 1,
) -> None:
    """Compile and train an RBM."""
    model.compile(optimizer, steps_per_execution=steps_per_execution)
    more = [] if progress is None else [_Progress(progress, epochs)]
    model.fit(x, batch_size=batch, epochs=epochs, verbose=0, callbacks=[*callbacks, *more])


def accuracy(model: Any, data: Data) -> float:
    """Return the share of the test part that is classified rightly."""
    found = np.argmax(model.predict(data.x_test, batch_size=1000, verbose=0), axis=-1)
    return float(np.mean(found == data.y_test))


class Curve(keras.callbacks.Callback):
    """The learning curve: what `fit` tells, and the test accuracy, after every `every`-th epoch.

    Its lists hold arrays of one number each, which `ks.Backup(include=[curve])` keeps; `values` returns plain ones.
    """

    def __init__(self, part: Data, every: int = 1) -> None:
        super().__init__()
        self.part, self.every = part, every
        self.losses: list[NDArray[Any]] = []
        self.train_accuracies: list[NDArray[Any]] = []
        self.accuracies: list[NDArray[Any]] = []
        self.training_seconds: list[NDArray[Any]] = []
        self.all_seconds: list[NDArray[Any]] = []
        self._begin: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.training_seconds.append(np.asarray(time.perf_counter() - self._begin))
        if (epoch + 1) % self.every == 0:
            self.losses.append(np.asarray((logs or {})["loss"], float))
            self.train_accuracies.append(np.asarray((logs or {})["accuracy"], float))
            self.accuracies.append(np.asarray(accuracy(self.model, self.part)))
        self.all_seconds.append(np.asarray(time.perf_counter() - self._begin))

    def values(self, name: str) -> list[float]:
        """Return the list `name` as numbers."""
        return [float(value) for value in getattr(self, name)]


def cosine(rate: float, steps: int, *, warm_up: int = 0) -> Any:
    """Return a learning rate that falls to 0 along a cosine in `steps` steps, the first of them rising."""
    if not warm_up:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=rate, warmup_steps=warm_up
    )


def steps(data: Data, batch: int, epochs: int) -> int:
    """Return the number of optimizer steps of a training."""
    return epochs * -(-len(data.x_train) // batch)


def summary(model: keras.Model, data: Data, rewire: ks.Rewire | None = None) -> dict[str, Any]:
    """Return test accuracy, connections, density, and the share of positions that rewiring has tried."""
    report = ks.inspect(model)
    results = {"accuracy": accuracy(model, data), "connections": report.connections, "density": report.density}
    if rewire is not None and rewire.history:
        last = {entry["layer"]: entry["explored"] for entry in rewire.history}
        sizes = {j.name: j.shape[0] * j.shape[1] for j in report.junctions}
        tried = sum(share * sizes[name] for name, share in last.items())
        results["explored"] = tried / sum(sizes[name] for name in last)
    return results


def shapes(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the (n_in, n_out) of every junction."""
    return list(pairwise(sizes))


class _Progress(keras.callbacks.Callback):
    def __init__(self, progress: Callable[[float], None], epochs: int) -> None:
        super().__init__()
        self._progress, self._epochs = progress, epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._progress((epoch + 1) / self._epochs)
