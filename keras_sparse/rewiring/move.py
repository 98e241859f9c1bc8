"""Where the connections of a kernel go when it is rewired."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..topology.accelerated import accelerated
from ..topology.connectivity import Int64
from ..topology.places import CHUNK, chunks


class _Part(NamedTuple):
    """Some of the connections: new[target] holds old[source] at `sources`, newcomers where that is -1."""

    source: slice
    target: slice
    sources: NDArray[np.int32]


class Move:
    """What a rewiring means for every array of one entry per connection: survivors keep their order.

    Args:
        keep: which of the old connections stay, bool [K before].
        new: places of the newcomers, ascending, [n]; the survivors fill the others.
    """

    def __init__(self, keep: NDArray[np.bool_], new: Int64) -> None:
        self.keep, self.new = keep, new
        # Four bytes per connection: those of a large kernel are found again for every array.
        self._parts = list(self._find()) if len(keep) <= CHUNK else None

    @classmethod
    def from_source(cls, before: int, source: Int64) -> Move:
        """Return the move from `before` connections to those whose old places are `source`, -1 for newcomers."""
        keep = np.zeros(before, bool)
        keep[source[source >= 0]] = True
        return cls(keep, np.flatnonzero(source < 0))

    def carry(self, old: NDArray[Any], capacity: int, fill: float = 0.0) -> NDArray[Any]:
        """Return `old` after the move, [capacity]; newcomers and the unused tail hold `fill`."""
        new = np.empty(capacity, old.dtype)
        parts: Iterable[_Part] = self._find() if self._parts is None else self._parts
        end = 0
        for part in parts:
            gather(old[part.source], part.sources, new[part.target], fill)
            end = part.target.stop
        new[end:] = fill
        return new

    def _find(self) -> Iterator[_Part]:
        newcomers = range(len(self.new))
        done = begin = first = 0  # survivors placed, entries and newcomers passed
        for source in chunks(len(self.keep)):
            keep = self.keep[source]
            done += int(np.count_nonzero(keep))
            # Up to `new[j]` there are new[j] - j survivors, which never falls with j.
            last = bisect_left(newcomers, done, key=lambda j: self.new[j] - j)
            yield _Part(source, slice(begin, done + last), sources(keep, self.new[first:last] - begin))
            begin, first = done + last, last
        if first < len(self.new):  # newcomers behind the last survivor
            end = done + len(self.new)
            yield _Part(slice(0, 0), slice(begin, end), np.full(end - begin, -1, np.int32))


@accelerated("sources")
def sources(keep: NDArray[np.bool_], new: Int64) -> NDArray[np.int32]:
    """Return the old place of every connection afterwards, and -1 for newcomers, at `new`."""
    stay = np.flatnonzero(keep)
    found = np.full(len(stay) + len(new), -1, np.int32)
    old = np.ones(len(found), bool)
    old[new] = False
    found[old] = stay
    return found


@accelerated("gather")
def gather(old: NDArray[Any], sources: NDArray[np.int32], new: NDArray[Any], fill: float) -> NDArray[Any]:
    """Write old[sources] to `new`, and `fill` where that is -1; return `new`."""
    if len(old):
        np.take(old, sources, out=new, mode="wrap")
    new[sources < 0] = fill
    return new


@accelerated("scatter")
def scatter(new: NDArray[Any], places: Int64, entries: NDArray[Any]) -> NDArray[Any]:
    """Write `entries` to their `places` in `new`; return `new`."""
    new[places] = entries
    return new
