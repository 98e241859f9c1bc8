"""The networks that spaces describe, of sparse layers: called "network", on preprocessed features called "features"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

import keras_sparse as ks

from .data.statistics import PADDING
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


@dataclass(frozen=True)
class Convolution:
    """One convolution to build.

    Args:
        name: Of the layer.
        filters: Output channels.
        size: Of the window: (height, width), or (steps,).
        strides: Of the window, likewise.
        density: Of its kernel.
    """

    name: str
    filters: int
    size: tuple[int, ...]
    strides: tuple[int, ...]
    density: float


@dataclass(frozen=True)
class Recurrence:
    """One recurrent layer to build: its name, its units and the densities of its two kernels."""

    name: str
    units: int
    density: float
    recurrent_density: float


def build_mlp(
    junctions: Sequence[Junction],
    *,
    n_in: int,
    task: Task,
    activation: str = "relu",
    normalize: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """A sparse multi-layer perceptron.

    Args:
        junctions: Its layers, the output layer last.
        n_in: Number of features.
        task: "classification" (softmax) or "regression" (linear).
        activation: Of the hidden layers.
        normalize: Whether hidden layers have batch normalisation before their activation.
        dropout: Share of the hidden units that each training step leaves out.
    """
    layers = dense_layers(junctions, task, activation, normalize=normalize, dropout=dropout)
    return keras.Sequential([keras.Input((n_in,), name="features"), *layers], name="network")


def build_cnn(
    convolutions: Sequence[Convolution],
    junctions: Sequence[Junction],
    *,
    shape: tuple[int, ...],
    head: str,
    task: Task,
    activation: str = "relu",
    padded: bool = False,
    normalize: bool = False,
) -> keras.Model:
    """A sparse convolutional network: convolutions that keep the size but for their strides, a head, dense layers.

    Args:
        convolutions: At least one.
        junctions: Dense layers behind the head, the output layer last.
        shape: Of an example: (height, width, channels), or (time, features) for convolutions along time.
        head: What becomes of the last feature maps: their "average", their "max" or all of them, "flatten".
        task: As in `build_mlp`.
        activation: Of convolutions and hidden layers.
        padded: Whether sequences have steps of `PADDING`. They count as average steps.
        normalize: Whether convolutions and hidden layers have batch normalisation before their activation.
    """
    images = len(shape) == 3
    convolve: Any = ks.SparseConv2D if images else ks.SparseConv1D
    heads: dict[str, Any] = {
        "average": keras.layers.GlobalAveragePooling2D if images else keras.layers.GlobalAveragePooling1D,
        "max": keras.layers.GlobalMaxPooling2D if images else keras.layers.GlobalMaxPooling1D,
        "flatten": keras.layers.Flatten,
    }
    inputs: Any = keras.Input(shape, name="features")
    x: Any = keras.ops.where(keras.ops.equal(inputs, PADDING), 0.0, inputs) if padded else inputs
    layers: list[keras.layers.Layer] = []
    for convolution in convolutions:
        make = partial(
            convolve,
            convolution.filters,
            convolution.size,
            strides=convolution.strides,
            padding="same",
            data_format="channels_last",
            density=convolution.density,
            kernel_initializer="he_normal",
            name=convolution.name,
        )
        layers += _activated(make, activation, normalize)
    layers.append(heads[head](data_format="channels_last", name="head"))
    for layer in [*layers, *dense_layers(junctions, task, activation, normalize=normalize)]:
        x = layer(x)
    return keras.Model(inputs, x, name="network")


def build_rnn(
    recurrences: Sequence[Recurrence],
    junctions: Sequence[Junction],
    *,
    shape: tuple[int, int],
    cell: str,
    head: str,
    task: Task,
    activation: str = "relu",
    padded: bool = False,
) -> keras.Model:
    """A sparse recurrent network: LSTM or GRU layers, a head, dense layers.

    Args:
        recurrences: At least one.
        junctions: Dense layers behind the head, the output layer last.
        shape: Of an example: (time, features).
        cell: "lstm" or "gru".
        head: What is looked at of the last layer's outputs: the "last" one, or their "average".
        task: As in `build_mlp`.
        activation: Of hidden dense layers; recurrent layers have Keras' own.
        padded: Whether sequences have steps of `PADDING`, which are skipped.
    """
    recur: Any = {"lstm": ks.SparseLSTM, "gru": ks.SparseGRU}[cell]
    layers: list[Any] = [keras.layers.Masking(PADDING, name="skip_padding")] if padded else []
    for place, recurrence in enumerate(recurrences, start=1):
        layers.append(
            recur(
                recurrence.units,
                density=recurrence.density,
                recurrent_density=recurrence.recurrent_density,
                return_sequences=place < len(recurrences) or head == "average",
                name=recurrence.name,
            )
        )
    if head == "average":
        layers.append(keras.layers.GlobalAveragePooling1D(data_format="channels_last", name="head"))
    layers += dense_layers(junctions, task, activation)
    return keras.Sequential([keras.Input(shape, name="features"), *layers], name="network")


def dense_layers(
    junctions: Sequence[Junction], task: Task, activation: str, *, normalize: bool = False, dropout: float = 0.0
) -> list[keras.layers.Layer]:
    """Dense layers, the output layer last."""
    *hidden, last = junctions
    layers: list[keras.layers.Layer] = []
    for junction in hidden:
        make = partial(
            ks.SparseDense,
            junction.units,
            density=junction.density,
            kernel_initializer="he_normal",
            name=junction.name,
        )
        layers += _activated(make, activation, normalize)
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    output = "softmax" if task == "classification" else None
    return [*layers, ks.SparseDense(last.units, density=last.density, activation=output, name=last.name)]


def _activated(make: Callable[..., keras.layers.Layer], activation: str, normalize: bool) -> list[keras.layers.Layer]:
    """The layer that `make` makes and its activation, with batch normalisation between them or not."""
    if not normalize:
        return [make(activation=activation)]
    return [make(activation=None), keras.layers.BatchNormalization(), keras.layers.Activation(activation)]


def compiled(
    model: keras.Model,
    *,
    task: Task,
    learning_rate: float = 0.003,
    weight_decay: float = 0.0,
    smoothing: float = 0.0,
    steps_per_execution: int = 1,
    metrics: Sequence[keras.metrics.Metric] = (),
) -> keras.Model:
    """The same model, compiled with Adam for integer labels or a regression.

    Args:
        model: A network that ends as `task` wants it.
        task: "classification" or "regression".
        learning_rate: Adam's.
        weight_decay: What a step of rate 1 takes of every weight (Loshchilov and Hutter 2019).
        smoothing: Share of the labels that is spread over all classes. Ignored for a regression.
        steps_per_execution: Steps between two looks of Python at the training.
        metrics: To compile beside "accuracy" or "mse".
    """
    classifies = task == "classification"
    loss: Any = "sparse_categorical_crossentropy" if classifies else "mse"
    compile_model: Any = model.compile
    compile_model(
        optimizer=keras.optimizers.Adam(learning_rate, weight_decay=weight_decay or None),
        loss=smoothed(smoothing) if classifies and smoothing else loss,
        metrics=["accuracy" if classifies else "mse", *metrics],
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    return model


def smoothed(share: float) -> Callable[[Any, Any], Any]:
    """The cross-entropy of integer labels of which `share` is spread over all classes (Szegedy et al. 2016, sec. 7)."""

    def cross_entropy(labels: Any, found: Any) -> Any:
        # Without a one-hot array: (1 - share) of the class that is right, and the mean over all of them.
        right: Any = keras.losses.sparse_categorical_crossentropy(labels, found)
        tiny = keras.config.epsilon()
        everywhere = -keras.ops.mean(keras.ops.log(keras.ops.clip(found, tiny, 1 - tiny)), axis=-1)
        return (1 - share) * right + share * everywhere

    return cross_entropy


def steps_per_execution(n_train: int | None, batch_size: int) -> int:
    """Steps between two looks of Python at the training: an epoch's, at most 64; one if `n_train` is unknown."""
    if n_train is None:
        return 1
    return max(1, min(math.ceil(n_train / batch_size), _MAX_STEPS_PER_EXECUTION))


def evaluation_batch(model: keras.Model) -> int:
    """Examples to evaluate at once: 1024, fewer of large images and long sequences, to bound the memory."""
    inputs = getattr(model, "inputs", None) or []  # a subclassed model has none
    positions = max([1, *(math.prod(n or 1 for n in tensor.shape[1:-1]) for tensor in inputs)])
    return min(_MOST_EVALUATED, max(_FEWEST_EVALUATED, _POSITIONS_EVALUATED // positions))
