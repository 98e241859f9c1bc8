"""The convolution of images with a sparse kernel, differentiable in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from keras import ops

from . import recording, taps
from .dispatch import Choice
from .geometry import Geometry
from .paths import DecodedPath, MatrixPath, Operands, Path, finished

Tensor = Any


def convolve(
    choice: Choice,
    path: Path,
    operands: Operands,
    images: Tensor,
    values: Tensor,
    geometry: Geometry,
    *,
    bias: Tensor | None = None,
    relu: bool = False,
    differentiable: bool = True,
    on_backward: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return the convolution of `images` plus the bias, [batch, height, width, filters].

    Args:
        choice: from `dispatch_convolution.choose`.
        path: its module.
        operands: the connections, from `path.operands`.
        images: [batch, height, width, channels].
        values: weights of the connections, [capacity].
        geometry: the shape of the convolution.
        bias: added to the result, [filters].
        relu: let negative results become zero.
        differentiable: not for exported graphs, which hold no custom gradients.
        on_backward: called with the gradient of the result before bias and ReLU, and the images.
    """
    if choice.path == "native":
        from .native import convolution as native

        if on_backward is None:
            return native.convolve(images, values, operands.index, geometry, bias=bias, relu=relu)
        y = native.convolve(images, values, operands.index, geometry)
    elif choice.path == "dense":
        matrix = cast(MatrixPath, path).matrix(operands.fit(values), operands.index, geometry.shape)
        y = by_matrix(images, ops.cast(matrix, images.dtype), geometry)
    else:
        way = taps.convolve if differentiable else taps.forward
        y = way(cast(DecodedPath, path), operands, images, values, geometry)
    if on_backward is not None:
        y = recording.watched(y, on_backward, images)
    return finished(y, bias, relu)


def by_matrix(images: Tensor, matrix: Tensor, geometry: Geometry) -> Tensor:
    """Return the backend's convolution of `images` with the whole kernel, [n_in, n_out]."""
    window = ops.reshape(matrix, [*geometry.size, geometry.group_channels, geometry.filters])
    padding = geometry.padding
    if padding == "causal":
        images = ops.pad(images, [(0, 0), *(geometry.pads(0, axis) for axis in range(2)), (0, 0)])
        padding = "valid"
    return ops.conv(
        images,
        window,
        strides=cast(Any, geometry.strides),
        padding=padding,
        data_format="channels_last",
        dilation_rate=cast(Any, geometry.dilation),
    )
