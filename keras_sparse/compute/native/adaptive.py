"""Native or dense, decided at run time: for kernels so full that a large batch is multiplied faster by the matrix.

The batch may be unknown when a graph is traced, and a policy may shrink the kernel while it trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import tensorflow as tf

from ..dispatch import BUILD_BATCH, BUILD_DENSITY
from ..paths import finished
from . import dense, multiply, operands, ops, outer, prepare
from .ops import Stored

__all__ = ["multiply", "operands", "outer", "prepare", "product"]
Tensor = Any


def product(
    x: Tensor,
    values: Tensor,
    index: Stored,
    shape: tuple[int, int],
    *,
    transpose: bool,
    bias: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Return x W + bias, rectified with `relu`, or x Wᵀ; the matrix is built once for the forward and the backward."""

    @tf.custom_gradient
    def multiplied(x: Tensor, values: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, Tensor]]]:
        batch, least = tf.shape(x, out_type=tf.int64)[0], round(BUILD_DENSITY * shape[0] * shape[1])
        full = tf.logical_and(index.rows[-1] >= least, batch >= BUILD_BATCH)
        matrix = tf.cond(full, lambda: ops.to_dense(values, index, x.dtype), lambda: tf.zeros([0, 0], x.dtype))

        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            left, right = (dy, x) if transpose else (x, dy)

            def by_matrix() -> tuple[Tensor, Tensor]:
                dx = tf.matmul(dy, matrix, transpose_b=not transpose)
                return dx, tf.cast(dense.outer(left, right, index, shape), tf.float32)

            def by_connections() -> tuple[Tensor, Tensor]:
                if not transpose:
                    return ops.gradients(x, dy, values, index)
                return ops.multiply(dy, values, index, transpose=False), ops.outer(left, right, index)

            dx, dvalues = tf.cond(full, by_matrix, by_connections)
            return ops.shaped(dx, *x.shape), dvalues

        y = tf.cond(
            full,
            lambda: tf.matmul(x, matrix, transpose_b=transpose),
            lambda: ops.multiply(x, values, index, transpose=transpose),
        )
        return y, gradient

    y: Tensor = cast(Any, multiplied)(x, values)
    return finished(ops.shaped(y, x.shape[0], shape[0 if transpose else 1]), bias, relu)
