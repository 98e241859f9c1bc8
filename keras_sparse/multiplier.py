"""`Multiplier`: the products of a kernel with activations, on the path that was chosen for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from keras import ops

from .compute import delivery, dispatch, paths
from .compute.product import Product
from .kernel_storage import KernelStorage

Tensor = Any


class Multiplier:
    """Multiplies with a kernel as it is now: its variables are read once, however many products follow.

    Make it outside of a loop and call it inside: nothing of the kernel is read, decoded or kept step by step then.

    Args:
        storage: the kernel's variables.
        choice: the compute path.
        dtype: of the activations.
        exported: whether stock operations with a fixed topology are wanted.
        on_backward: see `Product`.

    Attributes:
        stored: (values, stored index) where nothing but the native kernels multiplies and nobody looks on; else None.
    """

    stored: tuple[Tensor, Any] | None = None

    def __init__(
        self,
        storage: KernelStorage,
        choice: dispatch.Choice,
        dtype: str,
        *,
        exported: bool = False,
        on_backward: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        self._shape, self._dtype = storage.layout.shape, dtype
        path = paths.get(choice.module or choice.path)
        # The native kernels take float32 values whatever the activations are.
        self._values_dtype = "float32" if choice.path == "native" else dtype
        values = ops.cast(paths.value(storage.values), self._values_dtype)
        self._product: Callable[..., Tensor]
        if exported:
            plan = delivery.current()
            if choice.path == "dense":
                operand = plan.matrix(storage, self._values_dtype)
            else:
                index = plan.index(storage, choice.path, cast(paths.DecodedPath, path).index)
                operand = path.prepare(values[: storage.count()], index, self._shape)

            def multiply(x: Tensor, *, transpose: bool, bias: Tensor | None, relu: bool) -> Tensor:
                return paths.finished(path.multiply(x, operand, self._shape, transpose=transpose), bias, relu)

            self._product = multiply
        else:
            operands = path.operands(*storage.index_tensors(), storage.layout)
            if choice.path == "native" and not choice.module and on_backward is None:
                self.stored = values, operands.index
            self._product = Product(path, operands, values, self._shape, on_backward=on_backward)

    def __call__(self, x: Tensor, transpose: bool = False, *, bias: Tensor | None = None, relu: bool = False) -> Tensor:
        """Return x W: [..., n_in] to [..., n_out]; with `transpose` x Wᵀ: [..., n_out] to [..., n_in].

        Differentiable in `x`, the values and the bias. For arguments see `SparseKernel.matmul`.
        """
        if transpose and (relu or bias is not None):
            raise ValueError("`bias` and `relu` are for the product with the kernel, not with the transposed one.")
        size_in, size_out = self._shape[::-1] if transpose else self._shape
        x = ops.cast(x, self._dtype)
        flat = x if len(x.shape) == 2 else ops.reshape(x, [-1, size_in])
        bias = None if bias is None else ops.cast(bias, self._values_dtype)
        y = self._product(flat, transpose=transpose, bias=bias, relu=relu)
        return y if len(x.shape) == 2 else ops.reshape(y, [*ops.shape(x)[:-1], size_out])
