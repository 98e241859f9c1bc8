"""The multilayer perceptrons of the papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import keras

from ..layers.sparse_dense import SparseDense
from ..layers.srelu import SReLU
from ..topology.budgets import allocate
from ..topology.densities import DensityRule, ErdosRenyi


def lenet_300_100(
    density: float = 0.05,
    *,
    n_in: int = 784,
    classes: int = 10,
    rule: str = "erk",
    seed: int | None = None,
) -> Any:
    """Return LeNet 300-100, the network on which DEEP R, sparse momentum and others report MNIST (LeCun et al. 1998).

    Three junctions, ReLU, softmax. Not compiled.

    Args:
        density: of the whole network, in (0, 1]: its connections are divided between the junctions by `rule`.
        n_in: number of inputs.
        classes: number of classes.
        rule: see `ks.allocate`.
        seed: of the kernels' connections and initial values; default drawn from Keras' global seed.

    Raises:
        ValueError: for a density out of range.

    Example:
        >>> import keras_sparse as ks
        >>> ks.inspect(ks.models.lenet_300_100(0.01)).connections
        2662
    """
    sizes = (n_in, 300, 100, classes)
    shapes = list(pairwise(sizes))
    if not 0 < density <= 1:
        raise ValueError(f"`density` is that of the whole network, in (0, 1]; got {density!r}.")
    connections = max(len(shapes), round(density * sum(a * b for a, b in shapes)))
    densities = allocate(shapes, connections=connections, rule=rule)
    return _perceptron(sizes, densities, keras.layers.ReLU, initializer="he_normal", seed=seed, name="lenet_300_100")


def set_mlp(
    n_in: int,
    classes: int,
    *,
    hidden: Sequence[int] = (1000, 1000, 1000),
    density: float | DensityRule | None = None,
    activation: Callable[[], keras.layers.Layer] = SReLU,
    dropout: float = 0.3,
    seed: int | None = None,
) -> Any:
    """Return SET-MLP, the multilayer perceptron of Sparse Evolutionary Training (Mocanu et al. 2018).

    Sparse hidden junctions, SReLU and dropout; the output layer, a small part of the whole, is sparse by the same rule,
    which makes it dense where it is small. Train it with `ks.Rewire(ks.SET(0.3))` and SGD with momentum. Not compiled.

    Args:
        n_in: number of inputs.
        classes: number of classes.
        hidden: widths of the hidden layers.
        density: of every junction; default `ks.ErdosRenyi(20)`, the paper's.
        activation: makes the activation of a hidden layer; default `ks.SReLU`.
        dropout: after every hidden layer, in [0, 1).
        seed: of the kernels' connections and initial values; default drawn from Keras' global seed.

    Raises:
        ValueError: for arguments out of range.

    Example:
        >>> import keras_sparse as ks
        >>> model = ks.models.set_mlp(784, 10, seed=1)
        >>> [j.shape for j in ks.inspect(model).junctions][-1], ks.inspect(model).density < 0.05
        ((1000, 10), True)
    """
    sizes = (n_in, *hidden, classes)
    densities = [ErdosRenyi(20) if density is None else density] * (len(sizes) - 1)
    return _perceptron(
        sizes, densities, activation, initializer="he_uniform", dropout=dropout, seed=seed, name="set_mlp"
    )


def _perceptron(
    sizes: Sequence[int],
    densities: Sequence[float | DensityRule],
    activation: Callable[[], keras.layers.Layer],
    *,
    initializer: str,
    seed: int | None,
    name: str,
    dropout: float = 0.0,
) -> Any:
    layers: list[Any] = [keras.Input((sizes[0],))]
    last = len(densities) - 1
    for number, density in enumerate(densities):
        layers.append(
            SparseDense(
                sizes[number + 1],
                density=density,
                activation="softmax" if number == last else None,
                kernel_initializer=initializer,
                seed=None if seed is None else seed + number,
            )
        )
        if number < last:
            layers += [activation(), *([keras.layers.Dropout(dropout)] if dropout else [])]
    return keras.Sequential(layers, name=name)
