"""What a compute path offers, and where the paths are found."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

import keras

from ..topology.layout import Layout

Tensor = Any


class Operands(NamedTuple):
    """A kernel at the moment of a product.

    Attributes:
        index: its connections, in the form of the path.
        fit: takes an array [capacity] to what the path multiplies with (the first K, or all where sizes are static).
        unfit: takes a gradient back to [capacity]; the tail is zero.
    """

    index: Tensor
    fit: Callable[[Tensor], Tensor]
    unfit: Callable[[Tensor], Tensor]


class Path(Protocol):
    """A compute path: a module with these functions. `x` and `y` are two-dimensional, samples first.

    A path may also offer `product(x, values, index, shape, *, transpose, bias, relu)`, the differentiable product with
    all that follows, where it has a better way than the one that `compute.product` makes of these functions. One that
    has `differentiated = True` leaves the gradient of `prepare` and `multiply` to the backend.
    """

    def operands(self, ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
        """Return the connections stored in `ids` and `rows` as this path wants them; memory is O(capacity)."""
        ...

    def prepare(self, values: Tensor, index: Tensor, shape: tuple[int, int]) -> Any:
        """Return what `multiply` needs besides `x`, made once for the forward and the backward."""
        ...

    def multiply(self, x: Tensor, operand: Any, shape: tuple[int, int], *, transpose: bool) -> Tensor:
        """Return x W, [batch, n_out], or with `transpose` x Wᵀ, [batch, n_in]."""
        ...

    def outer(self, x: Tensor, y: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return Σ_b x[b, input] · y[b, output] for every connection, [K]."""
        ...


class DecodedPath(Path, Protocol):
    """A path that multiplies with the positions of the connections, as exported models must."""

    def index(self, inputs: Tensor, outputs: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the positions of K connections in the form this path multiplies with."""
        ...


class MatrixPath(Path, Protocol):
    """A path that can build the whole kernel; differentiable in the values."""

    def matrix(self, values: Tensor, index: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the matrix [n_in, n_out] in the dtype of `values`."""
        ...


@cache  # AutoGraph leaves it alone, then, where somebody multiplies in a tf.function
def get(name: str) -> Path:
    """Return the module `name` of this package."""
    return cast(Path, import_module(f".{name}", __package__))


def device() -> str:
    """Return where the backend computes: "cpu", "gpu", or what the backend calls another accelerator."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"
    if backend == "jax":
        import jax

        return jax.default_backend()
    kind = cast(Any, keras.ops.zeros(())).device.type  # where Keras puts tensors
    return "gpu" if kind == "cuda" else kind


def sparse(x: Tensor) -> bool:
    """Return whether x is a `tf.SparseTensor`."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(x, tf.SparseTensor)


def finished(y: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    """Return y + bias, with `relu` rectified."""
    if bias is not None:
        y = keras.ops.add(y, keras.ops.cast(bias, y.dtype))
    return keras.ops.relu(y) if relu else y


def native_instruction_set() -> str | None:
    """Return the instruction set of the native kernels, or None where they cannot be used."""
    if keras.backend.backend() != "tensorflow":
        return None
    from . import native

    return native.instruction_set()


def value(variable: keras.Variable) -> Tensor:
    """Return the variable's value as a tensor, autocast under a mixed-precision policy.

    `ops.convert_to_tensor` returns a Keras variable unchanged with TensorFlow, and custom gradients then see it as
    a captured variable.
    """
    if keras.backend.backend() != "tensorflow":
        return variable.value
    import tensorflow as tf

    return tf.convert_to_tensor(variable.value)
