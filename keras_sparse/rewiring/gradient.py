"""The dense gradient of a kernel, seen in blocks: it is Xᵀ dY and is never built as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..compute.geometry import Geometry
from ..topology import places
from ..topology.connectivity import Int64
from ..topology.layout import Layout
from ..topology.places import Places
from .factors import Inputs, Matrix, Patches

Floats = NDArray[np.floating[Any]]
_BLOCK = 1 << 21  # positions looked at together: 8 MB of float32


class Block(NamedTuple):
    """The gradient at consecutive places.

    Attributes:
        first: the first place.
        values: the gradient there and at the places that follow, [n].
    """

    first: int
    values: Floats


class Scores(Protocol):
    """Something that ranks all positions of a kernel."""

    def blocks(self) -> Iterator[Block]:
        """Yield the scores of all places, block by block, in order."""
        ...


class Array(NamedTuple):
    """Scores that are there as an array.

    Attributes:
        layout: the kernel's storage order.
        values: by place, [n_in · n_out].
    """

    layout: Layout
    values: Floats

    def blocks(self) -> Iterator[Block]:
        """Yield the array."""
        yield Block(0, self.values)

    def at(self, inputs: Int64, outputs: Int64) -> Floats:
        """Return the scores of some positions."""
        return self.values[places.of_units(self.layout, inputs, outputs)]


class Gradient:
    """The gradient of the loss with respect to every position of a kernel, in factors.

    Regularization is not part of it: X and dY are what the backward of the product had.

    Args:
        layout: the kernel's storage order.
        parts: pairs (x [batch, n_in], dy [batch, n_out]), one for each time the kernel was used; of a convolution, the
            images before and after it, [batch, height, width, channels].
        geometry: of a convolution.

    Attributes:
        finite: whether all of x and dy is.
    """

    def __init__(
        self,
        layout: Layout,
        parts: Sequence[tuple[NDArray[Any], NDArray[Any]]],
        geometry: Geometry | None = None,
    ) -> None:
        self._layout = layout
        inputs = [np.asarray(x, np.float32) for x, _ in parts]
        self._x: Inputs = Matrix(np.concatenate(inputs)) if geometry is None else Patches(inputs, geometry)
        self._dy = np.concatenate([np.asarray(dy, np.float32).reshape(-1, layout.shape[1]) for _, dy in parts])
        # Not so after a diverged step, or with float16 that overflowed: such a gradient ranks nothing.
        self.finite = bool(self._x.finite() and np.all(np.isfinite(self._dy)))

    def blocks(self) -> Iterator[Block]:
        """Yield the whole gradient, block by block, in the order of places."""
        n_in, n_out = self._layout.shape
        first = 0
        for begin in range(0, n_out, self._layout.block):
            dy = self._dy[:, begin : begin + self._layout.block]
            width = dy.shape[1]
            rows = max(1, _BLOCK // width)
            for row in range(0, n_in, rows):
                values = self._x.product(row, min(row + rows, n_in), dy).ravel()
                yield Block(first, values)
                first += len(values)

    def at(self, inputs: Int64, outputs: Int64) -> Floats:
        """Return the gradient at some positions."""
        found = np.empty(len(inputs), np.float32)
        step = max(1, _BLOCK // max(1, len(self._x)))
        for begin in range(0, len(found), step):
            part = slice(begin, begin + step)
            np.einsum("bk,bk->k", self._x.columns(inputs[part]), self._dy[:, outputs[part]], out=found[part])
        return found

    def coarse(self, size: tuple[int, int], layout: Layout) -> CoarseGradient:
        """Return the gradient of whole blocks of `size` (inputs, outputs); `layout` is that of the kernel of blocks."""
        return CoarseGradient(self._x, self._dy, size, layout)

    def columns(self, outputs: slice, layout: Layout) -> Gradient:
        """Return the gradient of some of the outputs as of a kernel of its own, with the storage order `layout`."""
        part = copy(self)
        part._dy, part._layout = self._dy[:, outputs], layout
        return part

    def outputs(self) -> Iterator[tuple[int, Floats]]:
        """Yield (first output, gradient [n_in, outputs]) for consecutive outputs."""
        n_in, n_out = self._layout.shape
        step = max(1, _BLOCK // n_in)
        for begin in range(0, n_out, step):
            yield begin, self._x.product(0, n_in, self._dy[:, begin : begin + step])


class CoarseGradient:
    """Σ |gradient| over blocks of positions, for kernels whose connections come in blocks.

    Args:
        x: [batch, n_in].
        dy: [batch, n_out], an array.
        size: (inputs, outputs) of a block.
        layout: storage order of the kernel of blocks.
    """

    def __init__(self, x: Inputs, dy: Floats, size: tuple[int, int], layout: Layout) -> None:
        self._x, self._dy, self._size, self._layout = x, dy, size, layout

    def blocks(self) -> Iterator[Block]:
        """Yield the sums of all places, block by block, in order."""
        (n_in, n_out), (high, wide) = self._layout.shape, self._size
        first = 0
        for begin in range(0, n_out, self._layout.block):
            columns = min(self._layout.block, n_out - begin)
            dy = self._dy[:, begin * wide : (begin + columns) * wide]
            rows = max(1, _BLOCK // (columns * high * wide))
            for row in range(0, n_in, rows):
                end = min(row + rows, n_in) * high
                sums = np.abs(self._x.product(row * high, end, dy)).reshape(-1, high, columns, wide).sum((1, 3)).ravel()
                yield Block(first, sums)
                first += len(sums)


def largest(blocks: Iterator[Block], count: int, taken: Places) -> tuple[Places, Floats]:
    """Return the `count` places outside `taken` with the largest magnitudes, ascending, and these.

    Of equal ones the first places are taken. Memory: O(count) and a block.

    Args:
        blocks: of all places, in order.
        count: number of places; there are at least as many.
        taken: places that do not count, ascending.
    """
    found: NDArray[Any] = np.empty(0, taken.dtype)
    scores: NDArray[Any] = np.empty(0, np.float32)
    least = -1.0  # magnitudes at or below cannot be among the largest any more
    for first, values in blocks if count else ():
        magnitude = np.abs(values)
        begin, end = np.searchsorted(taken, [first, first + len(values)])
        magnitude[taken[begin:end] - first] = -1.0
        better = np.flatnonzero(magnitude > least)
        found = np.concatenate([found, (better + first).astype(taken.dtype)])
        scores = np.concatenate([scores, magnitude[better]])
        if len(found) > count:
            stay = best(scores, count)
            found, scores = found[stay], scores[stay]
            least = float(scores.min())
    return found, scores


def best(scores: Floats, count: int) -> NDArray[np.intp]:
    """Return the indices of the `count` largest scores, ascending; of equal ones the first."""
    if count >= len(scores):
        return np.arange(len(scores))
    if not count:
        return np.empty(0, np.intp)
    limit = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = scores > limit
    equal = np.flatnonzero(scores == limit)[: count - int(np.count_nonzero(above))]
    above[equal] = True
    return np.flatnonzero(above)
