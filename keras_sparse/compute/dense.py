"""The dense path: build the matrix for the moment of the product and let the backend multiply.

The parameters stay sparse; the matrix lives during one forward and backward. Allowed only under the cap of
`dispatch.dense_allowed`. Absent connections multiply as zeros, so a non-finite input reaches every output.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..topology.layout import Layout
from . import decoding
from .paths import Operands

Tensor = Any


def operands(ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the decoded connections."""
    return decoding.operands(index, ids, rows, layout)


def index(inputs: Tensor, outputs: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return flat positions, input · n_out + output, [K]."""
    return inputs * shape[1] + outputs


def matrix(values: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the matrix [n_in, n_out]."""
    flat = tf.scatter_nd(index[:, None], values, tf.constant([shape[0] * shape[1]], tf.int64))
    return tf.reshape(flat, shape)


prepare = matrix


def multiply(x: Tensor, operand: Tensor, shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    del shape
    return tf.matmul(x, operand, transpose_b=transpose)


def outer(x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [K], picked from the dense product."""
    return tf.gather(tf.reshape(tf.matmul(x, y, transpose_a=True), [shape[0] * shape[1]]), index)
