"""`SparseEinsumDense`: keras.layers.EinsumDense over the last axes, with a sparse kernel."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import keras
from keras import ops

from .sparse_dense import SparseDense

Tensor = Any


class Contraction(NamedTuple):
    """An equation that is one product of matrices.

    Attributes:
        summed: how many of the last input axes are summed over.
        made: how many axes take their place.
        bias: letters of the axes made.
    """

    summed: int
    made: int
    letters: str


def contraction(equation: str) -> Contraction:
    """Return what `equation` sums over.

    Raises:
        ValueError: unless it sums over the last axes of the input, which are the first of the kernel in the same order,
            and the other axes of the kernel stand last in the output, in the same order.
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    inputs, comma, kernel = left.partition(",")
    made = "".join(letter for letter in kernel if letter in result)
    summed = kernel[: len(kernel) - len(made)]
    ahead = inputs.removesuffix(summed)
    letters = inputs.replace("...", "") + made
    fits = arrow and comma and summed and made and kernel == summed + made and inputs == ahead + summed
    if not fits or result != ahead + made or set(summed) & set(result) or len(set(letters)) < len(letters):
        raise ValueError(
            f"The equation {equation!r} is not one product over the last axes of the input: expected a form like "
            '"abc,cde->abde", "abcd,cde->abe" or "...x,xy->...y".'
        )
    return Contraction(len(summed), len(made), made)


@keras.saving.register_keras_serializable("keras_sparse")
class SparseEinsumDense(SparseDense):
    """keras.layers.EinsumDense with a kernel that stores only its connections.

    For equations that sum over the last axes of the input, as the projections of attention layers do. The kernel is
    the matrix of (all summed axes, all axes made), each flattened in the order of the equation.

    Args:
        equation: such as "abc,cde->abde", "abcd,cde->abe" or "...x,xy->...y".
        output_shape: sizes of the output axes without the batch: one integer, or a tuple whose entries are None where
            an axis is that of the input, as in `EinsumDense`.
        bias_axes: the letters of all axes made, or None for no bias (the default).
        **kwargs: everything else that `ks.SparseDense` takes, but `units` and `use_bias`.

    Input shape:
        (batch, ..., summed axes).

    Output shape:
        (batch, ..., axes made).

    Raises:
        ValueError: for another kind of equation, an `output_shape` that does not fit it, and biases of some of the axes
            made only; and where `ks.SparseDense` does.

    Example:
        >>> import keras, keras_sparse as ks
        >>> heads = ks.SparseEinsumDense("abc,cde->abde", (None, 8, 16), bias_axes="de", density=0.1)
        >>> heads(keras.ops.ones((2, 5, 64))).shape
        TensorShape([2, 5, 8, 16])
    """

    def __init__(
        self, equation: str, output_shape: int | tuple[int | None, ...], *, bias_axes: str | None = None, **kwargs: Any
    ) -> None:
        self.equation = equation
        axes = contraction(equation)
        sizes = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self._made = [size for size in sizes[len(sizes) - axes.made :] if isinstance(size, int)]
        if len(self._made) != axes.made:
            raise ValueError(
                f"The last {axes.made} entries of `output_shape` are the sizes of the axes {axes.letters!r}; got "
                f"{output_shape!r}."
            )
        if bias_axes is not None and sorted(bias_axes) != sorted(axes.letters):
            raise ValueError(
                f"`bias_axes` must be {axes.letters!r}, all axes that {equation!r} makes, or None; got {bias_axes!r}."
            )
        super().__init__(prod(self._made), use_bias=bias_axes is not None, **kwargs)
        self.partial_output_shape, self.bias_axes, self._axes = sizes, bias_axes, axes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the bias for inputs of `input_shape`."""
        last = input_shape[len(input_shape) - self._axes.summed :]
        summed = [size for size in last if size is not None]
        if len(summed) != self._axes.summed:
            raise ValueError(
                f"{self.name}: {self.equation!r} needs inputs whose last {self._axes.summed} dimensions are known; got "
                f"{input_shape}."
            )
        super().build((None, prod(summed)))
        self.input_spec = keras.layers.InputSpec(
            min_ndim=self._axes.summed + 1, axes={place - len(summed): size for place, size in enumerate(summed)}
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Return the activation of the contraction of `inputs` with the kernel, plus the bias."""
        ahead = ops.shape(inputs)[: len(inputs.shape) - self._axes.summed]
        outputs = self.kernel.matmul(ops.reshape(inputs, [-1, self.kernel.shape[0]]), bias=self.bias)
        outputs = ops.reshape(outputs, [*ahead, *self._made])
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `input_shape` with the axes made in the place of those summed."""
        return (*input_shape[: len(input_shape) - self._axes.summed], *self._made)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["units"], config["use_bias"]
        more = {"equation": self.equation, "output_shape": self.partial_output_shape, "bias_axes": self.bias_axes}
        return {**config, **more}
