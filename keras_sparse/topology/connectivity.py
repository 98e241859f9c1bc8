"""`Connectivity`: which connections of a junction exist, as an immutable value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int64 = NDArray[np.int64]
_MAX_POSITIONS = 2**63 - 1


def check_shape(shape: Any) -> tuple[int, int]:
    """Return `shape` as (n_in, n_out), or raise ValueError when it is no junction's shape."""
    try:
        n_in, n_out = (int(size) for size in shape)
        exact = all(int(size) == size for size in shape)
    except (TypeError, ValueError):
        raise ValueError(f"A junction's shape is (n_in, n_out), two positive integers; got {shape!r}.") from None
    if not exact or n_in < 1 or n_out < 1:
        raise ValueError(f"A junction's shape is (n_in, n_out), two positive integers; got {shape!r}.")
    if n_in * n_out > _MAX_POSITIONS:
        raise ValueError(
            f"A junction of {n_in} x {n_out} has more than 2**63 - 1 positions, the most that can be indexed."
        )
    return n_in, n_out


class Connectivity:
    """The connections of a junction of `n_in` inputs and `n_out` outputs.

    An immutable value: the index arrays cannot be written to. Connection `i` joins input `inputs[i]` to output
    `outputs[i]`. The order is kept as given (a kernel's values follow it) but does not matter for `==`.

    Args:
        inputs: input unit of every connection, integers in [0, n_in), shape [K].
        outputs: output unit of every connection, integers in [0, n_out), shape [K].
        shape: (n_in, n_out).

    Raises:
        ValueError: for indices that are no integers, out of range or duplicated, and for unequal lengths.

    Example:
        >>> import keras_sparse as ks
        >>> c = ks.Connectivity([0, 2, 2], [1, 0, 1], shape=(3, 2))
        >>> len(c), c.density, c.in_degrees.tolist()
        (3, 0.5, [1, 2])
    """

    __slots__ = ("__weakref__", "_inputs", "_outputs", "_shape")

    def __init__(self, inputs: ArrayLike, outputs: ArrayLike, *, shape: tuple[int, int]) -> None:
        self._shape = check_shape(shape)
        self._inputs = _indices(inputs, self._shape[0], "inputs")
        self._outputs = _indices(outputs, self._shape[1], "outputs")
        if len(self._inputs) != len(self._outputs):
            raise ValueError(
                f"Every connection has one input and one output; got {len(self._inputs)} inputs "
                f"and {len(self._outputs)} outputs."
            )
        keys = np.sort(self.keys)
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if twice.size:
            i, o = divmod(int(keys[twice[0]]), self._shape[1])
            raise ValueError(
                f"Connections must be unique: {twice.size} duplicated, the first from input {i} to output {o}."
            )

    @classmethod
    def _trusted(cls, inputs: Int64, outputs: Int64, shape: tuple[int, int]) -> Connectivity:
        """Wrap arrays that are known to be valid (int64, in range, unique) without another sort."""
        self = cls.__new__(cls)
        self._shape = shape
        self._inputs, self._outputs = _frozen(inputs), _frozen(outputs)
        return self

    @classmethod
    def from_keys(cls, keys: Int64, *, shape: tuple[int, int]) -> Connectivity:
        """Return the connections with the given flat keys, input · n_out + output; checked like the constructor."""
        n_in, n_out = check_shape(shape)
        keys = np.asarray(keys)
        if keys.size and (int(keys.min()) < 0 or int(keys.max()) >= n_in * n_out):
            raise ValueError(f"Keys of a {n_in} x {n_out} junction lie in [0, {n_in * n_out}).")
        inputs, outputs = np.divmod(keys, n_out)
        return cls(inputs, outputs, shape=(n_in, n_out))

    @classmethod
    def from_mask(cls, mask: ArrayLike) -> Connectivity:
        """Return the connections at the non-zero places of `mask`, shape [n_in, n_out], row by row.

        Raises:
            ValueError: when `mask` is not two-dimensional.
        """
        mask = np.asarray(mask)
        if mask.ndim != 2:
            raise ValueError(f"A mask has two dimensions, [n_in, n_out]; got shape {mask.shape}.")
        inputs, outputs = np.nonzero(mask)
        return cls(inputs, outputs, shape=(mask.shape[0], mask.shape[1]))

    def to_mask(self) -> NDArray[np.bool_]:
        """Return a boolean array [n_in, n_out], True where a connection exists. Dense: for small junctions."""
        mask = np.zeros(self._shape, bool)
        mask[self._inputs, self._outputs] = True
        return mask

    @property
    def inputs(self) -> Int64:
        """Input unit of each connection: int64 [K], read-only."""
        return self._inputs

    @property
    def outputs(self) -> Int64:
        """Output unit of each connection: int64 [K], read-only."""
        return self._outputs

    @property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out)."""
        return self._shape

    @property
    def keys(self) -> Int64:
        """Flat position of each connection, input · n_out + output: a new int64 [K]."""
        return self._inputs * self._shape[1] + self._outputs

    @property
    def density(self) -> float:
        """K / (n_in · n_out), in [0, 1]."""
        return len(self) / (self._shape[0] * self._shape[1])

    @property
    def in_degrees(self) -> Int64:
        """Number of connections into each output unit: int64 [n_out]."""
        return np.bincount(self._outputs, minlength=self._shape[1]).astype(np.int64)

    @property
    def out_degrees(self) -> Int64:
        """Number of connections out of each input unit: int64 [n_in]."""
        return np.bincount(self._inputs, minlength=self._shape[0]).astype(np.int64)

    def __len__(self) -> int:
        return len(self._inputs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Connectivity):
            return NotImplemented
        if self._shape != other._shape or len(self) != len(other):
            return False
        if np.array_equal(self._inputs, other._inputs) and np.array_equal(self._outputs, other._outputs):
            return True
        return np.array_equal(np.sort(self.keys), np.sort(other.keys))

    def __hash__(self) -> int:
        # Independent of the order, like ==.
        return hash((self._shape, len(self), int(np.bitwise_xor.reduce(self.keys, initial=0))))

    def __repr__(self) -> str:
        n_in, n_out = self._shape
        return f"Connectivity({n_in} -> {n_out}, {len(self)} connections, density {self.density:.4g})"


def _indices(values: ArrayLike, size: int, name: str) -> Int64:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have one dimension, one integer per connection; got shape {array.shape}.")
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold integers; got dtype {array.dtype}.")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= size):
        wrong = int(np.flatnonzero((array < 0) | (array >= size))[0])
        raise ValueError(f"`{name}` must lie in [0, {size}); {name}[{wrong}] is {array[wrong]}.")
    return _frozen(array.astype(np.int64))  # a copy: the caller's array stays the caller's


def _frozen(array: Int64) -> Int64:
    array.setflags(write=False)
    return array
