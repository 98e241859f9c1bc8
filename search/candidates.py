"""Configurations a proposal chooses among: from the whole space and around good ones, new, and within limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from .encoding import Encoding, Point, Values

Known = Callable[[Mapping[str, Any]], Mapping[str, float]]
"""What a configuration costs, as far as that is known before it is trained: measure to value."""

_ENOUGH = 64
_ROUNDS = 24
_PARENTS, _CHILDREN = 32, 256


def excess(known: Known | None, limits: Mapping[str, float]) -> Callable[[Mapping[str, Any]], float]:
    """How far configurations are beyond the limits, as far as that is known: a logarithm, at most 0 within them."""
    if known is None or not limits:
        return lambda values: 0.0

    def beyond(values: Mapping[str, Any]) -> float:
        costs = known(values)
        found = [math.log(max(costs[name], 1e-12) / limit) for name, limit in limits.items() if name in costs]
        return max(found, default=0.0)

    return beyond


def pool(
    encoding: Encoding,
    rng: np.random.Generator,
    *,
    centres: Sequence[Mapping[str, Any]],
    tried: Collection[Hashable],
    beyond: Callable[[Mapping[str, Any]], float],
    spread: int,
    local: int,
) -> tuple[list[Values], Values | None]:
    """Configurations that were not tried and are not known to break a limit.

    Where few that are drawn keep the limits, those next to them are varied until there are some.

    Args:
        encoding: The space.
        rng: Draws them.
        centres: Configurations whose neighbours are wanted.
        tried: Keys of those to leave out.
        beyond: See `excess`.
        spread: Number to draw from the whole space.
        local: Number to draw around each centre.

    Returns:
        The configurations, each once, and the one drawn that is nearest to the limits, if any was drawn.
    """
    seen = set(tried)
    kept: list[Values] = []
    outside: list[tuple[float, Values]] = []

    def take(points: Point) -> None:
        for point in points:
            values = encoding.decode(point)
            if (key := encoding.key(values)) not in seen:
                seen.add(key)
                by = beyond(values)
                if by <= 0:
                    kept.append(values)
                else:
                    outside.append((by, values))

    take(rng.random((spread, encoding.size)))
    for centre in centres:
        take(_around(encoding, rng, centre, local))
    for _ in range(_ROUNDS):
        if len(kept) >= _ENOUGH or not outside:
            break
        outside = sorted(outside, key=lambda pair: pair[0])[:_PARENTS]
        parents = [*kept, *(values for _, values in outside)]
        for parent in parents[:_PARENTS]:
            take(_around(encoding, rng, parent, _CHILDREN // _PARENTS))
    nearest = kept[0] if kept else min(outside, key=lambda pair: pair[0])[1] if outside else None
    return kept, nearest


def _around(encoding: Encoding, rng: np.random.Generator, centre: Mapping[str, Any], count: int) -> Point:
    """Neighbours: some coordinates moved, a little or more."""
    step = rng.choice([0.05, 0.2], size=(count, 1)) * rng.standard_normal((count, encoding.size))
    moved = rng.random((count, encoding.size)) < 0.4
    return np.clip(encoding.encode(centre) + step * moved, 0.0, 1.0)
