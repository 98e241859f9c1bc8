"""Where the connections of a kernel go when it is rewired."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..topology.connectivity import Int64
from ..topology.places import CHUNK, chunks


class _Part(NamedTuple):
    """Some of the survivors: old[source][stay] goes to new[target][to]."""

    source: slice
    stay: Int64
    target: slice
    to: Int64


class Move:
    """What a rewiring means for every array of one entry per connection: survivors keep their order.

    Args:
        keep: which of the old connections stay, bool [K before].
        new: places of the newcomers, ascending, [n]; the survivors fill the others.
    """

    def __init__(self, keep: NDArray[np.bool_], new: Int64) -> None:
        self.keep, self.new = keep, new
        # Indices take sixteen bytes per survivor: those of a large kernel are found again for every array.
        self._parts = list(self._find()) if len(keep) <= CHUNK else None

    @classmethod
    def from_source(cls, before: int, source: Int64) -> Move:
        """Return the move from `before` connections to those whose old places are `source`, -1 for newcomers."""
        keep = np.zeros(before, bool)
        keep[source[source >= 0]] = True
        return cls(keep, np.flatnonzero(source < 0))

    def carry(self, old: NDArray[Any], capacity: int, fill: float = 0.0) -> NDArray[Any]:
        """Return `old` after the move, [capacity]; newcomers and the unused tail hold `fill`."""
        new = np.full(capacity, fill, old.dtype)
        parts: Iterable[_Part] = self._find() if self._parts is None else self._parts
        for part in parts:
            new[part.target][part.to] = old[part.source].take(part.stay)
        return new

    def _find(self) -> Iterator[_Part]:
        newcomers = range(len(self.new))
        done = begin = first = 0  # survivors placed, entries and newcomers passed
        for source in chunks(len(self.keep)):
            stay = np.flatnonzero(self.keep[source])
            done += len(stay)
            # Up to `new[j]` there are new[j] - j survivors, which never falls with j.
            last = bisect_left(newcomers, done, key=lambda j: self.new[j] - j)
            end = done + last
            old = np.ones(end - begin, bool)
            old[self.new[first:last] - begin] = False
            yield _Part(source, stay, slice(begin, end), np.flatnonzero(old))
            begin, first = end, last
