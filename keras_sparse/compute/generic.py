"""The generic path: gather and segment sum in `keras.ops`, sample by sample. Slow, obvious, on every backend.

Memory is O(connections) whatever the batch. Connections beyond the count lie at (n_in, n_out), where sums are
cut off (see `decoding.positions`), so that all sizes are static.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from ..topology.layout import Layout
from . import decoding
from .paths import Operands

Tensor = Any


def operands(ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the decoded connections."""
    return decoding.operands(index, ids, rows, layout)


def index(inputs: Tensor, outputs: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return [2, K]: inputs over outputs."""
    del shape
    return ops.stack([inputs, outputs])


def prepare(values: Tensor, index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the operand: values and index as they are."""
    del shape
    return values, index


def matrix(values: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the matrix [n_in, n_out]."""
    # Connections beyond the count lie past the end, and end up in the place that is cut off.
    size = shape[0] * shape[1]
    flat = ops.minimum(index[0] * shape[1] + index[1], size)
    return ops.reshape(ops.scatter(flat[:, None], values, (size + 1,))[:size], shape)


def multiply(x: Tensor, operand: tuple[Tensor, Tensor], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    values, places = operand
    source, target = (places[1], places[0]) if transpose else (places[0], places[1])
    size = shape[0] if transpose else shape[1]

    def one(sample: Tensor) -> Tensor:
        terms = ops.take(_with_end(sample), source) * values
        return ops.segment_sum(terms, target, num_segments=size + 1)[:size]

    # One zero sample more than there are: Keras' map does not take an empty batch.
    return ops.map(one, ops.pad(x, [[0, 1], [0, 0]]))[:-1]


def outer(x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [K]; connections at (n_in, n_out) get 0."""

    def add(carry: Tensor, sample: Tensor) -> tuple[Tensor, None]:
        left, right = sample[: shape[0]], sample[shape[0] :]
        return carry + ops.take(_with_end(left), index[0]) * ops.take(_with_end(right), index[1]), None

    start = ops.zeros_like(index[0], x.dtype)
    # One array, because Keras' scan over several fails where the batch size is unknown.
    return ops.scan(add, start, ops.concatenate([x, y], axis=1))[0]


def _with_end(sample: Tensor) -> Tensor:
    """Append the zero that connections beyond the count read."""
    return ops.pad(sample, [[0, 1]])
