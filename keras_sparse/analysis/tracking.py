"""Since when each connection of a kernel exists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernel import SparseKernel
from ..topology import places
from ..topology.connectivity import Int64


class Tracker:
    """Follows one kernel from look to look, with 8 bytes per connection (12 above 2**31 positions).

    A connection is known by its position: one that went and came back between two looks counts as never gone. Those
    there at the first look are born then.

    Args:
        kernel: the kernel to follow, from now on.
    """

    def __init__(self, kernel: SparseKernel) -> None:
        self.kernel = kernel
        ids, rows, self._mark = kernel.index()
        self._places = places.of_index(kernel.layout, ids, rows)
        self._born: NDArray[np.int32] | None = None
        self._epoch = 0

    @property
    def changed(self) -> bool:
        """Whether the topology is another one than at the last look."""
        return self.kernel.index().fingerprint != self._mark

    def look(self, epoch: int) -> float:
        """Take the kernel in as it is; return the share of its connections that were not there at the last look."""
        ids, rows, mark = self.kernel.index()
        self._epoch = epoch
        if self._born is None:
            self._born = np.full(len(self._places), epoch, np.int32)
        if mark == self._mark:
            return 0.0
        before, born_before = self._places, self._born
        now = places.of_index(self.kernel.layout, ids, rows)
        born = np.full(len(now), epoch, np.int32)
        known = 0
        for chunk in places.chunks(len(now)) if len(before) else ():
            place = np.minimum(np.searchsorted(before, now[chunk]), len(before) - 1)
            stayed = before[place] == now[chunk]
            born[chunk][stayed] = born_before[place[stayed]]
            known += int(np.count_nonzero(stayed))
        self._places, self._born, self._mark = now, born, mark
        return (len(now) - known) / max(1, len(now))

    def ages(self) -> Int64:
        """Return how many connections are 0, 1, 2 … epochs old at the last look, [oldest + 1]."""
        assert self._born is not None, "ages are known after a look"
        oldest = self._epoch - int(self._born.min(initial=self._epoch))
        counts = np.zeros(oldest + 1, np.int64)
        for chunk in places.chunks(len(self._born)):
            counts += np.bincount(self._epoch - self._born[chunk], minlength=oldest + 1)
        return counts
