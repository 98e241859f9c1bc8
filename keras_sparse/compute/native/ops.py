"""The native ops as Python functions, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import tensorflow as tf

from ...topology.layout import Layout
from .library import load

Tensor = Any


class Stored(NamedTuple):
    """The index of a kernel as it is stored."""

    ids: Tensor
    rows: Tensor
    layout: Layout


def multiply(x: Tensor, values: Tensor, index: Stored, *, transpose: bool) -> Tensor:
    """Return x W, or x Wᵀ with `transpose`; values are float32 [capacity], x and the result of any native dtype."""
    y = _ops().keras_sparse_mat_mul(x, values, index.ids, index.rows, transpose=transpose, **_sizes(index))
    return _shaped(y, x.shape[0], index.layout.shape[0 if transpose else 1])


def outer(x: Tensor, dy: Tensor, index: Stored) -> Tensor:
    """Return Σ_b x[b, input] · dy[b, output] at the connections, float32 [capacity] with a tail of zeros."""
    return _shaped(_ops().keras_sparse_outer(x, dy, index.ids, index.rows, **_sizes(index)), index.layout.capacity)


def gradients(x: Tensor, dy: Tensor, values: Tensor, index: Stored) -> tuple[Tensor, Tensor]:
    """Return (`multiply(dy, transpose=True)`, `outer(x, dy)`), which share their reading of dy."""
    dx, dvalues = _ops().keras_sparse_gradients(x, dy, values, index.ids, index.rows, **_sizes(index))
    return _shaped(dx, x.shape[0], index.layout.shape[0]), dvalues


def to_dense(values: Tensor, index: Stored, dtype: Any) -> Tensor:
    """Return the matrix [n_in, n_out]."""
    matrix = _ops().keras_sparse_to_dense(values, index.ids, index.rows, T=dtype, **_sizes(index))
    return _shaped(matrix, *index.layout.shape)


def from_dense(matrix: Tensor, index: Stored) -> Tensor:
    """Return the entries of `matrix` at the connections, float32 [capacity] with a tail of zeros."""
    values = _ops().keras_sparse_from_dense(matrix, index.ids, index.rows, **_sizes(index))
    return _shaped(values, index.layout.capacity)


def _ops() -> Any:
    library = load()
    assert library is not None, "the native path was chosen although it is not available"
    return library.ops


def _shaped(tensor: Tensor, *shape: int | None) -> Tensor:
    # The ops' own shape inference sees no integer attributes (a limit of TensorFlow's C API).
    tensor.set_shape(shape)
    return tensor


def _sizes(index: Stored) -> dict[str, int]:
    layout = index.layout
    return {
        "n_in": layout.shape[0],
        "n_out": layout.shape[1],
        "capacity": layout.capacity,
        "block": layout.block,
        "id_bits": layout.id_bits,
    }


def _index(op: Any) -> Stored:
    shape = op.get_attr("n_in"), op.get_attr("n_out")
    layout = Layout(shape, op.get_attr("capacity"), op.get_attr("block"), op.get_attr("id_bits"))
    return Stored(*op.inputs[-2:], layout)


# Registered with TensorFlow rather than made custom gradients: only here it says which inputs need a gradient, so that
# the first layer of a network is spared the gradient of its inputs.


@tf.RegisterGradient("KerasSparseMatMul")
def _multiply_gradient(op: Any, dy: Tensor) -> list[Tensor | None]:
    x, values = op.inputs[:2]
    index, transpose = _index(op), op.get_attr("transpose")
    skipped = frozenset(cast(Any, getattr(op, "skip_input_indices", None)) or ())
    if not transpose and not skipped & {0, 1}:
        return [*gradients(x, dy, values, index), None, None]
    dx = None if 0 in skipped else multiply(dy, values, index, transpose=not transpose)
    dvalues = None if 1 in skipped else outer(*((dy, x) if transpose else (x, dy)), index)
    return [dx, dvalues, None, None]


@tf.RegisterGradient("KerasSparseGradients")
def _gradients_gradient(op: Any, ddx: Tensor, ddvalues: Tensor) -> list[Tensor | None]:
    x, dy, values = op.inputs[:3]
    index = _index(op)
    by_dy = multiply(x, ddvalues, index, transpose=False) + multiply(ddx, values, index, transpose=False)
    return [multiply(dy, ddvalues, index, transpose=True), by_dy, outer(ddx, dy, index), None, None]


@tf.RegisterGradient("KerasSparseOuter")
def _outer_gradient(op: Any, ddvalues: Tensor) -> list[Tensor | None]:
    x, dy = op.inputs[:2]
    index = _index(op)
    by_x = multiply(dy, ddvalues, index, transpose=True)
    return [by_x, multiply(x, ddvalues, index, transpose=False), None, None]


@tf.RegisterGradient("KerasSparseToDense")
def _to_dense_gradient(op: Any, dmatrix: Tensor) -> list[Tensor | None]:
    return [from_dense(dmatrix, _index(op)), None, None]


@tf.RegisterGradient("KerasSparseFromDense")
def _from_dense_gradient(op: Any, dvalues: Tensor) -> list[Tensor | None]:
    return [to_dense(dvalues, _index(op), op.inputs[0].dtype), None, None]
