"""What the variables of a sparse kernel hold beside its weights, as values: the stored connections, the bookkeeping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compute import decoding
from .topology.layout import STATE_SIZE, VERSION, Layout

WORD = np.int32 if decoding.WORD_BITS == 32 else np.int64
HALF_BITS = 31  # 62-bit numbers are kept as two entries, so that 32-bit backends hold them too


@dataclass(frozen=True)
class KernelState:
    """A kernel's bookkeeping, kept in its `state` variable.

    Attributes:
        seed: of pattern, values and, unless it has one of its own, of the rewiring.
        updates: rewiring updates done.
        last_iteration: `optimizer.iterations` at the last update.
        fingerprint: of the topology.
    """

    seed: int
    updates: int = 0
    last_iteration: int = 0
    fingerprint: int = 0

    def pack(self, layout: Layout) -> NDArray[Any]:
        """Return the `state` array of a kernel with `layout`."""
        # The entries that are not in use are zero, for later versions.
        entries = [VERSION, layout.block, layout.id_bits, *split(self.seed), self.updates, self.last_iteration]
        entries += [*split(self.fingerprint), *split(layout.capacity)]
        return np.array(entries + [0] * (STATE_SIZE - len(entries)), WORD)

    @classmethod
    def unpack(cls, state: NDArray[Any]) -> KernelState:
        """Return what `pack` stored."""
        entries = state.tolist()
        return cls(
            seed=join(*entries[3:5]), updates=entries[5], last_iteration=entries[6], fingerprint=join(*entries[7:9])
        )


class Index(NamedTuple):
    """The connections as they are stored.

    Attributes:
        ids: local output ids, at least K; read-only.
        rows: row pointers, [rows + 1]; the last one is K; read-only.
        fingerprint: hash of both.
    """

    ids: NDArray[Any]
    rows: NDArray[np.int64]
    fingerprint: int

    @property
    def size(self) -> int:
        """Number of connections K."""
        return int(self.rows[-1])


def split(number: int) -> tuple[int, int]:
    """Return a number of 62 bits as two of 31."""
    return number & ((1 << HALF_BITS) - 1), number >> HALF_BITS


def join(low: int, high: int) -> int:
    """Return the number that `split` took apart."""
    return low | high << HALF_BITS
