"""Ranges of a space: those that suit some data, and as hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Range = tuple[float, float]

_START = 2
"""Thirds of a range at which a search starts: a rather wide network, with not too few connections, that learns."""


def log_range(hp: Any, name: str, bounds: Range) -> None:
    """Registers a real number between two bounds, on a log scale."""
    low, high = bounds
    if low == high:
        hp.Fixed(name, float(low))
    else:
        start = low * (high / low) ** (_START / 3)
        hp.Float(name, low, high, sampling="log", default=min(max(float(f"{start:.2g}"), low), high))


def width(hp: Any, name: str, options: tuple[int, ...]) -> None:
    """Registers a width; a search starts with a rather large one."""
    hp.Choice(name, list(options), default=options[_START * len(options) // 3])


def declare_layers(hp: Any, depth: str, counts: tuple[int, int], declare: Callable[[Any, int], None]) -> None:
    """Registers what each layer has, where the hyperparameter `depth` says that the network has the layer.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        depth: Its number of layers, registered before.
        counts: Fewest and most layers.
        declare: Registers the hyperparameters of layer 1, 2, ….
    """
    fewest, most = counts
    for layer in range(1, most + 1):
        if layer <= fewest:
            declare(hp, layer)
        else:
            with hp.conditional_scope(depth, list(range(layer, most + 1))):
                declare(hp, layer)


def declare_head(hp: Any, space: Any) -> None:
    """Registers head, hidden_units, density_hidden and density_output, as convolutional and recurrent spaces have."""
    hp.Choice("head", list(space.heads), default=space.heads[0])
    hp.Choice("hidden_units", list(space.hidden_units), default=space.hidden_units[0])
    if hidden := [units for units in space.hidden_units if units]:
        with hp.conditional_scope("hidden_units", hidden):
            log_range(hp, "density_hidden", space.hidden_density)
    log_range(hp, "density_output", space.output_density)


def widened(bounds: Range, n_in: int) -> Range:
    """A range of densities in which a unit of `n_in` inputs has something to look at: 1 input at least, 4 if it may."""
    low, high = bounds
    return min(max(low, 1 / n_in), 1.0), min(max(high, 4 / n_in), 1.0)


def batches(n_train: int) -> tuple[int, int, int]:
    """Batch sizes with which epochs of large data do not have many more steps than those of small data.

    With b the power of two nearest to n_train / 750 within [16, 256] they are b, 2b and 4b: up to 12,000 examples
    16–64; for 48,000 64–256.
    """
    base = 2 ** round(math.log2(min(max(n_train / 750, 16), 256)))
    return base, 2 * base, 4 * base
