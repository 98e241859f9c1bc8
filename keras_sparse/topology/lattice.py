"""Units laid evenly over a grid, so that the layer behind them knows which are neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from .connectivity import Int64


def lattice(n: int, grid: Sequence[int]) -> tuple[tuple[int, ...], Int64]:
    """Return a lattice with the proportions of `grid` for `n` units, and the place of every unit in it.

    Its places are numbered row by row. The few that are left over are spread evenly, too: 7 units on a square take the
    places 0, 1, 2, 3, 5, 6 and 7 of 3 × 3.

    Args:
        n: number of units, ≥ 1.
        grid: places along every axis, each ≥ 1.
    """
    scale = (n / prod(grid)) ** (1 / len(grid))
    sizes = [max(1, int(size * scale)) for size in grid]
    while prod(sizes) < n:
        coarsest = min(range(len(grid)), key=lambda axis: sizes[axis] / grid[axis])
        sizes[coarsest] += 1
    return tuple(sizes), np.arange(n) * prod(sizes) // n
