"""What rewiring did: an entry per kernel and update, and the positions ever tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..junctions import Junction
from .apply import Plan
from .explored import Explored


class Journal:
    """Keeps the entries of `Rewire.history`.

    Attributes:
        entries: one dict per kernel and update.
        epoch: that `fit` is in.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.epoch = 0
        self._explored: dict[int, Explored] = {}
        self._seen: dict[int, int] = {}  # fingerprints of the topologies `_explored` saw last
        self._latest: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """A `fit` begins: its entries are not summed with those before."""
        self._latest = {}

    def forget_explored(self) -> None:
        """Another model is rewired from now on."""
        self._explored, self._seen = {}, {}

    def look(self, junction: Junction, fingerprint: int) -> None:
        """Count the connections of a topology that came from elsewhere as tried."""
        if self._seen.get(junction.number) != fingerprint:
            connectivity = junction.kernel.connectivity  # decoding checks it
            explored = self._explored.setdefault(junction.number, Explored(junction.kernel.shape))
            explored.add(connectivity.inputs, connectivity.outputs)
            self._seen[junction.number] = fingerprint

    def add(self, junction: Junction, plan: Plan, *, step: int, final: bool) -> dict[str, Any]:
        """Return the entry of an update that was applied."""
        explored = self._explored[junction.number]
        explored.add(plan.inputs, plan.outputs)
        self._seen[junction.number] = junction.kernel.slots_mark.fingerprint
        in_degrees, out_degrees = plan.degrees
        return {
            "epoch": self.epoch,
            "step": step,
            "layer": junction.name,
            "removed": plan.removed,
            "added": plan.added,
            "connections": plan.count,
            "density": plan.count / explored.positions,
            "explored": explored.share,
            "explored_exact": explored.exact,
            "in_degree": _spread(in_degrees, plan.count),
            "out_degree": _spread(out_degrees, plan.count),
            "final": final,
            "updates": 1,
        }

    def keep(self, entries: Sequence[dict[str, Any]], *, sums: bool) -> None:
        """Keep entries; with `sums` those of one epoch become one."""
        for entry in entries:
            last = self._latest.get(entry["layer"])
            if sums and last and last["epoch"] == entry["epoch"] and not entry["final"]:
                last |= entry | {name: last[name] + entry[name] for name in ("removed", "added", "updates")}
            else:
                self._latest[entry["layer"]] = dict(entry)
                self.entries.append(self._latest[entry["layer"]])

    def arrays(self) -> dict[int, NDArray[Any]]:
        """Return which positions were tried, by kernel: what `restore` takes."""
        return {number: explored.state for number, explored in self._explored.items()}

    def restore(self, number: int, shape: tuple[int, int], array: NDArray[Any]) -> None:
        """Take up which positions of a kernel were tried."""
        self._explored[number] = Explored(shape)
        self._explored[number].restore(array)
        self._seen.pop(number, None)


def _spread(degrees: NDArray[np.int64], total: int) -> list[float]:
    return [int(degrees.min()), total / len(degrees), int(degrees.max())]  # a list, as JSON brings it back
