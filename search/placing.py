"""Where the connections of a searched network start, beside uniformly at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import keras_sparse as ks
from keras_sparse.junctions import junctions

PATTERNS: Final = ("random", "balanced", "informative", "local")
"""Uniform; every unit with equally many inputs; in the first junction only from inputs that vary; and near a place."""
FLAT_ONLY: Final = ("informative", "local")
"""What concerns features as they are given, so flat ones only."""
_LEAST_DEVIATION = 0.1


def informative(features: Any) -> list[int]:
    """The inputs whose standard deviation is at least a tenth, where most have one: not the nearly constant ones.

    Args:
        features: Standardised training features, [n, inputs].
    """
    return np.flatnonzero(np.std(np.asarray(features), axis=0) >= _LEAST_DEVIATION).tolist()


def balanced(
    shape: tuple[int, int], count: int, rng: np.random.Generator, among: Sequence[int] | None = None
) -> ks.Connectivity:
    """Connections that give every output the same number of inputs, or one more, drawn at random.

    Args:
        shape: (n_in, n_out).
        count: Number of connections.
        rng: Draws them.
        among: Inputs to draw from; all where these are too few.
    """
    n_in, n_out = shape
    inputs = np.arange(n_in) if among is None or len(among) * n_out < count else np.asarray(among)
    degrees = np.full(n_out, count // n_out)
    degrees[rng.permutation(n_out)[: count % n_out]] += 1
    drawn = [rng.choice(inputs, size=degree, replace=False) for degree in degrees]
    return ks.Connectivity(np.concatenate(drawn), np.repeat(np.arange(n_out), degrees), shape=shape)


def place(model: Any, pattern: str, among: Sequence[int] | None = None, grid: Sequence[int] | None = None) -> None:
    """Moves the connections of a network that was just built.

    With "local" hidden units are laid over the picture, and look at a part of it, or of the hidden layer before; output
    units look at all of it.

    Args:
        model: A built model of sparse layers.
        pattern: One of `PATTERNS`.
        among: The inputs that vary, for "informative" and "local".
        grid: (height, width) of the picture that the inputs are, for "local".

    Raises:
        ValueError: The pattern is "local", and there is no grid.
    """
    if pattern == "random":
        return
    if pattern == "local" and grid is None:
        raise ValueError('The pattern "local" needs the `grid` of the inputs, (height, width).')
    found = list(junctions(model))
    for number, _, _, kernel in found:
        rng = np.random.default_rng([kernel.state().seed & 0xFFFFFFFF, number])
        chosen = among if pattern in FLAT_ONLY and number == 0 else None
        if grid is not None and pattern == "local" and (number == 0 or number < len(found) - 1):
            few = chosen is not None and len(chosen) * kernel.shape[1] < len(kernel)
            fields = ks.Local(
                tuple(grid),
                inputs=None if few else chosen,
                centres="even",
                of="units" if number else "places",
            )
            connections = fields.sample(kernel.shape, len(kernel), seed=int(rng.integers(2**62)))
        else:
            connections = balanced(kernel.shape, len(kernel), rng, chosen)
        kernel.assign(connections, np.asarray(kernel.values)[: len(kernel)])
