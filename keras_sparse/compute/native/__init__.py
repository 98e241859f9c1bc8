"""The native path: own CPU kernels, in C++, behind TensorFlow ops.

Activations are multiplied as they lie in memory; the stored index (packed ids, row pointers) is read as it is, so there
is nothing to decode. `ops` has the products and their gradients, `library` finds what was built, README.md tells how
the kernels work.
"""

from __future__ import annotations

from typing import Any

from ...topology.layout import Layout
from ..paths import Operands
from . import ops
from .library import load
from .ops import Stored

Tensor = Any


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
    """Return x W or x Wᵀ, in the dtype of `x`."""
    del shape
    return ops.multiply(x, *operand, transpose=transpose)


def outer(x: Tensor, y: Tensor, index: Stored, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], float32 [capacity]; the tail is zero."""
    del shape
    return ops.outer(x, y, index)


def product(
    x: Tensor,
    values: Tensor,
    index: Stored,
    shape: tuple[int, int],
    *,
    transpose: bool,
    bias: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Return x W + bias, rectified with `relu`, or x Wᵀ: one op, and one for its gradients.

    Bias and ReLU by themselves would pass over the activations four times a step, which takes longer than a product
    with few connections.
    """
    del shape
    return ops.multiply(x, values, index, transpose=transpose, finish=ops.Finish(bias, relu))
