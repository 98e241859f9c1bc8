"""How much of the space of outcomes the front dominates, after each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..dominance import hypervolume


def growth(points: Mapping[int, tuple[float, ...]]) -> list[dict[str, Any]]:
    """The share of the box between the best and the worst outcomes that some trial so far dominates.

    The hypervolume (Zitzler and Thiele 1998) with the worst value of each objective over all trials as reference,
    divided by the volume of the box that the trials span. Sizes count by their logarithm.

    Args:
        points: Trial → (error, sizes > 0 …), all to be minimised.

    Returns:
        [{"trial", "value"}] by ascending trial; values in [0, 1], never falling.
    """
    if not points:
        return []
    order = sorted(points)
    outcomes = np.array([points[index] for index in order], np.float64)
    outcomes[:, 1:] = np.log10(np.maximum(outcomes[:, 1:], 1e-300))
    worst, best = outcomes.max(0), outcomes.min(0)
    losses = np.where(worst > best, (outcomes - best) / np.where(worst > best, worst - best, 1.0), 0.0)
    corner = [1.0] * losses.shape[1]
    front, volume, found = np.empty((0, losses.shape[1])), 0.0, []
    for index, loss in zip(order, losses, strict=True):
        if not np.any(np.all(front <= loss, axis=1)):
            # What a trial adds is its box without what others have of it.
            volume += float(np.prod(1.0 - loss)) - hypervolume(np.maximum(front, loss), corner)
            front = np.vstack([front[np.any(front < loss, axis=1)], loss])
        found.append({"trial": index, "value": round(min(volume, 1.0), 6)})
    return found
