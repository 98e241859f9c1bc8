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


class Finish(NamedTuple):
    """What becomes of a product: `bias` is added, float32 [n_out], and with `relu` negative results become zero."""

    bias: Tensor | None = None
    relu: bool = False


PLAIN = Finish()


def multiply(x: Tensor, values: Tensor, index: Stored, *, transpose: bool, finish: Finish = PLAIN) -> Tensor:
    """Return x W, finished, or x Wᵀ; values are float32 [capacity], x and the result of any native dtype."""
    bias = tf.zeros([0]) if finish.bias is None else finish.bias
    flags = {"transpose": transpose, "relu": finish.relu, "with_bias": finish.bias is not None}
    y = native_ops().keras_sparse_mat_mul(x, values, bias, index.ids, index.rows, **flags, **sizes(index))
    return shaped(y, x.shape[0], index.layout.shape[0 if transpose else 1])


def outer(x: Tensor, dy: Tensor, index: Stored) -> Tensor:
    """Return Σ_b x[b, input] · dy[b, output] at the connections, float32 [capacity] with a tail of zeros."""
    return _weight_gradients(x, dy, dy, index, relu=False, with_bias=False)[0]


def gradients(x: Tensor, dy: Tensor, values: Tensor, index: Stored) -> tuple[Tensor, Tensor]:
    """Return (`multiply(dy, transpose=True)`, `outer(x, dy)`), which share their reading of dy."""
    return _gradients(x, dy, dy, values, index, relu=False, with_bias=False)[:2]


def _weight_gradients(x: Tensor, y: Tensor, dy: Tensor, index: Stored, **flags: bool) -> tuple[Tensor, Tensor]:
    dvalues, dbias = native_ops().keras_sparse_outer(x, y, dy, index.ids, index.rows, **flags, **sizes(index))
    return shaped(dvalues, index.layout.capacity), _shaped_bias(dbias, index, flags)


def _gradients(
    x: Tensor, y: Tensor, dy: Tensor, values: Tensor, index: Stored, **flags: bool
) -> tuple[Tensor, Tensor, Tensor]:
    dx, dvalues, dbias = native_ops().keras_sparse_gradients(
        x, y, dy, values, index.ids, index.rows, **flags, **sizes(index)
    )
    dx = shaped(dx, x.shape[0], index.layout.shape[0])
    return dx, shaped(dvalues, index.layout.capacity), _shaped_bias(dbias, index, flags)


def _shaped_bias(dbias: Tensor, index: Stored, flags: dict[str, bool]) -> Tensor:
    return shaped(dbias, index.layout.shape[1] if flags["with_bias"] else 0)


def multiply_entries(entries: Tensor, numbers: Tensor, batch: Tensor, values: Tensor, index: Stored) -> Tensor:
    """Return x W, float32 [batch, n_out], of an x that holds `numbers` at the pairs (sample, input) `entries`."""
    y = native_ops().keras_sparse_entries_mat_mul(
        entries, numbers, tf.reshape(batch, [1]), values, index.ids, index.rows, **sizes(index)
    )
    return shaped(y, tf.get_static_value(batch), index.layout.shape[1])


def to_dense(values: Tensor, index: Stored, dtype: Any) -> Tensor:
    """Return the matrix [n_in, n_out]."""
    matrix = native_ops().keras_sparse_to_dense(values, index.ids, index.rows, T=dtype, **sizes(index))
    return shaped(matrix, *index.layout.shape)


def from_dense(matrix: Tensor, index: Stored) -> Tensor:
    """Return the entries of `matrix` at the connections, float32 [capacity] with a tail of zeros."""
    values = native_ops().keras_sparse_from_dense(matrix, index.ids, index.rows, **sizes(index))
    return shaped(values, index.layout.capacity)


def native_ops() -> Any:
    """Return the module of TensorFlow's Python functions for the ops."""
    library = load()
    assert library is not None, "the native path was chosen although it is not available"
    return library.ops


def shaped(tensor: Tensor, *shape: int | None) -> Tensor:
    """Return the tensor, with its static shape known."""
    # The ops' own shape inference sees no integer attributes (a limit of TensorFlow's C API).
    tensor.set_shape(shape)
    return tensor


def sizes(index: Stored) -> dict[str, int]:
    """Return the attributes of an op that say how a kernel is stored."""
    layout = index.layout
    return {
        "n_in": layout.shape[0],
        "n_out": layout.shape[1],
        "capacity": layout.capacity,
        "block": layout.block,
        "id_bits": layout.id_bits,
    }


def stored_index(op: Any) -> Stored:
    """Return the index of an op's kernel, from its attributes and last inputs."""
    shape = op.get_attr("n_in"), op.get_attr("n_out")
    layout = Layout(shape, op.get_attr("capacity"), op.get_attr("block"), op.get_attr("id_bits"))
    ids, rows = op.inputs[-2:]
    return Stored(ids, rows, layout)


# Registered with TensorFlow rather than made custom gradients: only here it says which inputs need a gradient, so that
# the first layer of a network is spared the gradient of its inputs.


@tf.RegisterGradient("KerasSparseMatMul")
def _multiply_gradient(op: Any, dy: Tensor) -> list[Tensor | None]:
    x, values = op.inputs[:2]
    y = op.outputs[0]
    index, transpose = stored_index(op), op.get_attr("transpose")
    flags = {name: op.get_attr(name) for name in ("relu", "with_bias")}
    skipped = frozenset(cast(Any, getattr(op, "skip_input_indices", None)) or ())
    dx = dvalues = dbias = None
    if transpose:
        dx = None if 0 in skipped else multiply(dy, values, index, transpose=False)
        dvalues = None if 1 in skipped else outer(dy, x, index)
    elif 1 in skipped:  # frozen weights
        dy = gated(dy, y, flags["relu"])
        dx = None if 0 in skipped else multiply(dy, values, index, transpose=True)
        dbias = tf.reduce_sum(tf.cast(dy, tf.float32), 0) if flags["with_bias"] else None
    elif 0 in skipped:  # the first layer
        dvalues, dbias = _weight_gradients(x, y if flags["relu"] else dy, dy, index, **flags)
    else:
        dx, dvalues, dbias = _gradients(x, y if flags["relu"] else dy, dy, values, index, **flags)
    return [dx, dvalues, dbias if flags["with_bias"] else None, None, None]


def gated(dy: Tensor, y: Tensor, relu: bool) -> Tensor:
    """Return dy, with `relu` only where y is above zero."""
    return tf.where(y > 0, dy, tf.zeros_like(dy)) if relu else dy


@tf.RegisterGradient("KerasSparseGradients")
def _gradients_gradient(op: Any, ddx: Tensor, ddvalues: Tensor, ddbias: Tensor) -> list[Tensor | None]:
    x, y, dy, values = op.inputs[:4]
    index, relu = stored_index(op), op.get_attr("relu")
    by_x, by_dy = _outer_gradients(op, x, y, dy, ddvalues, ddbias)
    by_dy += gated(multiply(ddx, values, index, transpose=False), y, relu)
    return [by_x, None, by_dy, outer(ddx, gated(dy, y, relu), index), None, None]


@tf.RegisterGradient("KerasSparseOuter")
def _outer_gradient(op: Any, ddvalues: Tensor, ddbias: Tensor) -> list[Tensor | None]:
    x, y, dy = op.inputs[:3]
    by_x, by_dy = _outer_gradients(op, x, y, dy, ddvalues, ddbias)
    return [by_x, None, by_dy, None, None]


def _outer_gradients(
    op: Any, x: Tensor, y: Tensor, dy: Tensor, ddvalues: Tensor, ddbias: Tensor
) -> tuple[Tensor, Tensor]:
    index, relu = stored_index(op), op.get_attr("relu")
    by_dy = multiply(x, ddvalues, index, transpose=False)
    if op.get_attr("with_bias"):
        by_dy += tf.cast(ddbias, by_dy.dtype)
    return multiply(gated(dy, y, relu), ddvalues, index, transpose=True), gated(by_dy, y, relu)


@tf.RegisterGradient("KerasSparseEntriesMatMul")
def _multiply_entries_gradient(op: Any, dy: Tensor) -> list[Tensor | None]:
    entries, numbers, _, values, ids, rows = op.inputs
    index = stored_index(op)
    dnumbers, dvalues = native_ops().keras_sparse_entries_gradients(
        entries, numbers, dy, values, ids, rows, **sizes(index)
    )
    return [None, dnumbers, None, shaped(dvalues, index.layout.capacity), None, None]


@tf.RegisterGradient("KerasSparseToDense")
def _to_dense_gradient(op: Any, dmatrix: Tensor) -> list[Tensor | None]:
    return [from_dense(dmatrix, stored_index(op)), None, None]


@tf.RegisterGradient("KerasSparseFromDense")
def _from_dense_gradient(op: Any, dvalues: Tensor) -> list[Tensor | None]:
    return [to_dense(dvalues, stored_index(op), op.inputs[0].dtype), None, None]
