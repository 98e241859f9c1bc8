"""Who beats whom among points that are to be small in every coordinate, and how much space they beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def nondominated(points: ArrayLike) -> NDArray[np.bool_]:
    """Which rows no other row beats in one coordinate without losing in another; of equal rows the first.

    Args:
        points: Shape [n, d], smaller is better.

    Returns:
        Shape [n].
    """
    rows = np.asarray(points, dtype=np.float64)
    kept = np.ones(len(rows), dtype=bool)
    for i, row in enumerate(rows):
        no_worse = np.all(rows <= row, axis=1)
        better = no_worse & np.any(rows < row, axis=1)
        kept[i] = not better.any() and not no_worse[:i].any()
    return kept


def dominators(points: ArrayLike) -> NDArray[np.int64]:
    """How many rows beat each row, shape [n]."""
    rows = np.asarray(points, dtype=np.float64)
    return np.array([np.sum(np.all(rows <= row, axis=1) & np.any(rows < row, axis=1)) for row in rows], dtype=np.int64)


def hypervolume(points: ArrayLike, reference: Sequence[float]) -> float:
    """The volume between the points and a reference: what at least one point beats, and the reference does not.

    Exact in any number of dimensions; above two it is the sum over the points of what each adds to those after it
    (While, Bradstreet and Barone 2012, algorithm WFG), fine for some hundred points in three or four dimensions.

    Args:
        points: Shape [n, d], smaller is better. Points that do not beat the reference add nothing.
        reference: Shape [d]: the worst that counts in every coordinate.

    Example:
        >>> hypervolume([[0.0, 2.0], [1.0, 1.0]], [3.0, 3.0])
        5.0
    """
    worst = np.asarray(reference, dtype=np.float64)
    rows = np.asarray(points, dtype=np.float64).reshape(-1, len(worst))
    return _volume(rows[np.all(rows < worst, axis=1)], worst)


def _volume(rows: Array, worst: Array) -> float:
    rows = rows[nondominated(rows)]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if len(worst) == 1:
        return float(worst[0] - rows[0, 0]) if len(rows) else 0.0
    if len(worst) == 2:
        ceilings = np.concatenate([worst[1:], rows[:-1, 1]])
        return float(np.sum((worst[0] - rows[:, 0]) * (ceilings - rows[:, 1])))
    total = 0.0
    for i, row in enumerate(rows):
        # What the later points beat of this one's box is theirs.
        total += float(np.prod(worst - row)) - _volume(np.maximum(rows[i + 1 :], row), worst)
    return total
