"""The dense path of Keras' other backends: build the matrix in `keras.ops` and let the backend multiply.

As `dense`, for backends other than TensorFlow; but it is the backend that differentiates, so that in a loop the matrix
is built once, and its gradient picked once.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from ..topology.layout import Layout
from . import decoding, generic
from .paths import Operands

Tensor = Any
differentiated = True


def operands(ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the decoded connections."""
    return decoding.operands(index, ids, rows, layout)


def index(inputs: Tensor, outputs: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return flat positions, input · n_out + output, [K]; connections beyond the count lie past the end."""
    return ops.minimum(inputs * shape[1] + outputs, shape[0] * shape[1])


def matrix(values: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the matrix [n_in, n_out]."""
    size = shape[0] * shape[1]
    return ops.reshape(generic.summed(values, index, size + 1)[:size], shape)


prepare = matrix


def multiply(x: Tensor, operand: Tensor, shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    del shape
    return x @ (ops.transpose(operand) if transpose else operand)  # Keras' matmul makes float64 float32 on PyTorch


def outer(x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [K], picked from the dense product; past the end it is 0."""
    size = shape[0] * shape[1]
    product = ops.reshape(ops.transpose(x) @ y, [size])
    return ops.where(index < size, ops.take(product, ops.minimum(index, size - 1)), ops.zeros((), x.dtype))
