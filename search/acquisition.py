"""How much a configuration promises, from predicted outcomes that are normal and independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .dominance import nondominated

Array = NDArray[np.float64]

_SAMPLES = 128
_RHO = 0.05
"""Share of the plain sum in the augmented Chebyshev norm (Knowles 2006, ParEGO)."""


def shortfall(level: Array | float, mean: Array, deviation: Array) -> Array:
    """E[max(level − y, 0)] for normal y: how far an outcome is expected to fall below a level.

    Args:
        level: The level; broadcast.
        mean: Of the outcome.
        deviation: Of the outcome; 0 where it is known.
    """
    gap = level - mean
    safe = np.maximum(deviation, 1e-12)
    z = gap / safe
    expected = gap * ndtr(z) + safe * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    return np.where(deviation > 0, np.maximum(expected, 0.0), np.maximum(gap, 0.0))


def shortfall_of_power(level: Array | float, mean: Array, deviation: Array) -> Array:
    """E[max(level − 10^y, 0)] for normal y: the same for an outcome whose logarithm is predicted (a put option).

    Args:
        level: The level, > 0; broadcast.
        mean: Of the base-10 logarithm of the outcome.
        deviation: Of that; 0 where it is known.
    """
    centre, spread = np.log(10.0) * mean, np.log(10.0) * np.maximum(deviation, 1e-12)
    z = (np.log(level) - centre) / spread
    expected = level * ndtr(z) - np.exp(centre + spread**2 / 2.0) * ndtr(z - spread)
    return np.where(deviation > 0, np.maximum(expected, 0.0), np.maximum(level - np.exp(centre), 0.0))


def hypervolume_improvement(front: Array, reference: Array, mean: Array, deviation: Array) -> Array:
    """Expected hypervolume improvement for two objectives, exact (Emmerich, Deutz and Klinkenberg 2011).

    Between two neighbours of the front a new point adds a rectangle, from its own first coordinate to the right
    neighbour's and from its second to the left neighbour's; as the coordinates are independent, the expected area is
    the product of two expected sides.

    Args:
        front: Points so far, [n, 2], smaller is better; the first coordinate is > 0.
        reference: The worst that counts, [2].
        mean: Predicted outcomes, [m, 2]; of the first coordinate the base-10 logarithm.
        deviation: Their standard deviations, [m, 2]; 0 where an outcome is known.

    Returns:
        Shape [m].
    """
    points = front[np.all(front < reference, axis=1)]
    points = points[nondominated(points)]
    points = points[np.argsort(points[:, 0])]
    right = np.append(points[:, 0], reference[0])
    ceiling = np.concatenate([reference[1:], points[:, 1]])
    below = shortfall_of_power(right[None, :], mean[:, :1], deviation[:, :1])
    width = np.diff(below, axis=1, prepend=0.0)
    height = shortfall(ceiling[None, :], mean[:, 1:], deviation[:, 1:])
    return np.sum(width * height, axis=1)


def chebyshev_improvement(
    past: Array, mean: Array, deviation: Array, weights: Array, rng: np.random.Generator
) -> Array:
    """Expected improvement of the augmented Chebyshev norm max θ_i v_i + 0.05 Σ θ_i v_i, for any number of objectives.

    Args:
        past: Outcomes so far, [n, d], scaled to [0, 1] by objective.
        mean: Predicted outcomes, [m, d], scaled alike.
        deviation: Their standard deviations, [m, d].
        weights: θ, [d], not negative, of sum 1.
        rng: Draws the outcomes the expectation is a mean over.

    Returns:
        Shape [m].
    """

    def norm(outcome: Array) -> Array:
        weighted = outcome * weights
        return weighted.max(axis=-1) + _RHO * weighted.sum(axis=-1)

    draws = rng.standard_normal((_SAMPLES, 1, len(weights)))
    best = float(np.min(norm(past)))
    return np.maximum(best - norm(mean + draws * deviation), 0.0).mean(axis=0)


def within(limit: float, mean: Array, deviation: Array) -> Array:
    """The probability that an outcome is at most `limit`."""
    return ndtr((limit - mean) / np.maximum(deviation, 1e-12))
