"""Growing a set of sorted positions: newcomers are drawn, merged and told apart in one sort.

Every position is shifted by one bit and newcomers get the lowest one: after sorting, equal positions are neighbours,
the one that was there before its newcomers.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .connectivity import Int64
from .places import Places, chunks
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
    free = 1.0 - (len(taken) + count) / population  # at least this share of the draws is accepted
    drawn = np.empty(0, taken.dtype)
    accepted = np.empty(0, np.int64)
    while True:
        missing = count - len(accepted)
        more = ceil((missing + 4 * sqrt(missing)) / free)
        drawn = np.concatenate([drawn, rng.integers(population, size=more, dtype=taken.dtype)])
        both = _tagged(taken, drawn)
        new = np.flatnonzero(_tags(both))
        good = ~_repeats(both).take(new)
        accepted = np.flatnonzero(good)  # places in `new`
        if len(accepted) >= count:
            break
    del drawn
    if len(accepted) > count:
        good[accepted[rng.choice(len(accepted), len(accepted) - count, replace=False, shuffle=False)]] = False
        accepted = np.flatnonzero(good)
    at = new.take(accepted)
    del new, good
    fresh = _places(both.take(at))
    del both
    # Draws before it that do not stay: as many as it is further back in `new` than in `accepted`.
    at -= accepted
    at += np.arange(count)
    return Grown(taken, fresh, at)


def merge(taken: Places, fresh: Places) -> Grown:
    """Add the positions `fresh`, in any order.

    Raises:
        ValueError: when one of them is taken, or stands there twice.
    """
    both = _tagged(taken, fresh)
    twice = np.flatnonzero(_repeats(both))
    if twice.size:
        raise ValueError(f"position {int(both[twice[0]]) >> 1} stands there twice")
    new = np.flatnonzero(_tags(both))
    return Grown(taken, _places(both.take(new)), new)


def compact(array: NDArray[Any], keep: NDArray[np.bool_]) -> NDArray[Any]:
    """Move the entries to keep to the front of `array`, in place, and return them.

    In chunks, by index: several times as fast as `array[keep]`, without memory for all indices.
    """
    end = 0
    for chunk in chunks(len(array)):
        part = array[chunk].take(np.flatnonzero(keep[chunk]))
        array[end : end + len(part)] = part
        end += len(part)
    return array[:end]


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
