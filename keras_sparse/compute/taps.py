"""A convolution as the sum, over the taps of its window, of products with the image as that tap sees it.

Works on every path that multiplies with positions (`paths.DecodedPath`), `stock` and `generic`. Memory is a few
times that of the images, whatever the size of the window: patches are never laid out, and the backward looks at the
image again instead of keeping what each tap saw. The products of low-precision images are summed in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple, cast

import keras
from keras import ops

from . import generic
from .geometry import Geometry
from .paths import DecodedPath, Operands

Tensor = Any


class _Tap(NamedTuple):
    """The connections of one tap, as a kernel [channels, filters].

    Attributes:
        index: in the form of the path.
        pick: takes what belongs to all connections to what belongs to those of the tap.
        place: takes what belongs to those of the tap to all, with zeros elsewhere.
    """

    index: Tensor
    pick: Callable[[Tensor], Tensor]
    place: Callable[[Tensor], Tensor]


class _Frame:
    """Images of one size as the taps of a window see them."""

    def __init__(self, geometry: Geometry, images: Tensor) -> None:
        self._geometry = geometry
        self._batch, *self._lengths, _ = cast(Any, ops.shape(images))
        self._pads = [geometry.pads(length, axis) for axis, length in enumerate(self._lengths)]
        self._outputs = [geometry.output(length, axis) for axis, length in enumerate(self._lengths)]

    def padded(self, images: Tensor) -> Tensor:
        """Return the images with the zeros around them."""
        return ops.pad(images, [(0, 0), *self._pads, (0, 0)])

    def unpadded(self, images: Tensor) -> Tensor:
        """Return the images without what `padded` added."""
        (top, _), (left, _) = self._pads
        return images[:, top : top + self._lengths[0], left : left + self._lengths[1]]

    def seen(self, padded: Tensor, tap: int) -> Tensor:
        """Return what a tap sees at every output position, [positions, channels]."""
        rows, columns = (
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(
                self._geometry.offset(tap), self._outputs, self._geometry.strides, strict=True
            )
        )
        return ops.reshape(padded[:, rows, columns], [-1, self._geometry.channels])

    def spread(self, seen: Tensor, tap: int) -> Tensor:
        """Return the transpose of `seen`: padded images with what the tap saw where it saw it, and zeros."""
        (high, wide), (down, right) = self._outputs, self._geometry.strides
        images = ops.reshape(seen, [-1, high, wide, self._geometry.channels])
        if (down, right) != (1, 1):
            gaps = [(0, 0), (0, 0), (0, down - 1), (0, 0), (0, right - 1), (0, 0)]
            images = ops.pad(images[:, :, None, :, None], gaps)
            images = ops.reshape(images, [-1, high * down, wide * right, self._geometry.channels])
            images = images[:, : (high - 1) * down + 1, : (wide - 1) * right + 1]
        around = [
            (start, length + before + after - start - (count - 1) * stride - 1)
            for start, length, (before, after), count, stride in zip(
                self._geometry.offset(tap),
                self._lengths,
                self._pads,
                self._outputs,
                self._geometry.strides,
                strict=True,
            )
        ]
        return ops.pad(images, [(0, 0), *around, (0, 0)])

    def images(self, positions: Tensor) -> Tensor:
        """Return [positions, filters] as images."""
        return ops.reshape(positions, [self._batch, *self._outputs, self._geometry.filters])


def convolve(path: DecodedPath, operands: Operands, images: Tensor, values: Tensor, geometry: Geometry) -> Tensor:
    """Return the convolution of `images` [batch, height, width, channels], differentiable.

    Args:
        path: `stock` or `generic`.
        operands: the kernel's connections, from `path.operands`.
        images: what is convolved.
        values: weights of the connections, [capacity].
        geometry: the shape of the convolution.
    """

    @ops.custom_gradient
    def convolved(images: Tensor, values: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, Tensor]]]:
        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
            dy = args[0] if upstream is None else upstream
            return _gradients(path, operands, images, values, dy, geometry)

        return forward(path, operands, images, values, geometry), gradient

    return convolved(images, values)


def forward(path: DecodedPath, operands: Operands, images: Tensor, values: Tensor, geometry: Geometry) -> Tensor:
    """Return the convolution, for a graph that is never differentiated."""
    shape = geometry.channels, geometry.filters
    frame = _Frame(geometry, images)
    padded, weights = frame.padded(_wide(images)), operands.fit(_wide(values))
    total = None
    for tap, part in _taps(path, operands.index, geometry):
        with _after(total):
            operand = path.prepare(part.pick(weights), part.index, shape)
            product = path.multiply(frame.seen(padded, tap), operand, shape, transpose=False)
            total = product if total is None else total + product
    return ops.cast(frame.images(total), images.dtype)


def _gradients(
    path: DecodedPath, operands: Operands, images: Tensor, values: Tensor, dy: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    shape = geometry.channels, geometry.filters
    frame = _Frame(geometry, images)
    padded, weights = frame.padded(_wide(images)), operands.fit(_wide(values))
    positions = ops.reshape(_wide(dy), [-1, geometry.filters])
    dx = dvalues = None
    for tap, part in _taps(path, operands.index, geometry):
        with _after(dvalues):
            operand = path.prepare(part.pick(weights), part.index, shape)
            spread = frame.spread(path.multiply(positions, operand, shape, transpose=True), tap)
            dx = spread if dx is None else dx + spread
            outer = part.place(path.outer(frame.seen(padded, tap), positions, part.index, shape))
            dvalues = outer if dvalues is None else dvalues + outer
    return ops.cast(frame.unpadded(dx), images.dtype), ops.cast(operands.unfit(dvalues), values.dtype)


def _taps(path: DecodedPath, index: Tensor, geometry: Geometry) -> Iterator[tuple[int, _Tap]]:
    """Yield the taps that can have connections, each with its own."""
    static = path is generic
    inputs, outputs = (index[0], index[1]) if static else (index[:, 0], index[:, 1])
    taps = inputs // geometry.group_channels
    group = outputs // (geometry.filters // geometry.groups)
    channels = group * geometry.group_channels + inputs % geometry.group_channels
    for tap in range(geometry.taps):
        yield tap, (_masked if static else _selected)(path, taps == tap, channels, outputs, geometry)


def _selected(path: DecodedPath, mine: Tensor, channels: Tensor, outputs: Tensor, geometry: Geometry) -> _Tap:
    import tensorflow as tf

    chosen = tf.where(mine)
    index = path.index(
        tf.gather_nd(channels, chosen), tf.gather_nd(outputs, chosen), (geometry.channels, geometry.filters)
    )
    count = tf.shape(mine, out_type=tf.int64)
    return _Tap(index, lambda all_: tf.gather_nd(all_, chosen), lambda some: tf.scatter_nd(chosen, some, count))


def _masked(path: DecodedPath, mine: Tensor, channels: Tensor, outputs: Tensor, geometry: Geometry) -> _Tap:
    # Those of other taps lie where sums are cut off, so that sizes are static.
    shape = geometry.channels, geometry.filters
    index = path.index(ops.where(mine, channels, shape[0]), ops.where(mine, outputs, shape[1]), shape)
    return _Tap(index, lambda all_: all_, lambda some: some)


def _wide(tensor: Tensor) -> Tensor:
    half = keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
    return ops.cast(tensor, "float32") if half else tensor


def _after(tensor: Tensor) -> Any:
    """Let TensorFlow work tap by tap; it would lay out what all taps see at once."""
    if tensor is None or keras.backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    return tf.control_dependencies([tensor])
