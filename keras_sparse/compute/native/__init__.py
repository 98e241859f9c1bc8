"""The native path: own CPU kernels, in C++, behind TensorFlow ops.

Activations are multiplied as they are stored in memory; the stored index (packed ids, row pointers) is read as it is,
so there is nothing to decode. See README.md beside this file for how the kernels work.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import tensorflow as tf

from ...topology.layout import Layout
from ..paths import Operands
from .library import Library, load

Tensor = Any
DIFFERENTIABLE = True


class Stored(NamedTuple):
    """The index of a kernel as it is stored."""

    ids: Tensor
    rows: Tensor
    layout: Layout


def instruction_set() -> str | None:
    """Return the instruction set in use, or None where the kernels cannot be used."""
    library = load()
    return None if library is None else library.instruction_set


def operands(ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the stored index itself; values and gradients keep their [capacity]."""
    return Operands(Stored(ids, rows, layout), lambda values: values, lambda gradient: gradient)


def prepare(values: Tensor, index: Stored, shape: tuple[int, int]) -> tuple[Tensor, Stored]:
    """Return the operand: values and index as they are."""
    del shape
    return values, index


def multiply(x: Tensor, operand: tuple[Tensor, Stored], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ, in the dtype of `x`; differentiable, see `_multiply_gradient`."""
    del shape
    values, (ids, rows, layout) = operand
    return _product(x, tf.cast(values, tf.float32), ids, rows, _sizes(layout), transpose)


def outer(x: Tensor, y: Tensor, index: Stored, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], float32 [capacity]; the tail is zero."""
    del shape
    return _outer(x, y, index.ids, index.rows, _sizes(index.layout))


def _outer(x: Tensor, y: Tensor, ids: Tensor, rows: Tensor, sizes: dict[str, int]) -> Tensor:
    products = _library().ops.keras_sparse_outer(x, y, ids, rows, **sizes)
    products.set_shape([sizes["capacity"]])
    return products


def _sizes(layout: Layout) -> dict[str, int]:
    n_in, n_out = layout.shape
    return {
        "n_in": n_in,
        "n_out": n_out,
        "capacity": layout.capacity,
        "block": layout.block,
        "id_bits": layout.id_bits,
    }


def _library() -> Library:
    library = load()
    assert library is not None, "the dispatch chose the native path although it is not available"
    return library


def _attributes(op: Any) -> dict[str, int]:
    return {name: op.get_attr(name) for name in ("n_in", "n_out", "capacity", "block", "id_bits")}


def _product(x: Tensor, values: Tensor, ids: Tensor, rows: Tensor, sizes: dict[str, int], transpose: bool) -> Tensor:
    y = _library().ops.keras_sparse_mat_mul(x, values, ids, rows, transpose=transpose, **sizes)
    y.set_shape([x.shape[0], sizes["n_in"] if transpose else sizes["n_out"]])
    return y


# Registered with TensorFlow rather than made a custom gradient: only here it says which inputs need a gradient, and the
# first layer of a network is spared the gradient of its inputs.
@tf.RegisterGradient("KerasSparseMatMul")
def _multiply_gradient(op: Any, dy: Tensor) -> list[Tensor | None]:
    x, values, ids, rows = op.inputs
    sizes, transpose, skip = _attributes(op), op.get_attr("transpose"), _skipped(op)
    dx = dvalues = None
    if not skip and not transpose:
        dx, dvalues = _library().ops.keras_sparse_gradients(x, dy, values, ids, rows, **sizes)
        dx.set_shape([x.shape[0], sizes["n_in"]])
    else:
        if 0 not in skip:
            dx = _product(dy, values, ids, rows, sizes, not transpose)
        if 1 not in skip:
            dvalues = _outer(*((dy, x) if transpose else (x, dy)), ids, rows, sizes)
    return [dx, dvalues, None, None]


@tf.RegisterGradient("KerasSparseGradients")
def _gradients_gradient(op: Any, ddx: Tensor, ddvalues: Tensor) -> list[Tensor | None]:
    x, dy, values, ids, rows = op.inputs
    sizes = _attributes(op)
    by_x = _product(dy, ddvalues, ids, rows, sizes, True)
    by_dy = _product(x, ddvalues, ids, rows, sizes, False) + _product(ddx, values, ids, rows, sizes, False)
    return [by_x, by_dy, _outer(ddx, dy, ids, rows, sizes), None, None]


@tf.RegisterGradient("KerasSparseOuter")
def _outer_gradient(op: Any, ddvalues: Tensor) -> list[Tensor | None]:
    x, dy, ids, rows = op.inputs
    sizes = _attributes(op)
    by_x = _product(dy, ddvalues, ids, rows, sizes, True)
    return [by_x, _product(x, ddvalues, ids, rows, sizes, False), None, None]


def _skipped(op: Any) -> frozenset[int]:
    """Return which of x (0) and values (1) need no gradient, as far as TensorFlow says."""
    return frozenset(cast(Any, getattr(op, "skip_input_indices", None)) or ()) & {0, 1}
