"""The inputs of a kernel in one or more products: the left factor X of its dense gradient Xᵀ dY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..compute.geometry import Geometry
from ..topology.connectivity import Int64

Floats = NDArray[np.floating[Any]]


class Inputs(Protocol):
    """A matrix X [samples, n_in] that need not exist."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def finite(self) -> bool:
        """Return whether all numbers are."""
        ...

    def columns(self, inputs: Int64) -> Floats:
        """Return X[:, inputs]."""
        ...

    def product(self, begin: int, end: int, dy: Floats) -> Floats:
        """Return X[:, begin:end]ᵀ dy, for dy [samples, n]."""
        ...


class Matrix:
    """Inputs that are there as a matrix, [samples, n_in]."""

    def __init__(self, x: Floats) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    def finite(self) -> bool:
        """Return whether all numbers are."""
        return bool(np.all(np.isfinite(self._x)))

    def columns(self, inputs: Int64) -> Floats:
        """Return X[:, inputs]."""
        return self._x[:, inputs]

    def product(self, begin: int, end: int, dy: Floats) -> Floats:
        """Return X[:, begin:end]ᵀ dy."""
        return self._x[:, begin:end].T @ dy


class Patches:
    """What the window of a convolution without groups sees: a sample for every position, an input for every tap.

    Only the images are kept. What a tap sees of them is copied for the moment of a product, so that memory stays a few
    times that of the images.

    Args:
        images: one array [batch, height, width, channels] for each time the kernel was used.
        geometry: the shape of the convolution.
    """

    def __init__(self, images: Sequence[Floats], geometry: Geometry) -> None:
        self._geometry = geometry
        self._padded, self._outputs = [], []
        for part in images:
            lengths = part.shape[1:3]
            pads = [geometry.pads(length, axis) for axis, length in enumerate(lengths)]
            self._padded.append(np.pad(part, [(0, 0), *pads, (0, 0)]))
            self._outputs.append([geometry.output(length, axis) for axis, length in enumerate(lengths)])

    def __len__(self) -> int:
        return sum(len(part) * high * wide for part, (high, wide) in zip(self._padded, self._outputs, strict=True))

    def finite(self) -> bool:
        """Return whether all numbers are."""
        return all(bool(np.all(np.isfinite(part))) for part in self._padded)

    def columns(self, inputs: Int64) -> Floats:
        """Return X[:, inputs]."""
        columns = np.empty((len(self), len(inputs)), np.float32)
        for number, place in enumerate(inputs):
            tap, channel = divmod(int(place), self._geometry.channels)
            columns[:, number] = self._seen(tap, channel, channel + 1)[:, 0]
        return columns

    def product(self, begin: int, end: int, dy: Floats) -> Floats:
        """Return X[:, begin:end]ᵀ dy, tap by tap."""
        return np.concatenate([self._seen(*piece).T @ dy for piece in self._pieces(begin, end)])

    def _pieces(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (tap, first channel, end of the channels) of the inputs from `begin` to `end`."""
        channels = self._geometry.channels
        for tap in range(begin // channels, -(-end // channels)):
            yield tap, max(begin - tap * channels, 0), min(end - tap * channels, channels)

    def _seen(self, tap: int, first: int, end: int) -> Floats:
        """Return what a tap sees of some channels, [samples, channels]."""
        below, right = self._geometry.offset(tap)
        down, across = self._geometry.strides
        views = [
            part[
                :,
                below : below + (high - 1) * down + 1 : down,
                right : right + (wide - 1) * across + 1 : across,
                first:end,
            ].reshape(-1, end - first)
            for part, (high, wide) in zip(self._padded, self._outputs, strict=True)
        ]
        return views[0] if len(views) == 1 else np.concatenate(views)
