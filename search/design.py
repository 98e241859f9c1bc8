"""The first configurations of a search, before results are looked at."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .encoding import Encoding, Values
from .seeds import START, stream

_DRAWN = 1024
_NEAR = 48


def spread(encoding: Encoding, seed: int, index: int) -> Values:
    """Point `index` of a space-filling start: the defaults, then a randomly rotated Sobol sequence."""
    if index == 0 or encoding.size == 0:
        return encoding.defaults()
    from scipy.stats import qmc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a number of points that is no power of two is fine here
        point = qmc.Sobol(encoding.size, scramble=False).random(index)[-1]
    # Rotated as a whole: the points keep their distances, and no SciPy release can change them.
    return encoding.decode((point + stream(seed, START).random(encoding.size)) % 1.0)


def ladder(
    encoding: Encoding,
    seed: int,
    index: int,
    steps: int,
    *,
    cost: Callable[[Mapping[str, Any]], float] | None,
    beyond: Callable[[Mapping[str, Any]], float],
) -> Values:
    """Step `index` of a ladder from cheap, low-density networks to rich ones.

    The steps are equal in the logarithm of the cost. Of the configurations near a step every other time the one nearest
    to the defaults is taken, with which networks learn, and else the one farthest from the steps before it.

    Args:
        encoding: The space.
        seed: The seed of the search.
        index: The step, from 0, the cheapest.
        steps: Number of steps, ≥ 1.
        cost: Logarithm of what a configuration costs. None: the mean of its density coordinates (names that begin with
            "density").
        beyond: More than 0 for configurations known to break a limit, which are left out where others are left.
    """
    if encoding.size == 0:
        return encoding.defaults()
    drawn = [encoding.decode(point) for point in stream(seed, START, 1).random((_DRAWN, encoding.size))]
    drawn = [values for values in drawn if beyond(values) <= 0] or drawn
    costs = np.array([_density(encoding, values) if cost is None else cost(values) for values in drawn])
    points = np.array([encoding.encode(values) for values in drawn])
    low, high = np.quantile(costs, [0.0, 0.95])  # a front begins with the cheapest; the dearest take their time
    middle = encoding.encode(encoding.defaults())
    chosen: list[int] = []
    for step in range(index + 1):
        target = low + (high - low) * step / max(steps - 1, 1)
        near = np.argsort(np.abs(costs - target), kind="stable")[:_NEAR]
        if chosen and step % 2:
            apart = np.linalg.norm(points[near][:, None] - points[chosen][None], axis=2).min(axis=1)
            chosen.append(int(near[np.argmax(apart)]))
        else:
            chosen.append(int(near[np.argmin(np.linalg.norm(points[near] - middle, axis=1))]))
    return drawn[chosen[-1]]


def _density(encoding: Encoding, values: Mapping[str, Any]) -> float:
    coordinates = dict(zip(encoding.names, encoding.encode(values), strict=True))
    found = [coordinates[name] for name in values if name.startswith("density") and name in coordinates]
    return float(np.mean(found)) if found else 0.0
