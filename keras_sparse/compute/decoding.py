"""From the stored index (packed ids, row pointers) to the positions of the connections, inside a graph."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from ..topology.layout import Layout
from .paths import Operands, Tensor

# TensorFlow places no int32 variable on a GPU; JAX holds no 64-bit integers by default.
WORD_BITS = 32 if keras.backend.backend() == "jax" else 64
WORD_DTYPE = f"int{WORD_BITS}"


def operands(form: Callable[..., Tensor], ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the connections stored in `ids` and `rows` as `form(inputs, outputs, shape)` puts them."""
    inputs, outputs = positions(ids, rows, layout)
    index = form(inputs, outputs, layout.shape)
    capacity = layout.capacity
    if keras.backend.backend() != "tensorflow":
        return Operands(index, lambda values: values, lambda gradient: gradient)
    count = rows[layout.rows]
    return Operands(
        index,
        lambda values: values[:count],
        lambda gradient: ops.reshape(ops.pad(gradient, [[0, capacity - count]]), [capacity]),
    )


def positions(ids: Tensor, rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return (inputs, outputs): [K] with TensorFlow; [capacity] elsewhere, where the tail lies at (n_in, n_out)."""
    if keras.backend.backend() == "tensorflow":
        from .stock import positions as tensorflow_positions

        return tensorflow_positions(ids, rows, layout)
    if keras.backend.backend() == "torch":
        from .torch_stock import positions as torch_positions

        return torch_positions(ids, rows, layout)
    n_in, n_out = layout.shape
    place = ops.arange(layout.capacity, dtype=WORD_DTYPE)
    live = place < rows[layout.rows]
    row = ops.cast(ops.searchsorted(rows, place, side="right"), WORD_DTYPE) - 1
    per_word = WORD_BITS // layout.id_bits
    shifts = ops.arange(per_word, dtype=WORD_DTYPE) * layout.id_bits
    local = ids[:, None]
    if per_word > 1:
        local = ops.bitwise_and(ops.right_shift(local, shifts[None, :]), (1 << layout.id_bits) - 1)
    local = ops.reshape(local, [-1])[: layout.capacity]
    block = row // n_in
    return (
        ops.where(live, row - block * n_in, n_in),
        ops.where(live, block * layout.block + local, n_out),
    )
