"""How much of the space of outcomes the front dominates, after each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SAMPLES: Final = 2**13
"""Sobol points that estimate the volume in three or more dimensions (to about 0.3 per cent of the box)."""

Array = NDArray[np.float64]


def hypervolume(points: Mapping[int, tuple[float, ...]]) -> list[dict[str, Any]]:
    """The share of the box between the best and the worst outcomes that some trial so far dominates.

    The hypervolume (Zitzler and Thiele 1998) with the worst value of each objective over all trials as reference,
    divided by the volume of the box that the trials span. Sizes count by their logarithm. Exact for two objectives;
    with more, the share of Sobol points that is dominated.

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
    span = np.where(worst > best, worst - best, 1.0)
    gains = np.where(worst > best, (worst - outcomes) / span, 1.0)  # 1 is best, 0 is the reference
    volumes = _areas(gains) if gains.shape[1] == 2 else _shares(gains)
    return [{"trial": index, "value": round(value, 6)} for index, value in zip(order, volumes, strict=True)]


def _areas(gains: Array) -> list[float]:
    """The area of the union of the boxes (0, 0) – gain, after each."""
    front: list[tuple[float, float]] = []  # by descending first coordinate, so by ascending second
    areas = []
    area = 0.0
    for x, y in gains.tolist():
        if not any(a >= x and b >= y for a, b in front):
            front = sorted([(a, b) for a, b in front if a > x or b > y] + [(x, y)], reverse=True)
            below, area = 0.0, 0.0
            for a, b in front:
                area += a * (b - below)
                below = b
        areas.append(area)
    return areas


def _shares(gains: Array) -> list[float]:
    from scipy.stats import qmc

    samples = qmc.Sobol(gains.shape[1], scramble=False).random(SAMPLES) + 0.5 / SAMPLES
    covered = np.zeros(SAMPLES, bool)
    shares = []
    for gain in gains:
        covered |= np.all(samples <= gain, axis=1)
        shares.append(float(covered.mean()))
    return shares
