"""Dividing a whole number of connections between kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def divide(total: int, weights: Sequence[float], limits: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `weights`, none above its limit; what is too much for one goes to the others.

    The sum is exactly min(total, Σ limits). Fractions left by rounding go to the largest remainders, ties to the
    first.

    Args:
        total: number to divide, at least 0.
        weights: shares, at least 0; all zero counts as equal.
        limits: the most that each may get.
    """
    room = np.asarray(limits, np.int64)
    weight = np.asarray(weights, np.float64)
    if not np.all(np.isfinite(weight)):  # a network that diverged
        weight = np.zeros(len(weight))
    counts = np.zeros(len(room), np.int64)
    left = min(int(total), int(room.sum()))
    while left:
        open_ = room > counts
        share = np.where(open_, weight, 0.0)
        if not share.sum() > 0:
            share = open_.astype(np.float64)
        part = _whole(left, share / share.sum())
        part = np.minimum(part, room - counts)
        counts += part
        left -= int(part.sum())
    return [int(count) for count in counts]


def _whole(total: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return whole numbers near total · shares that add up to `total`."""
    exact = total * shares
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    order = order[shares[order] > 0]
    missing = total - int(whole.sum())
    whole[order[:missing]] += 1
    return whole
