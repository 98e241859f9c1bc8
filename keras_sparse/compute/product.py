"""The product of activations with a sparse kernel, differentiable in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from . import recording
from .paths import Operands, Path, finished

Tensor = Any


class Product:
    """x W and x Wᵀ for a kernel as it is now, prepared once for any number of products.

    The gradient is taken at the connections only, and never through an array of [connections, batch] as the
    stock gradient of `tf.sparse.sparse_dense_matmul` is. What is made here is not kept step by step where the products
    stand in a loop.

    Args:
        path: the compute path.
        operands: the connections, from `path.operands`.
        values: weights of the connections, [capacity].
        shape: (n_in, n_out).
        on_backward: called with (inputs, gradient of outputs), both in the orientation of `shape`.
    """

    def __init__(
        self,
        path: Path,
        operands: Operands,
        values: Tensor,
        shape: tuple[int, int],
        *,
        on_backward: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        self._path, self._index, self._shape, self._on_backward = path, operands.index, shape, on_backward
        self._own = getattr(path, "product", None) if on_backward is None else None
        self._values = values if self._own is not None else operands.fit(values)
        self._differentiated = getattr(path, "differentiated", False)
        # JAX differentiates nothing that a custom gradient finds outside of it.
        early = self._own is None and (keras.backend.backend() == "tensorflow" or self._differentiated)
        self._operand = path.prepare(self._values, self._index, shape) if early else None

    def __call__(self, x: Tensor, *, transpose: bool = False, bias: Tensor | None = None, relu: bool = False) -> Tensor:
        """Return x W + bias, or x Wᵀ with `transpose`.

        Args:
            x: activations, [batch, n_in] ([batch, n_out] with `transpose`).
            transpose: multiply with the transposed kernel.
            bias: added to the product, [n_out], in the dtype of the values.
            relu: let negative results become zero.
        """
        if self._own is not None:
            return self._own(x, self._values, self._index, self._shape, transpose=transpose, bias=bias, relu=relu)
        if self._differentiated:
            y = self._path.multiply(x, self._operand, self._shape, transpose=transpose)
            seen = self._on_backward
            if seen is not None:
                y = recording.watched(y, lambda dy, x: seen(dy, x) if transpose else seen(x, dy), x)
            return finished(y, bias, relu)

        @ops.custom_gradient
        def product(x: Tensor, values: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, Tensor]]]:
            operand = self._operand
            if operand is None:
                operand = self._path.prepare(values, self._index, self._shape)

            def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
                dy = args[0] if upstream is None else upstream
                left, right = (dy, x) if transpose else (x, dy)
                if self._on_backward is not None:
                    self._on_backward(left, right)
                dx = self._path.multiply(dy, operand, self._shape, transpose=not transpose)
                return dx, self._path.outer(left, right, self._index, self._shape)

            return self._path.multiply(x, operand, self._shape, transpose=transpose), gradient

        return finished(product(x, self._values), bias, relu)
