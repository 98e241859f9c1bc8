"""The storage order of connections: blocks of outputs, 16- or 32-bit local output ids, row pointers.

Connections are ordered by (block of outputs, input, output). Inside a block every input has a row, so the input
of a connection is known from its place and only its output has to be stored, as a local id within the block.
Everything here is a pure function of (n_in, n_out, capacity), so that a model saved on one machine has the same
order, and the same optimizer slots, on another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import places
from .accelerated import accelerated
from .connectivity import Connectivity, Int64
from .hashing import digest

VERSION = 1
STATE_SIZE = 16  # integers of a kernel's bookkeeping, see `kernel_state`
_SMALLEST_BLOCK = 256
_CONNECTIONS_PER_ROW = 16  # row pointers cost 8 bytes: at 16 connections a row, half a byte per connection
_MOST_16_BIT_IDS = 1 << 16


@dataclass(frozen=True)
class Layout:
    """How a junction's connections are stored.

    Attributes:
        shape: (n_in, n_out).
        capacity: number of connections there is room for.
        block: number of outputs per block; the last block may be smaller.
        id_bits: 16, or 32 for a hypersparse junction of one block with more than 65,536 outputs.
    """

    shape: tuple[int, int]
    capacity: int
    block: int
    id_bits: int

    @classmethod
    def of(cls, shape: tuple[int, int], capacity: int) -> Layout:
        """Return the layout of a junction: blocks as small as 16 connections per (input, block) allow."""
        n_in, n_out = shape
        blocks = min(capacity // (_CONNECTIONS_PER_ROW * n_in), -(-n_out // _SMALLEST_BLOCK))
        block = -(-n_out // max(1, blocks))
        block = min(n_out, -(-block // 64) * 64)  # whole vector registers
        if block > _MOST_16_BIT_IDS:
            return cls(shape, capacity, n_out, 32)
        return cls(shape, capacity, block, 16)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.shape[1] // self.block)

    @property
    def rows(self) -> int:
        """Number of rows, one per input and block."""
        return self.blocks * self.shape[0]

    def id_words(self, word_bits: int) -> int:
        """Return how many words of `word_bits` the packed ids need."""
        return -(-self.capacity * self.id_bits // word_bits)

    @property
    def id_dtype(self) -> type[np.unsignedinteger[Any]]:
        """NumPy type of a local output id."""
        return np.uint16 if self.id_bits == 16 else np.uint32

    @property
    def index_bytes(self) -> int:
        """Bytes of index storage: packed ids and 64-bit row pointers."""
        return 8 * (self.id_words(64) + self.rows + 1)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all that a kernel stores: float32 values, index and bookkeeping."""
        return 4 * self.capacity + self.index_bytes + 8 * STATE_SIZE

    def order(self, connectivity: Connectivity) -> Int64 | None:
        """Return the permutation that puts `connectivity` into storage order, or None if it already is."""
        keys = self._keys(connectivity)
        if np.all(keys[1:] > keys[:-1]):
            return None
        return np.argsort(keys, kind="stable")

    def _keys(self, connectivity: Connectivity) -> places.Places:
        return places.of_units(self, connectivity.inputs, connectivity.outputs)

    def match(self, old: Connectivity, new: Connectivity) -> Int64:
        """Return, for every connection of `new`, its place in `old`, or -1: both in storage order."""
        if not len(old):
            return np.full(len(new), -1, np.int64)
        before, after = self._keys(old), self._keys(new)
        place = np.minimum(np.searchsorted(before, after), len(before) - 1)
        return np.where(before[place] == after, place, -1)

    def encode(self, connectivity: Connectivity) -> tuple[NDArray[Any], Int64]:
        """Return (local ids [K], row pointers [rows + 1]) of connections that are in storage order."""
        return self.local_ids(connectivity.outputs), places.pointers(self, self._keys(connectivity))

    def local_ids(self, outputs: Int64) -> NDArray[Any]:
        """Return the outputs' numbers within their blocks, as they are stored."""
        local = outputs if self.blocks == 1 else outputs - outputs // self.block * self.block
        return local.astype(self.id_dtype)

    @accelerated("in_degrees")
    def in_degrees(self, ids: NDArray[Any], pointers: Int64) -> Int64:
        """Return the number of connections into each output of encoded connections, [n_out]."""
        degrees = np.zeros(self.blocks * self.block, np.int64)
        size = max(1 << 18, 4 * self.block)  # bincount wants 64-bit numbers: not all at once
        for block in range(self.blocks):
            begin, end = int(pointers[block * self.shape[0]]), int(pointers[(block + 1) * self.shape[0]])
            counts = degrees[block * self.block : (block + 1) * self.block]
            for first in range(begin, end, size):
                counts += np.bincount(ids[first : min(first + size, end)], minlength=self.block)
        return degrees[: self.shape[1]]

    def out_degrees(self, pointers: Int64) -> Int64:
        """Return the number of connections out of each input of encoded connections, [n_in]."""
        return np.diff(pointers).reshape(self.blocks, self.shape[0]).sum(0)

    def decode(self, ids: NDArray[Any], pointers: Int64) -> Connectivity:
        """Return the connections stored as `ids` (at least K of them) and `pointers`.

        Raises:
            ValueError: when they do not describe unique connections of this junction in storage order: file
                contents are checked here before anything trusts them.
        """
        n_in, n_out = self.shape
        if pointers.shape != (self.rows + 1,):
            raise ValueError(f"expected {self.rows + 1} row pointers, got shape {pointers.shape}")
        count = int(pointers[-1])
        if pointers[0] != 0 or np.any(pointers[1:] < pointers[:-1]) or not 0 <= count <= self.capacity:
            raise ValueError(f"row pointers must rise from 0 to a count of at most {self.capacity}")
        if len(ids) < count:
            raise ValueError(f"row pointers promise {count} connections, but there are {len(ids)} ids")
        row = np.repeat(np.arange(self.rows), np.diff(pointers))
        block, inputs = np.divmod(row, n_in)
        local = ids[:count].astype(np.int64)
        outputs = block * self.block + local
        if np.any(local >= self.block) or np.any(outputs >= n_out):
            raise ValueError(f"an output id lies outside its block or the junction's {n_out} outputs")
        if np.any((local[1:] <= local[:-1]) & (row[1:] == row[:-1])):
            raise ValueError("connections are duplicated or not sorted by output within their input's row")
        return Connectivity._trusted(inputs, outputs, self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON description, as `get_build_config` stores it."""
        return {"version": VERSION, "capacity": self.capacity, "block": self.block, "id_bits": self.id_bits}


def pack(ids: NDArray[Any], words: int, word: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """Return `ids` bit-packed in memory order into `words` signed integers; the tail is zero."""
    if ids.nbytes == words * np.dtype(word).itemsize:
        return ids.view(word)
    packed = np.zeros(words * np.dtype(word).itemsize // ids.itemsize, ids.dtype)
    packed[: len(ids)] = ids
    return packed.view(word)


def unpack(packed: NDArray[Any], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    """Return the ids that `pack` stored, tail included."""
    return packed.view(dtype)


def fingerprint(shape: tuple[int, int], ids: NDArray[Any], pointers: Int64) -> int:
    """Return a 62-bit hash of a topology, the same on every machine; never 0."""
    return (digest(np.array(shape, np.int64), pointers, ids[: int(pointers[-1])]) >> 2) or 1
