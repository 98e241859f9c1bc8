"""Units laid evenly over a grid, so that the layer behind them knows which are neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from .connectivity import Int64


def lattice(n: int, grid: Sequence[int]) -> tuple[tuple[int, ...], Int64]:
    """Return a lattice with the proportions of `grid` for `n` units, and the place of every unit in it.

    Its places are numbered row by row. Those that are left over, less than a slice across the longest axis, are spread
    evenly, too: 7 units on a square take the places 0, 1, 2, 3, 5, 6 and 7 of 3 × 3. An axis of one place has one.

    Args:
        n: number of units, ≥ 1.
        grid: places along every axis, each ≥ 1.
    """
    sizes = [1] * len(grid)
    longest, *others = sorted(extended(grid) or (0,), key=lambda axis: (-grid[axis], axis))
    while others:  # the shortest first: rounding costs it most, and longer ones make up for it
        side = (n / prod(sizes) / (grid[longest] * prod(grid[axis] for axis in others))) ** (1 / (len(others) + 1))
        axis = others.pop()
        sizes[axis] = max(1, round(grid[axis] * side))
    sizes[longest] = -(-n // prod(sizes))
    return tuple(sizes), np.arange(n) * prod(sizes) // n


def extended(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the axes of `grid` along which there is more than one place."""
    return tuple(axis for axis, size in enumerate(grid) if size > 1)
