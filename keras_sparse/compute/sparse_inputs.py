"""The product of sparse activations with a sparse kernel: only pairs of a number and a connection that meet are seen.

TensorFlow only. Bags of words, one-hot genetics: most inputs of a sample are zero, so most connections have nothing to
multiply. Work and memory go by the pairs, nnz · K / n_in on average, and memory not even by those: they are taken in
parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ..topology.layout import Layout
from . import recording
from .native import ops

Tensor = Any
_PAIRS = 2**21  # looked at together, about: some 60 MB


class _Part(NamedTuple):
    """Some of the pairs; each an entry of x and a connection of its input.

    Attributes:
        entry: the entry of x, [P].
        place: the connection, [P].
        at: where in the flattened outputs [batch · n_out] their product goes, [P].
    """

    entry: Tensor
    place: Tensor
    at: Tensor


class _Pairs:
    """All pairs of an entry of x and a connection.

    Args:
        at: (sample, input) of the entries, [nnz, 2].
        ids: packed local output ids, see `Layout`.
        rows: row pointers.
        layout: of the kernel.
    """

    def __init__(self, at: Tensor, ids: Tensor, rows: Tensor, layout: Layout) -> None:
        narrow = tf.uint16 if layout.id_bits == 16 else tf.uint32
        self._ids, self._layout = tf.reshape(tf.bitcast(ids, narrow), [-1]), layout
        self._samples = at[:, 0]
        self._blocks = tf.range(layout.blocks, dtype=tf.int64)[None, :]
        self._first = at[:, 1:] + self._blocks * layout.shape[0]  # rows of an entry, [nnz, blocks]
        self._begin = tf.gather(rows, self._first)
        self._length = tf.gather(rows, self._first + 1) - self._begin
        longest = tf.reduce_max(tf.concat([[1], tf.reduce_sum(self._length, 1)], 0))
        self._entries = tf.shape(at, tf.int64)[0]
        self._step = tf.maximum(tf.constant(1, tf.int64), _PAIRS // longest)

    def multiply(self, numbers: Tensor, values: Tensor, batch: Tensor) -> Tensor:
        """Return x W."""
        n_out = self._layout.shape[1]

        def forward(part: _Part) -> tuple[Tensor]:
            terms = tf.gather(numbers, part.entry) * tf.gather(values, part.place)
            return (tf.math.unsorted_segment_sum(terms, part.at, batch * n_out),)

        (flat,) = self._sum(forward, (tf.zeros([batch * n_out], numbers.dtype),))
        return tf.reshape(flat, [batch, n_out])

    def gradients(self, dy: Tensor, numbers: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the numbers and of the values."""
        flat = tf.reshape(dy, [-1])

        def backward(part: _Part) -> tuple[Tensor, Tensor]:
            right = tf.gather(flat, part.at)
            by_entry, by_place = tf.gather(values, part.place) * right, tf.gather(numbers, part.entry) * right
            return (
                tf.math.unsorted_segment_sum(by_entry, part.entry, self._entries),
                tf.math.unsorted_segment_sum(by_place, part.place, self._layout.capacity),
            )

        dnumbers, dvalues = self._sum(backward, (tf.zeros_like(numbers), tf.zeros_like(values)))
        return dnumbers, dvalues

    def _part(self, number: Tensor) -> _Part:
        """Return the pairs of the entries of one part."""
        first, blocks = number * self._step, self._layout.blocks
        entry = tf.range(first, tf.minimum(first + self._step, self._entries), dtype=tf.int64)
        begin = tf.reshape(tf.gather(self._begin, entry), [-1])
        length = tf.reshape(tf.gather(self._length, entry), [-1])
        owner = tf.repeat(tf.range(tf.shape(length, tf.int64)[0], dtype=tf.int64), length)
        before = tf.cumsum(length, exclusive=True)
        place = tf.range(tf.shape(owner, tf.int64)[0], dtype=tf.int64) + tf.gather(begin - before, owner)
        local = tf.cast(tf.gather(self._ids, place), tf.int64)
        base = tf.gather(self._samples, entry)[:, None] * self._layout.shape[1] + self._blocks * self._layout.block
        at = local + tf.gather(tf.reshape(base, [-1]), owner)
        return _Part(tf.gather(entry, owner // blocks if blocks > 1 else owner), place, at)

    def _sum(self, term: Callable[[_Part], tuple[Tensor, ...]], start: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return `start` plus the terms of all parts."""

        def body(number: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
            terms = term(self._part(number))
            return number + 1, *(total + more for total, more in zip(sums, terms, strict=True))

        parts = (self._entries + self._step - 1) // self._step
        zero = tf.constant(0, tf.int64)
        return tf.while_loop(lambda number, *_: number < parts, body, (zero, *start), parallel_iterations=1)[1:]


def matmul(
    x: tf.SparseTensor,
    values: Tensor,
    ids: Tensor,
    rows: Tensor,
    layout: Layout,
    *,
    native: bool = False,
    exported: bool = False,
    on_backward: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return x W, [batch, n_out], differentiable in the numbers of x and in `values`.

    Args:
        x: [batch, n_in], no position twice; in the dtype of the result.
        values: weights of the connections, [capacity].
        ids: packed local output ids.
        rows: row pointers.
        layout: of the kernel.
        native: use own CPU kernels.
        exported: trace no custom gradient.
        on_backward: called with x, dense, and the gradient of the outputs.
    """
    wide = tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
    numbers, values = tf.cast(x.values, wide), tf.cast(values, wide)
    batch = x.dense_shape[0]
    if native:
        y = ops.multiply_entries(x.indices, numbers, batch, values, ops.Stored(ids, rows, layout))
    else:
        pairs = _Pairs(x.indices, ids, rows, layout)
        y = pairs.multiply(numbers, values, batch) if exported else _differentiable(pairs, numbers, values, batch)
    y.set_shape([x.shape[0], layout.shape[1]])
    if on_backward is not None:
        y = recording.watched(y, lambda dy, _: on_backward(tf.sparse.to_dense(x), dy), numbers)
    return tf.cast(y, x.dtype)


def _differentiable(pairs: _Pairs, numbers: Tensor, values: Tensor, batch: Tensor) -> Tensor:
    @tf.custom_gradient
    def product(numbers: Tensor, values: Tensor) -> Any:
        return pairs.multiply(numbers, values, batch), lambda dy: pairs.gradients(dy, numbers, values)

    return product(numbers, values)
