"""The native ops of recurrent layers as Python functions, and their gradient; see `ops`."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import tensorflow as tf

from .ops import Stored, native_ops, shaped, sizes, stored_index

Tensor = Any
CELLS = ("lstm", "gru", "simple")
_REMEMBERS = "lstm"  # has a second state


class Factor(NamedTuple):
    """A kernel and what is added to its product.

    Attributes:
        values: float32, [capacity].
        stored: the connections.
        bias: [gates · units], or None.
    """

    values: Tensor
    stored: Stored
    bias: Tensor | None


def recur(
    x: Tensor,
    states: list[Tensor],
    kernel: Factor,
    recurrent: Factor,
    *,
    cell: str,
    mask: Tensor | None,
    backwards: bool,
    every: bool,
    keep: bool,
) -> tuple[Tensor, list[Tensor]]:
    """Return (outputs, last states) of all time steps.

    Args:
        x: [batch, time, n_in], of any native dtype.
        states: the first ones, each [batch, units]: h, and c for an LSTM.
        kernel: from inputs to gates.
        recurrent: from units to gates. Only a GRU has a bias there.
        cell: "lstm" (gates i, f, g, o), "gru" (z, r, g; reset after the product) or "simple", with sigmoid gates and
            tanh for the rest.
        mask: bool [batch, time], False where a step leaves the state alone; or None.
        backwards: begin with the last step.
        every: whether to return the outputs of all steps, in the order they were taken, not of the last one.
        keep: whether to keep what the backward needs; without it the backward runs the steps again.
    """
    h = states[0]
    c = states[1] if cell == _REMEMBERS else tf.zeros([0, 0], x.dtype)
    empty = tf.zeros([0])
    y, c, _ = native_ops().keras_sparse_recurrence(
        x,
        tf.zeros([0, 0], tf.bool) if mask is None else mask,
        h,
        c,
        kernel.values,
        recurrent.values,
        *(empty if f.bias is None else tf.cast(f.bias, tf.float32) for f in (kernel, recurrent)),
        recurrent.stored.ids,
        recurrent.stored.rows,
        kernel.stored.ids,
        kernel.stored.rows,
        cell=CELLS.index(cell),
        backwards=backwards,
        every=every,
        keep=keep,
        **_sizes(kernel.stored, recurrent.stored),
    )
    units = recurrent.stored.layout.shape[0]
    y = shaped(y, x.shape[0], x.shape[1] if every else 1, units)
    last = y[:, -1]
    return y, [last, shaped(c, x.shape[0], units)] if cell == _REMEMBERS else [last]


def _sizes(kernel: Stored, recurrent: Stored) -> dict[str, int]:
    theirs = {f"recurrent_{name}": n for name, n in sizes(recurrent).items() if name not in ("n_in", "n_out")}
    return {**sizes(kernel), **theirs}


@tf.RegisterGradient("KerasSparseRecurrence")
def _recurrence_gradient(op: Any, dy: Tensor, dc: Tensor, _: Tensor) -> list[Tensor | None]:
    x, mask, h, c, values, recurrent_values, bias, recurrent_bias, *index = op.inputs
    skipped = frozenset(cast(Any, getattr(op, "skip_input_indices", None)) or ())
    names = "cell", "backwards", "every", "recurrent_capacity", "recurrent_block", "recurrent_id_bits"
    flags = {**sizes(stored_index(op)), **{name: op.get_attr(name) for name in names}}
    saved = op.outputs[2]
    if not op.get_attr("keep"):
        *_, saved = native_ops().keras_sparse_recurrence(*op.inputs, keep=True, **flags)
    with_dx = 0 not in skipped
    dx, dh, dc, dvalues, drecurrent, dbias, drecurrent_bias = native_ops().keras_sparse_recurrence_gradients(
        x, mask, h, c, values, recurrent_values, saved, dy, dc, *index, with_dx=with_dx, **flags
    )
    biases = [
        shaped(gradient, *of.shape) if of.shape[0] else None
        for gradient, of in ((dbias, bias), (drecurrent_bias, recurrent_bias))
    ]
    return [
        shaped(dx, *x.shape) if with_dx else None,
        None,
        shaped(dh, *h.shape),
        shaped(dc, *c.shape) if CELLS[flags["cell"]] == _REMEMBERS else None,
        shaped(dvalues, flags["capacity"]),
        shaped(drecurrent, flags["recurrent_capacity"]),
        *biases,
        *[None] * len(index),
    ]


@tf.RegisterGradient("KerasSparseRecurrenceGradients")
def _no_second_gradient(op: Any, *_: Tensor) -> list[Tensor | None]:
    raise NotImplementedError(
        "The native kernels of recurrent layers have no second derivatives. Make the layer with `unroll=True` or "
        '`compute="stock"` to take them.'
    )
