"""The product of activations with a sparse kernel, differentiable in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from .paths import Operands, Path, finished

Tensor = Any


def matmul(
    path: Path,
    operands: Operands,
    x: Tensor,
    values: Tensor,
    shape: tuple[int, int],
    *,
    transpose: bool = False,
    bias: Tensor | None = None,
    relu: bool = False,
    on_backward: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Return x W + bias, or x Wᵀ with `transpose`, for x [batch, n] and a kernel with `values` [capacity].

    The gradient is taken at the connections only, and never through an array of [connections, batch] as the
    stock gradient of `tf.sparse.sparse_dense_matmul` is.

    Args:
        path: the compute path.
        operands: the connections, from `path.operands`.
        x: activations, [batch, n_in] ([batch, n_out] with `transpose`).
        values: weights of the connections, [capacity].
        shape: (n_in, n_out).
        transpose: multiply with the transposed kernel.
        bias: added to the product, [n_out], in the dtype of `values`.
        relu: let negative results become zero.
        on_backward: called with (inputs, gradient of outputs), both in the orientation of `shape`.
    """

    own = getattr(path, "product", None)
    if own is not None and on_backward is None:
        return own(x, values, operands.index, shape, transpose=transpose, bias=bias, relu=relu)

    @ops.custom_gradient
    def product(x: Tensor, values: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, Tensor]]]:
        operand = path.prepare(operands.fit(values), operands.index, shape)

        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
            dy = args[0] if upstream is None else upstream
            left, right = (dy, x) if transpose else (x, dy)
            if on_backward is not None:
                on_backward(left, right)
            dx = path.multiply(dy, operand, shape, transpose=not transpose)
            return dx, operands.unfit(path.outer(left, right, operands.index, shape))

        return path.multiply(x, operand, shape, transpose=transpose), gradient

    return finished(product(x, values), bias, relu)
