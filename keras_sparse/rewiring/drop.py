"""Drop rules: which connections of a kernel go, by their weights alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..topology.accelerated import accelerated

_ROUNDING = 1e-9  # 0.29 · 100 is 28.999… in binary


def survivors(values: NDArray[Any], zeta: float) -> NDArray[np.bool_]:
    """Return which weights SET keeps, bool [K]: all but the fraction ζ closest to zero of each sign. O(K)."""
    below, above = (whole(zeta * count) for count in count_signs(values))
    return all_but_closest(values, below, above)


@accelerated("count_signs")
def count_signs(values: NDArray[Any]) -> tuple[int, int]:
    """Return how many values are negative, and how many are at least zero; NaN is neither."""
    return int(np.count_nonzero(values < 0)), int(np.count_nonzero(values >= 0))


@accelerated("all_but_closest")
def all_but_closest(values: NDArray[Any], below: int, above: int) -> NDArray[np.bool_]:
    """Return all values but the `below` negative and the `above` other ones closest to zero, bool [K].

    Of equal ones the first go.
    """
    negative = int(np.count_nonzero(values < 0))
    # Sorted by value, those that go are neighbours around zero. One partition finds one end, a second the other.
    start = negative - below
    part = np.partition(values, start) if below else values
    first = part[start] if below else 0.0
    gone = values >= first
    if above:
        rest, place = (part[start:], below + above - 1) if below else (part, negative + above - 1)
        last = np.partition(rest, place)[place]
        gone &= values <= last
    else:
        last = first
        gone &= values < 0
    if np.count_nonzero(gone) > below + above:
        _keep_ties(gone, values, last, int(np.count_nonzero(gone & (values >= 0))) - above)
        _keep_ties(gone, values, first, int(np.count_nonzero(gone & (values < 0))) - below)
    return ~gone


def _keep_ties(gone: NDArray[np.bool_], values: NDArray[Any], limit: Any, count: int) -> None:
    """Spare `count` of the weights that equal `limit`: the last ones."""
    if count:
        gone[np.flatnonzero(values == limit)[-count:]] = False


def strongest(values: NDArray[Any], fraction: float) -> NDArray[np.bool_]:
    """Return which of `values` stay when the ⌊fraction·K⌋ closest to zero go, bool [K]; of equal ones the first go."""
    return strongest_but(values, whole(fraction * len(values)))


def strongest_but(values: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """Return all values but the `count` closest to zero, bool [K]; of equal ones the first go."""
    gone = np.zeros(len(values), bool)
    if count:
        magnitude = np.abs(values)
        limit = np.partition(magnitude, count - 1)[count - 1]
        gone = magnitude < limit
        gone[np.flatnonzero(magnitude == limit)[: count - int(np.count_nonzero(gone))]] = True
    return ~gone


def whole(number: float) -> int:
    """Return ⌊number⌋, where a product that should be whole counts as whole."""
    return math.floor(number + _ROUNDING)


DropRule = Callable[[NDArray[Any], float], NDArray[np.bool_]]
DROP_RULES: dict[str, DropRule] = {
    "magnitude": strongest,
    "sign-split": survivors,
}
