"""The dense path where the native library is at hand: it fills the matrix and picks the connections from its gradient.

Several times faster than the scatter and gather of `compute.dense`, which it otherwise equals.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from . import operands, ops
from .ops import Stored

__all__ = ["matrix", "multiply", "operands", "outer", "prepare"]
Tensor = Any


def matrix(values: Tensor, index: Stored, shape: tuple[int, int]) -> Tensor:
    """Return the matrix [n_in, n_out] in the dtype of `values`."""
    del shape
    return ops.to_dense(tf.cast(values, tf.float32), index, values.dtype)


def prepare(values: Tensor, index: Stored, shape: tuple[int, int]) -> tuple[Tensor, Stored]:
    """Return the matrix and the index."""
    return matrix(values, index, shape), index


def multiply(x: Tensor, operand: tuple[Tensor, Stored], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    del shape
    return tf.matmul(x, operand[0], transpose_b=transpose)


def outer(x: Tensor, y: Tensor, index: Stored, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [capacity], picked from the dense product."""
    del shape
    return tf.cast(ops.from_dense(tf.matmul(x, y, transpose_a=True), index), x.dtype)
