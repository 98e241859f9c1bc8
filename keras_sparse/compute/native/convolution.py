"""The native ops of convolutions as Python functions, and their gradients; see `ops`."""

from __future__ import annotations

from typing import Any, cast

import tensorflow as tf

from ..geometry import Geometry
from .ops import Stored, gated, native_ops, shaped, sizes, stored_index

Tensor = Any
_PADDINGS = ("valid", "same", "causal")


def convolve(
    images: Tensor,
    values: Tensor,
    index: Stored,
    geometry: Geometry,
    *,
    bias: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Return the convolution of `images` [batch, height, width, channels], finished.

    Args:
        images: of any float type; computed in float32.
        values: float32, [capacity].
        index: the stored connections.
        geometry: the shape of the convolution.
        bias: added to the result, float32 [filters].
        relu: let negative results become zero.
    """
    y = _convolve(tf.cast(images, tf.float32), values, bias, index, geometry, relu)
    return tf.cast(y, images.dtype)


def _convolve(x: Tensor, values: Tensor, bias: Tensor | None, index: Stored, geometry: Geometry, relu: bool) -> Tensor:
    y = native_ops().keras_sparse_conv(
        x,
        values,
        tf.zeros([0]) if bias is None else bias,
        index.ids,
        index.rows,
        relu=relu,
        with_bias=bias is not None,
        **_sizes(index, geometry),
    )
    lengths = [None if n is None else geometry.output(n, axis) for axis, n in enumerate(x.shape[1:3])]
    return shaped(y, x.shape[0], *lengths, geometry.filters)


def _sizes(index: Stored, geometry: Geometry) -> dict[str, int]:
    return {
        **sizes(index),
        "channels": geometry.channels,
        "groups": geometry.groups,
        "window_rows": geometry.size[0],
        "window_columns": geometry.size[1],
        "down": geometry.strides[0],
        "across": geometry.strides[1],
        "row_gap": geometry.dilation[0],
        "column_gap": geometry.dilation[1],
        "padding": _PADDINGS.index(geometry.padding),
    }


def _attributes(op: Any) -> tuple[Stored, Geometry]:
    index = stored_index(op)
    geometry = Geometry(
        channels=op.get_attr("channels"),
        filters=index.layout.shape[1],
        size=(op.get_attr("window_rows"), op.get_attr("window_columns")),
        strides=(op.get_attr("down"), op.get_attr("across")),
        dilation=(op.get_attr("row_gap"), op.get_attr("column_gap")),
        padding=_PADDINGS[op.get_attr("padding")],
        groups=op.get_attr("groups"),
    )
    return index, geometry


def _gradients(
    x: Tensor, y: Tensor, dy: Tensor, values: Tensor, index: Stored, geometry: Geometry, **flags: bool
) -> tuple[Tensor, Tensor, Tensor]:
    dx, dvalues, dbias = native_ops().keras_sparse_conv_gradients(
        x, y, dy, values, index.ids, index.rows, **flags, **_sizes(index, geometry)
    )
    return shaped(dx, *x.shape), shaped(dvalues, index.layout.capacity), _shaped_bias(dbias, geometry, flags)


def _outer(x: Tensor, y: Tensor, dy: Tensor, index: Stored, geometry: Geometry, **flags: bool) -> tuple[Tensor, Tensor]:
    dvalues, dbias = native_ops().keras_sparse_conv_outer(
        x, y, dy, index.ids, index.rows, **flags, **_sizes(index, geometry)
    )
    return shaped(dvalues, index.layout.capacity), _shaped_bias(dbias, geometry, flags)


def _shaped_bias(dbias: Tensor, geometry: Geometry, flags: dict[str, bool]) -> Tensor:
    return shaped(dbias, geometry.filters if flags["with_bias"] else 0)


@tf.RegisterGradient("KerasSparseConv")
def _convolve_gradient(op: Any, dy: Tensor) -> list[Tensor | None]:
    x, values = op.inputs[:2]
    index, geometry = _attributes(op)
    flags = {name: op.get_attr(name) for name in ("relu", "with_bias")}
    skipped = frozenset(cast(Any, getattr(op, "skip_input_indices", None)) or ())
    y = op.outputs[0] if flags["relu"] else dy
    if 0 in skipped:  # the first layer
        dx = None
        dvalues, dbias = _outer(x, y, dy, index, geometry, **flags)
    else:
        dx, dvalues, dbias = _gradients(x, y, dy, values, index, geometry, **flags)
    return [dx, dvalues, dbias if flags["with_bias"] else None, None, None]


# The backward is linear in dy, and in the values as far as dx is concerned, so its own gradients are of the same kind.


@tf.RegisterGradient("KerasSparseConvGradients")
def _gradients_gradient(op: Any, ddx: Tensor, ddvalues: Tensor, ddbias: Tensor) -> list[Tensor | None]:
    x, y, dy, values = op.inputs[:4]
    index, geometry = _attributes(op)
    by_x, by_dy = _outer_gradients(op, x, y, dy, ddvalues, ddbias)
    by_dy += gated(_convolve(ddx, values, None, index, geometry, False), y, op.get_attr("relu"))
    by_values, _ = _outer(ddx, dy, gated(dy, y, op.get_attr("relu")), index, geometry, relu=False, with_bias=False)
    return [by_x, None, by_dy, by_values, None, None]


@tf.RegisterGradient("KerasSparseConvOuter")
def _outer_gradient(op: Any, ddvalues: Tensor, ddbias: Tensor) -> list[Tensor | None]:
    x, y, dy = op.inputs[:3]
    by_x, by_dy = _outer_gradients(op, x, y, dy, ddvalues, ddbias)
    return [by_x, None, by_dy, None, None]


def _outer_gradients(
    op: Any, x: Tensor, y: Tensor, dy: Tensor, ddvalues: Tensor, ddbias: Tensor
) -> tuple[Tensor, Tensor]:
    index, geometry = _attributes(op)
    by_dy = _convolve(x, ddvalues, None, index, geometry, False)
    if op.get_attr("with_bias"):
        by_dy += ddbias
    right = gated(dy, y, op.get_attr("relu"))
    by_x, _, _ = _gradients(x, right, right, ddvalues, index, geometry, relu=False, with_bias=False)
    return by_x, gated(by_dy, y, op.get_attr("relu"))
