"""R_s: the share of all positions that ever held a connection (Liu et al. 2021, In-Time Over-Parameterization)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..topology.accelerated import accelerated
from ..topology.connectivity import Int64

EXACT_POSITIONS = 2**27  # one bit each: 16 MiB
_SKETCH = 2**14
_BIT = (1 << np.arange(8)).astype(np.uint8)
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # bits set in a byte


class Explored:
    """Counts the distinct positions a kernel has tried.

    Exact, one bit per position, up to 2**27 positions. Above, an estimate from the 16,384 smallest hashes of the
    positions seen (Bar-Yossef et al. 2002), in constant memory; its standard error is 0.8 %.

    Args:
        shape: (n_in, n_out).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.positions, self._n_out = shape[0] * shape[1], shape[1]
        self.exact = self.positions <= EXACT_POSITIONS
        size = -(-self.positions // 8) if self.exact else 0
        self._count = 0  # bits set
        self._state: NDArray[Any] = np.zeros(size, np.uint8) if self.exact else np.empty(0, np.uint64)

    def add(self, inputs: Int64, outputs: Int64) -> None:
        """Mark distinct positions as tried."""
        if self.exact:
            self._count += mark(self._state, inputs, outputs, (self.positions // self._n_out, self._n_out))
        else:
            hashes = _hash(inputs * self._n_out + outputs)
            if len(self._state) == _SKETCH:
                hashes = hashes[hashes < self._state[-1]]
            if len(hashes) > _SKETCH:  # only the smallest can enter, and all differ: the hash is a bijection
                hashes = np.partition(hashes, _SKETCH)[:_SKETCH]
            self._state = np.unique(np.concatenate([self._state, hashes]))[:_SKETCH]

    @property
    def share(self) -> float:
        """Distinct positions tried / all positions, in [0, 1]."""
        if self.exact:
            return self._count / self.positions
        if len(self._state) < _SKETCH:
            return len(self._state) / self.positions
        return min(1.0, (_SKETCH - 1) / (float(self._state[-1]) / 2.0**64) / self.positions)

    @property
    def state(self) -> NDArray[Any]:
        """What has been seen, as an array that `restore` takes."""
        return self._state

    def restore(self, state: NDArray[Any]) -> None:
        """Take up the count where `state` left it.

        Raises:
            ValueError: it is no state of a kernel of this shape.
        """
        fits = state.shape == self._state.shape if self.exact else state.ndim == 1 and len(state) <= _SKETCH
        if state.dtype != self._state.dtype or not fits:
            raise ValueError(f"{state.dtype} {state.shape} does not say which positions were tried")
        self._state = np.array(state, self._state.dtype)
        self._count = int(_ONES[self._state].sum(dtype=np.int64)) if self.exact else 0


@accelerated("mark")
def mark(bits: NDArray[np.uint8], inputs: Int64, outputs: Int64, shape: tuple[int, int]) -> int:
    """Set the bits of distinct positions; return how many were not set."""
    keys = inputs * shape[1] + outputs
    byte = keys >> 3
    fresh = _BIT.take(keys & 7) & ~bits.take(byte)
    # Bits that are not set yet, each once: adding is the fastest way to set them.
    np.add.at(bits, byte, fresh)
    return int(np.count_nonzero(fresh))


def _hash(keys: Int64) -> NDArray[np.uint64]:
    """Return 64-bit hashes that look random (the finalizer of MurmurHash3)."""
    h = keys.astype(np.uint64)
    with np.errstate(over="ignore"):
        h ^= h >> np.uint64(33)
        h *= np.uint64(0xFF51AFD7ED558CCD)
        h ^= h >> np.uint64(33)
        h *= np.uint64(0xC4CEB9FE1A85EC53)
        h ^= h >> np.uint64(33)
    return h
