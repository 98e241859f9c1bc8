"""Growing a set of sorted positions: newcomers are drawn, merged and told apart in one sort.

Every position is shifted by one bit and newcomers get the lowest one: after sorting, equal positions are neighbours,
the one that was there before its newcomers.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .accelerated import accelerated
from .connectivity import Int64
from .places import Places, chunks, compact
from .sampling import distinct_free


class Grown(NamedTuple):
    """A set of positions and what it has grown by.

    Attributes:
        taken: the positions before, ascending, [m].
        fresh: newcomers, ascending, [n].
        new: their places among all m + n positions, ascending.
    """

    taken: Places
    fresh: Places
    new: Int64


class Sifted(NamedTuple):
    """Positions that are free.

    Attributes:
        positions: ascending, [n].
        passed: how many of the taken positions lie before each of them, [n].
    """

    positions: Places
    passed: Int64


def grow(rng: np.random.Generator, population: int, count: int, taken: Places) -> Grown:
    """Add `count` distinct positions of [0, population) outside `taken`, uniformly drawn.

    Where at most half of the positions will be taken, positions are drawn with replacement, those that are taken
    and repetitions go, and a uniform part of the rest stays: a set of independent draws, conditioned on its size, is
    a uniform subset. Otherwise free positions are drawn by rank.

    Args:
        rng: source of the draw.
        population: number of positions.
        count: number of newcomers.
        taken: sorted, unique positions, [m].

    Raises:
        ValueError: when fewer than `count` positions are free.
    """
    if 2 * (len(taken) + count) > population:
        fresh = distinct_free(rng, population, count, taken.astype(np.int64, copy=False))
        return merge(taken, fresh.astype(taken.dtype))
    share = 1.0 - (len(taken) + count) / population  # at least this share of the draws is free
    drawn = np.empty(0, taken.dtype)
    found = 0
    while True:
        missing = count - found
        more = rng.integers(population, size=ceil((missing + 4 * sqrt(missing)) / share), dtype=taken.dtype)
        drawn = np.concatenate([drawn, more]) if len(drawn) else more
        free = sift(taken, drawn)
        found = len(free.positions)
        if found >= count:
            break
    del drawn, more
    if found > count:
        stay = np.ones(found, bool)
        stay[rng.choice(found, found - count, replace=False, shuffle=False)] = False
        free = Sifted(compact(free.positions, stay), compact(free.passed, stay))
    return _grown(taken, free)


def merge(taken: Places, fresh: Places) -> Grown:
    """Add the positions `fresh`, in any order.

    Raises:
        ValueError: when one of them is taken, or stands there twice.
    """
    free = sift(taken, fresh.copy())
    if len(free.positions) < len(fresh):
        raise ValueError("a position is taken or stands there twice")
    return _grown(taken, free)


@accelerated("sift")
def sift(taken: Places, drawn: Places) -> Sifted:
    """Return those of `drawn` that are not `taken`, each once; `drawn` is used up."""
    both = _tagged(taken, drawn)
    new = np.flatnonzero(_tags(both))
    free = np.flatnonzero(~_repeats(both).take(new))  # places in `new`
    at = new.take(free)
    del new
    positions = _places(both.take(at))
    del both
    at -= free  # draws before it
    return Sifted(positions, at)


def _grown(taken: Places, free: Sifted) -> Grown:
    positions, new = free
    new += np.arange(len(new))
    return Grown(taken, positions, new)


def _tagged(taken: Places, fresh: Places) -> NDArray[Any]:
    both = np.empty(len(taken) + len(fresh), f"u{taken.dtype.itemsize}")
    both[: len(taken)] = taken
    both[len(taken) :] = fresh
    both <<= 1
    both[len(taken) :] |= 1
    both.sort()
    return both


def _repeats(both: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which tagged positions are those of their predecessors."""
    repeats = np.zeros(len(both), bool)
    for chunk in chunks(len(both) - 1):
        after = slice(chunk.start + 1, chunk.stop + 1)
        np.less_equal(both[after] ^ both[chunk], 1, out=repeats[after])
    return repeats


def _tags(both: NDArray[Any]) -> NDArray[np.bool_]:
    return (both.astype(np.uint8) & 1).view(bool)


def _places(tagged: NDArray[Any]) -> Places:
    """Take the tags off, in place."""
    tagged >>= 1
    return tagged.view(f"i{tagged.itemsize}")
