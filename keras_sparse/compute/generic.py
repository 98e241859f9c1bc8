"""The generic path: gather and segment sum in `keras.ops` alone. Obvious, on every backend, whatever the size.

Connections are taken in parts, so that what is gathered for them and the samples of a batch stays within a few MiB, or
the size of the activations where that is more. Connections beyond the count lie at (n_in, n_out), where sums are cut
off (see `decoding.positions`), so that all sizes are static.
"""

from __future__ import annotations

from typing import Any, cast

import keras
from keras import ops

from ..topology.layout import Layout
from . import decoding
from .paths import Operands

Tensor = Any
_PART = 2**21  # numbers gathered together: 8 MiB of float32


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


def multiply(x: Tensor, operand: tuple[Tensor, Tensor], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ; low-precision floats are accumulated in float32."""
    values, places = operand
    size = shape[0] if transpose else shape[1]
    wide = wide_dtype(x.dtype)
    columns = _with_end(ops.cast(x, wide))  # [inputs + 1, batch]
    step = _step(places, columns, size)
    parts = _parts(places, step, shape)
    weights = _divided(ops.cast(values, wide), step)

    def add(number: Tensor, total: Tensor) -> Tensor:
        source, target = (parts[number, 1], parts[number, 0]) if transpose else (parts[number, 0], parts[number, 1])
        return summed(ops.take(columns, source, axis=0) * weights[number][:, None], target, size + 1, total)

    start = ops.zeros((size + 1, ops.shape(columns)[1]), wide)
    total = ops.fori_loop(0, ops.shape(parts)[0], add, start)
    return ops.cast(ops.transpose(total[:size]), x.dtype)


def outer(x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [K]; connections at (n_in, n_out) get 0."""
    wide = wide_dtype(x.dtype)
    left, right = _with_end(ops.cast(x, wide)), _with_end(ops.cast(y, wide))
    step = _step(index, left)

    def sums(part: Tensor) -> Tensor:
        return ops.sum(ops.take(left, part[0], axis=0) * ops.take(right, part[1], axis=0), axis=1)

    found = ops.reshape(ops.map(sums, _parts(index, step, shape)), [-1])
    return ops.cast(found[: ops.shape(index)[1]], x.dtype)


def summed(terms: Tensor, at: Tensor, count: int, total: Tensor | None = None) -> Tensor:
    """Return [count, ...]: the sums of the `terms` [K, ...] that lie `at` the same number, added to `total` if given.

    `total` may be overwritten.
    """
    if keras.backend.backend() == "torch":  # its segment_sum writes an index for every number
        if total is not None:
            return total.index_add_(0, at, terms)
        start: Tensor = ops.zeros((count, *terms.shape[1:]), terms.dtype)
        return start.scatter_add(0, at, terms) if terms.ndim == 1 else start.index_add(0, at, terms)
    sums = ops.segment_sum(terms, at, num_segments=count)
    return sums if total is None else ops.add(total, sums)


def wide_dtype(dtype: Any) -> str:
    """Return the dtype in which numbers of `dtype` are summed."""
    name = keras.backend.standardize_dtype(dtype)
    return "float32" if name in ("float16", "bfloat16") else name


def _with_end(x: Tensor) -> Tensor:
    """Return [n + 1, batch]: a row for every unit, and the zeros that connections beyond the count read."""
    return ops.pad(ops.transpose(x), [[0, 1], [0, 0]])


def _step(index: Tensor, columns: Tensor, size: int = 1) -> Any:
    """Return how many connections to look at together; `size` rows are added up to for each part."""
    count, batch = cast(Any, ops.shape(index)[1]), cast(Any, ops.shape(columns)[1])
    if isinstance(count, int) and isinstance(batch, int):
        return max(1, min(count, max(size, _PART // max(1, batch))))
    samples: Tensor = ops.maximum(1, batch)
    fits: Tensor = ops.maximum(size, _PART // samples)
    return ops.maximum(1, ops.minimum(count, fits))


def _parts(index: Tensor, step: Any, shape: tuple[int, int]) -> Tensor:
    """Return [parts, 2, step]; what is missing in the last part lies at (n_in, n_out)."""
    both = [_divided(places, step, end) for places, end in zip((index[0], index[1]), shape, strict=True)]
    return ops.stack(both, axis=1)


def _divided(array: Tensor, step: Any, end: Any = 0) -> Tensor:
    """Return [K] as [parts, step], at least one part, with `end` where there is nothing."""
    count = ops.shape(array)[0]
    parts = -(-count // step)
    parts = max(1, parts) if isinstance(parts, int) else ops.maximum(1, parts)
    return ops.reshape(ops.pad(array, [[0, parts * step - count]], constant_values=end), [parts, step])
