"""The stock path of Keras' PyTorch backend: torch.sparse.

Connections beyond the count lie at (n_in, n_out), in a row and a column of zeros that are cut off. The products of
low-precision activations are summed in float32.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import torch  # pyright: ignore[reportMissingImports]

from ..topology.layout import Layout
from . import decoding
from .generic import wide_dtype
from .paths import Operands, finished

Tensor = Any
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")  # told once in every process
_TILE = 2**23  # numbers laid out together in `outer`: 32 MiB of float32


class Stored(NamedTuple):
    """The connections of a kernel.

    Attributes:
        inputs: [capacity].
        outputs: [capacity].
        pointers: where the connections of every block of outputs and input begin, and the end, [rows + 1].
        blocks: of outputs.
    """

    inputs: Tensor
    outputs: Tensor
    pointers: Tensor
    blocks: int


def positions(ids: Tensor, rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return (inputs, outputs), [capacity], int64, of the connections stored in packed `ids` and `rows`."""
    (n_in, n_out), capacity = layout.shape, layout.capacity
    # The row of a connection; those beyond the count are a row more.
    lengths = torch.diff(rows, append=torch.full_like(rows[:1], capacity))
    row = torch.repeat_interleave(lengths, output_size=capacity)
    live = row < layout.rows
    words = ids.view(torch.int16 if layout.id_bits == 16 else torch.int32)[:capacity]
    outputs = words.to(torch.int64) & ((1 << layout.id_bits) - 1)
    inputs = row
    if layout.blocks > 1:
        block = row // n_in
        inputs, outputs = row - block * n_in, outputs + block * layout.block
    return torch.where(live, inputs, n_in), torch.where(live, outputs, n_out)


def operands(ids: Tensor, rows: Tensor, layout: Layout) -> Operands:
    """Return the decoded connections."""
    stored = Stored(*decoding.positions(ids, rows, layout), rows, layout.blocks)
    return Operands(stored, lambda values: values, lambda gradient: gradient)


def prepare(values: Tensor, index: Stored, shape: tuple[int, int]) -> tuple[Tensor, Stored]:
    """Return the operand: values and connections as they are."""
    del shape
    return values, index


def multiply(x: Tensor, operand: tuple[Tensor, Stored], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    values, index = operand
    source, target = (index.outputs, index.inputs) if transpose else (index.inputs, index.outputs)
    read, written = shape[::-1] if transpose else shape
    wide = getattr(torch, wide_dtype(x.dtype))
    matrix = torch.sparse_coo_tensor(
        torch.stack([target, source]), values.to(wide), (written + 1, read + 1), check_invariants=False
    )
    columns = torch.nn.functional.pad(x.to(wide).T, (0, 0, 0, 1))
    return torch.sparse.mm(matrix, columns)[:written].T.to(x.dtype)


def outer(x: Tensor, y: Tensor, index: Stored, shape: tuple[int, int]) -> Tensor:
    """Return Σ_b x[b, input] · y[b, output], [capacity], in blocks of samples."""
    n_in, n_out = shape
    wide = getattr(torch, wide_dtype(x.dtype))
    # A row for every block of outputs and input, and one for the connections beyond the count.
    high = index.blocks * n_in + 1
    end = torch.full_like(index.pointers[:1], len(index.outputs))
    sums = torch.sparse_csr_tensor(
        torch.cat([index.pointers, end]),
        index.outputs,
        torch.zeros(len(index.outputs), dtype=wide, device=x.device),
        (high, n_out + 1),
        check_invariants=False,
    )
    step = max(1, _TILE // high)
    for begin in range(0, len(x), step):
        samples = x[begin : begin + step].to(wide)
        rows = torch.nn.functional.pad(samples.repeat(1, index.blocks), (0, 1))
        columns = torch.nn.functional.pad(y[begin : begin + step].to(wide), (0, 1))
        sums = torch.sparse.sampled_addmm(sums, rows.T, columns)
    return sums.values().to(x.dtype)


def product(
    x: Tensor,
    values: Tensor,
    index: Stored,
    shape: tuple[int, int],
    *,
    transpose: bool,
    bias: Tensor | None,
    relu: bool,
) -> Tensor:
    """Return the differentiable product with all that follows, see `paths.Path`."""
    return finished(_Product.apply(x, values, index, shape, transpose), bias, relu)


class _Product(torch.autograd.Function):
    """x W or x Wᵀ; takes the gradients that are asked for only, which Keras' custom gradients cannot."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, index: Stored, shape: tuple[int, int], transpose: bool) -> Tensor:
        ctx.save_for_backward(x, values)
        ctx.how = index, shape, transpose
        return multiply(x, (values, index), shape, transpose=transpose)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, values = ctx.saved_tensors
        index, shape, transpose = ctx.how
        dx = dvalues = None
        if ctx.needs_input_grad[0]:
            dx = multiply(dy, (values, index), shape, transpose=not transpose)
        if ctx.needs_input_grad[1]:
            left, right = (dy, x) if transpose else (x, dy)
            dvalues = outer(left, right, index, shape).to(values.dtype)
        return dx, dvalues, None, None, None
