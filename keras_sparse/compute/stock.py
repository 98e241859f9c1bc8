"""The stock path: TensorFlow's own sparse ops, so that a graph runs wherever TensorFlow does."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..topology.layout import Layout
from . import decoding
from .paths import Operands

Tensor = Any
_BLOCK_ELEMENTS = 2**20  # of each gathered block in `outer`: 4 MiB of float32


def positions(ids: Tensor, rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return (inputs [K], outputs [K]), int64, of the connections stored in packed `ids` and `rows`."""
    n_in, _ = layout.shape
    count = rows[-1]
    # The row of a connection is the number of row starts at or before its place.
    starts = tf.scatter_nd(rows[1:-1, None], tf.ones_like(rows[1:-1]), tf.reshape(count + 1, [1]))
    row = tf.cumsum(starts)[:-1]
    dtype = tf.uint16 if layout.id_bits == 16 else tf.uint32
    local = tf.cast(tf.reshape(tf.bitcast(ids, dtype), [-1])[:count], tf.int64)
    if layout.blocks == 1:
        return row, local
    block = row // n_in
    return row - block * n_in, block * layout.block + local


def operands(ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the decoded connections."""
    return decoding.operands(index, ids, rows, layout)


def index(inputs: Tensor, outputs: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return [K, 2] pairs (input, output)."""
    del shape
    return tf.stack([inputs, outputs], axis=1)


def prepare(values: Tensor, index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the operand: values and pairs as they are."""
    del shape
    return values, index


def multiply(x: Tensor, operand: tuple[Tensor, Tensor], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ; low-precision floats are accumulated in float32."""
    values, pairs = operand
    wide = _wide(x.dtype)
    product = tf.raw_ops.SparseTensorDenseMatMul(
        a_indices=pairs,
        a_values=tf.cast(values, wide),
        a_shape=tf.constant(shape, tf.int64),
        b=tf.transpose(tf.cast(x, wide)),
        adjoint_a=not transpose,
    )
    return tf.cast(tf.transpose(product), x.dtype)


def outer(x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [K], in blocks of connections: never [K, batch] at once."""
    del shape
    dtype, wide = x.dtype, _wide(x.dtype)
    x, y = tf.transpose(tf.cast(x, wide)), tf.transpose(tf.cast(y, wide))
    count = tf.shape(index)[0]
    block = tf.maximum(1, tf.minimum(count, _BLOCK_ELEMENTS // tf.maximum(1, tf.shape(x)[1])))

    def one(number: Tensor) -> Tensor:
        pairs = index[number * block : (number + 1) * block]
        sums = tf.reduce_sum(tf.gather(x, pairs[:, 0]) * tf.gather(y, pairs[:, 1]), axis=1)
        return tf.pad(sums, tf.reshape(tf.stack([0, block - tf.shape(sums)[0]]), [1, 2]))

    blocks = tf.map_fn(
        one,
        tf.range(tf.maximum(1, (count + block - 1) // block)),
        fn_output_signature=tf.TensorSpec([None], wide),
        parallel_iterations=2,
    )
    return tf.cast(tf.reshape(blocks, [-1])[:count], dtype)


def _wide(dtype: tf.DType) -> tf.DType:
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype
