"""Drawing distinct positions uniformly, in memory of the draw alone, never of the junction."""

from __future__ import annotations

import numpy as np

from .connectivity import Int64


def distinct(rng: np.random.Generator, population: int, count: int) -> Int64:
    """Return `count` distinct integers of [0, population), uniformly, sorted.

    Memory and time are O(count log count): a set of independent draws, conditioned on its size, is a uniform
    subset, and so is a uniform part of it.

    Raises:
        ValueError: when `count` is negative or exceeds `population`.
    """
    if not 0 <= count <= population:
        raise ValueError(f"Cannot draw {count} distinct positions out of {population}.")
    if count > population // 2:  # the few that are left out are drawn instead
        kept = np.ones(population, bool)
        kept[distinct(rng, population, population - count)] = False
        return np.flatnonzero(kept).astype(np.int64)
    drawn = np.empty(0, np.int64)
    while len(drawn) < count:
        missing = count - len(drawn)
        collisions = missing * (len(drawn) + missing) / population
        fresh = rng.integers(population, size=missing + int(1.2 * collisions) + 8, dtype=np.int64)
        drawn = np.concatenate([drawn, fresh])
        drawn.sort()
        drawn = drawn[np.concatenate([[True], drawn[1:] != drawn[:-1]])]
    if len(drawn) > count:
        drawn = np.delete(drawn, rng.choice(len(drawn), len(drawn) - count, replace=False, shuffle=False))
    return drawn


def distinct_free(rng: np.random.Generator, population: int, count: int, taken: Int64) -> Int64:
    """Return `count` distinct integers of [0, population) outside `taken`, uniformly, sorted.

    The free positions are numbered by rank, distinct ranks are drawn, and a rank is turned into a position by
    one binary search: no rejection, however dense the junction.

    Args:
        rng: source of the draw.
        population: number of positions, n_in · n_out.
        count: number of positions to draw.
        taken: sorted, unique positions that must not be drawn, int64 [m].

    Raises:
        ValueError: when fewer than `count` positions are free.
    """
    ranks = distinct(rng, population - len(taken), count)
    # taken[j] - j free positions lie before taken[j].
    return ranks + np.searchsorted(taken - np.arange(len(taken)), ranks, side="right")


def distinct_free_in_groups(rng: np.random.Generator, size: int, counts: Int64, taken: Int64) -> Int64:
    """Return, for every group g, `counts[g]` distinct free integers of [g · size, (g + 1) · size), uniformly, sorted.

    Args:
        rng: source of the draw.
        size: of every group.
        counts: integers to draw from each group, [groups].
        taken: sorted, unique integers that must not be drawn.

    Raises:
        ValueError: when a group has too few free integers.
    """
    free = size - np.bincount(taken // size, minlength=len(counts))
    if np.any(counts > free):
        raise ValueError("A group has fewer free positions than are to be drawn.")
    ranks = _distinct_in_groups(rng, free, counts)
    return ranks + np.searchsorted(taken - np.arange(len(taken)), ranks, side="right")


def _distinct_in_groups(rng: np.random.Generator, sizes: Int64, counts: Int64) -> Int64:
    """Return `counts[g]` distinct integers of every group; the groups, of `sizes`, follow each other."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    many = counts > sizes // 2  # the few that are left out are drawn instead
    few = np.where(many, sizes - counts, counts)
    drawn = np.empty(0, np.int64)
    missing = few
    while missing.any():
        owner = np.repeat(np.arange(len(sizes)), missing)
        drawn = np.concatenate([drawn, starts[owner] + rng.integers(sizes[owner])])
        drawn.sort()
        drawn = drawn[np.concatenate([[True], drawn[1:] != drawn[:-1]])]
        missing = few - (np.searchsorted(drawn, ends) - np.searchsorted(drawn, starts))
    lengths = sizes[many]
    if not lengths.size:
        return drawn
    everything = np.arange(lengths.sum()) + np.repeat(starts[many] - np.cumsum(lengths) + lengths, lengths)
    left_out = many[np.searchsorted(ends, drawn, side="right")]
    kept = np.ones(len(everything), bool)
    kept[np.searchsorted(everything, drawn[left_out])] = False
    return np.sort(np.concatenate([drawn[~left_out], everything[kept]]))
