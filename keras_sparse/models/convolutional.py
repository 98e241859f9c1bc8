"""The convolutional networks of the papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import keras

from ..layers.local_response_normalization import LocalResponseNormalization
from ..layers.sparse_conv2d import SparseConv2D
from ..layers.sparse_dense import SparseDense
from ..topology.budgets import allocate
from ..topology.densities import DensityRule, ErdosRenyi, check_density, connection_count

Density = float | DensityRule
Dims = tuple[int, ...]


def set_cnn(
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    *,
    filters: Sequence[int] = (32, 64, 128),
    hidden: Sequence[int] = (2048, 2048),
    density: Density | Sequence[Density] | None = None,
    convolution_density: Density | Sequence[Density] = 1.0,
    activation: Callable[[], keras.layers.Layer] = keras.layers.ReLU,
    dropout: float = 0.3,
    compute: str = "auto",
    seed: int | None = None,
) -> Any:
    """Return SET-CNN, a convolutional network with a sparse part on top (Mocanu et al. 2018, "Performance on CNNs").

    For every number of `filters`: two convolutions 3 × 3 with dropout between them, then max pooling 2 × 2; for every
    number of `hidden` units a sparse layer with dropout; softmax. With the defaults it has the 287,008 weights and
    biases of the paper's convolutions (figure 7) and 184,320 connections on top (184,842 there, drawn one by one).
    Train it with `ks.Rewire(ks.SET(0.3))` and SGD with momentum. Not compiled.

    Convolutions and softmax are dense in the paper. What has density 1 is an ordinary layer of Keras here, which no
    policy touches: `density=1.0` makes the paper's dense network.

    Args:
        input_shape: height, width and channels of a picture; channels first if that is Keras' image data format.
        classes: number of classes.
        filters: of the two convolutions of each block; a block halves height and width.
        hidden: widths of the layers between convolutions and softmax.
        density: of these layers: a fraction in (0, 1] or a rule for all, or one for each; default `ks.ErdosRenyi(20)`,
            the paper's.
        convolution_density: the same for the convolutions, two for each block. Default 1, dense ones.
        activation: makes the activation of a layer; default ReLU, the paper's.
        dropout: in [0, 1).
        compute: path of the sparse layers, as in `ks.SparseDense`.
        seed: of the weights' connections and initial values (Glorot, by the connections that exist); default drawn
            from Keras' global seed.

    Raises:
        ValueError: for arguments out of range, and a number of densities that is not that of the layers.

    Example:
        >>> import keras_sparse as ks
        >>> model = ks.models.set_cnn(seed=1)
        >>> [j.connections for j in ks.inspect(model).junctions][-3:]
        [81920, 81920, 20480]
    """
    size, channels = _picture(input_shape)
    _check_widths(filters=filters, hidden=hidden, classes=[classes])
    maps = [count for count in filters for _ in range(2)]
    for _ in filters:
        size = _halved(size)
    convolutions: list[Dims] = [(3, 3, c_in, c_out) for c_in, c_out in pairwise([channels, *maps])]
    flat = prod(size) * maps[-1]
    tops: list[Dims] = list(pairwise([flat, *hidden]))
    densities = [
        *_each(convolution_density, len(convolutions), "convolution_density"),
        *_each(ErdosRenyi(20) if density is None else density, len(tops), "density"),
    ]
    # With He's, and no normalization, activations and the first loss are too large for the authors' learning rate.
    make = _Maker("glorot_uniform", compute, seed)
    layers: list[Any] = [keras.Input(tuple(input_shape))]
    for number, dims in enumerate(convolutions):
        layers += [make.junction(dims, densities[number]), activation()]
        if number % 2:
            layers.append(keras.layers.MaxPooling2D(2, padding="same"))
        elif dropout:
            layers.append(keras.layers.Dropout(dropout))
    layers.append(keras.layers.Flatten())
    for dims, fraction in zip(tops, densities[len(convolutions) :], strict=True):
        layers += [make.junction(dims, fraction), activation()]
        layers += [keras.layers.Dropout(dropout)] if dropout else []
    layers.append(make.junction((tops[-1][-1] if tops else flat, classes), 1.0, activation="softmax"))
    return keras.Sequential(layers, name="set_cnn")


def deep_r_cnn(
    input_shape: Sequence[int] = (24, 24, 3),
    classes: int = 10,
    *,
    density: Density | Sequence[Density] = 0.05,
    rule: str = "er",
    sparse_convolutions: bool = True,
    filters: Sequence[int] = (64, 64),
    hidden: Sequence[int] = (384, 192),
    activation: Callable[[], keras.layers.Layer] = keras.layers.ReLU,
    dropout: float = 0.0,
    compute: str = "auto",
    seed: int | None = None,
) -> Any:
    """Return the convolutional network on which DEEP R reports CIFAR-10 (Bellec et al. 2018, Deep Rewiring, section 3).

    Two convolutions and two layers on top, as in TensorFlow's CIFAR-10 tutorial, their reference: convolution 5 × 5,
    max pooling 3 × 3 with stride 2, local response normalization; convolution, normalization, pooling; layers of 384
    and 192 units; softmax. With the defaults there are 1,067,584 positions for connections. The tutorial feeds it
    random crops of 24 × 24 pixels. Train it with `ks.Rewire(ks.DeepR())` and SGD without momentum. Not compiled.

    What gets density 1, as the small output layer does at the default, is an ordinary layer of Keras, which no policy
    touches: `density=1.0` makes the dense network.

    Args:
        input_shape: height, width and channels of a picture; channels first if that is Keras' image data format.
        classes: number of classes.
        density: a fraction in (0, 1], of the whole network: its connections are divided between the junctions by
            `rule`. Or a rule such as `ks.ErdosRenyi(10)` for every junction, or a list with one of either for each.
        rule: see `ks.allocate`. Default "er", which leaves convolutions more connections than "erk" does.
        sparse_convolutions: whether the convolutions take part; False: they are dense, and `density` speaks of the
            layers on top of them.
        filters: of the convolutions, each of which halves height and width.
        hidden: widths of the layers between convolutions and softmax.
        activation: makes the activation of a layer; default ReLU.
        dropout: after every hidden layer, in [0, 1). Default 0.
        compute: path of the sparse layers, as in `ks.SparseDense`.
        seed: of the weights' connections and initial values (He, by the connections that exist); default drawn from
            Keras' global seed.

    Raises:
        ValueError: for arguments out of range, and a number of densities that is not that of the layers.

    Example:
        >>> import keras_sparse as ks
        >>> report = ks.inspect(ks.models.deep_r_cnn(density=0.05, seed=1))
        >>> report.connections, [j.shape for j in report.junctions][:3]
        (53379, [(75, 64), (1600, 64), (2304, 384)])
    """
    size, channels = _picture(input_shape)
    _check_widths(filters=filters, hidden=hidden, classes=[classes])
    for _ in filters:
        size = _halved(size)
    convolutions: list[Dims] = [(5, 5, c_in, c_out) for c_in, c_out in pairwise([channels, *filters])]
    shapes = [*convolutions, *pairwise([prod(size) * filters[-1], *hidden, classes])]
    exempt = 0 if sparse_convolutions else len(convolutions)
    densities = [*[1.0] * exempt, *_divided(density, shapes[exempt:], rule)]
    make = _Maker("he_normal", compute, seed)
    axis = -1 if keras.config.image_data_format() == "channels_last" else 1
    layers: list[Any] = [keras.Input(tuple(input_shape))]
    for number, dims in enumerate(shapes[:-1]):
        layers += [make.junction(dims, densities[number]), activation()]
        if len(dims) == 4:
            after = [keras.layers.MaxPooling2D(3, 2, padding="same"), LocalResponseNormalization(axis=axis)]
            layers += after if number == 0 else after[::-1]  # as in the tutorial
        elif dropout:
            layers.append(keras.layers.Dropout(dropout))
        if number == len(convolutions) - 1:
            layers.append(keras.layers.Flatten())
    layers.append(make.junction(shapes[-1], densities[-1], activation="softmax"))
    return keras.Sequential(layers, name="deep_r_cnn")


class _Maker:
    """Makes the layers of a network, each with a seed of its own."""

    def __init__(self, initializer: str, compute: str, seed: int | None) -> None:
        self._initializer, self._compute, self._next = initializer, compute, seed

    def junction(self, dims: Dims, density: Density, activation: str | None = None) -> Any:
        """Return the layer with a kernel of dimensions `dims`, four for a convolution; Keras' own if it is full."""
        seed = self._next
        self._next = None if seed is None else seed + 1
        common: dict[str, Any] = {"activation": activation}
        if len(dims) == 4:
            common |= {"kernel_size": dims[:2], "padding": "same"}
        sparse, dense = (SparseConv2D, keras.layers.Conv2D) if len(dims) == 4 else (SparseDense, keras.layers.Dense)
        if connection_count(density, dims) == prod(dims):
            initializer: Any = keras.initializers.get({"class_name": self._initializer, "config": {"seed": seed}})
            return dense(dims[-1], kernel_initializer=initializer, **common)
        common |= {"kernel_initializer": self._initializer, "compute": self._compute}
        return sparse(dims[-1], density=density, seed=seed, **common)


def _picture(shape: Sequence[int]) -> tuple[tuple[int, int], int]:
    """Return ((height, width), channels)."""
    if len(shape) != 3 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
        raise ValueError(
            "`input_shape` must be the height, width and channels of a picture, such as (32, 32, 3); got "
            f"{tuple(shape)!r}."
        )
    last = keras.config.image_data_format() == "channels_last"
    height, width, channels = shape if last else (*shape[1:], shape[0])
    return (height, width), channels


def _check_widths(**arguments: Sequence[int]) -> None:
    for name, widths in arguments.items():
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in widths):
            raise ValueError(f"`{name}` must be positive integers; got {widths!r}.")
    if not arguments["filters"]:
        raise ValueError("`filters` is empty: give at least one number of filters, or take ks.models.set_mlp.")


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 2), -(-size[1] // 2)


def _each(density: Density | Sequence[Density], count: int, argument: str) -> list[Density]:
    """Return one checked density for each of `count` layers."""
    if not isinstance(density, Sequence):
        return [check_density(density)] * count
    if len(density) != count:
        raise ValueError(f"`{argument}` must be one for all layers or {count} of them; got {len(density)}.")
    return [check_density(one) for one in density]


def _divided(density: Density | Sequence[Density], shapes: Sequence[Dims], rule: str) -> list[Density]:
    """Return the density of every junction; one number is that of them all together."""
    checked = density if isinstance(density, Sequence) else check_density(density)
    if not isinstance(checked, float):
        return _each(checked, len(shapes), "density")
    connections = max(len(shapes), round(checked * sum(map(prod, shapes))))
    return list(allocate(shapes, connections=connections, rule=rule))
