"""The generic path: gather and segment sum in `keras.ops`, sample by sample. Slow, obvious, on every backend.

Memory is O(connections) whatever the batch. Connections beyond the count lie at (n_in, n_out), where sums are
cut off (see `decoding.positions`), so that all sizes are static.
"""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def index(inputs: Tensor, outputs: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return [2, K]: inputs over outputs."""
    del shape
    return ops.stack([inputs, outputs])


def prepare(values: Tensor, index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the operand: values and index as they are."""
    del shape
    return values, index


def multiply(x: Tensor, operand: tuple[Tensor, Tensor], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    values, places = operand
    source, target = (places[1], places[0]) if transpose else (places[0], places[1])
    size = shape[0] if transpose else shape[1]

    def one(sample: Tensor) -> Tensor:
        terms = ops.take(_with_end(sample), source) * values
        return ops.segment_sum(terms, target, num_segments=size + 1)[:size]

    return ops.map(one, x)


def outer(x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [K]; connections at (n_in, n_out) get 0."""
    del shape

    def add(carry: Tensor, sample: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        term = ops.take(_with_end(sample[0]), index[0]) * ops.take(_with_end(sample[1]), index[1])
        return carry + term, None

    start = ops.zeros([index.shape[1]], x.dtype) if index.shape[1] is not None else ops.zeros_like(index[0], x.dtype)
    return ops.scan(add, start, (x, y))[0]


def _with_end(sample: Tensor) -> Tensor:
    """Append the zero that connections beyond the count read."""
    return ops.pad(sample, [[0, 1]])
