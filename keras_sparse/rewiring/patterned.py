"""Views of kernels whose pattern is kept through rewiring: N:M groups and blocks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernel import SparseKernel
from ..kernel_state import Index
from ..topology.block import Block
from ..topology.connectivity import Connectivity, Int64
from ..topology.layout import Layout
from ..topology.nm import NM
from .gradient import Array, Gradient, Scores
from .parts import PartedView
from .policy import _CANDIDATES, Change, Floats, KernelView, Policy


def view_of(kernel: SparseKernel, name: str, **what: Any) -> KernelView:
    """Return the view of a kernel that its pattern, or its parts, ask for; arguments as for `KernelView`."""
    if kernel.parts > 1:
        return PartedView(kernel, name, **what)
    kind = {NM: GroupView, Block: BlockView}.get(type(kernel.pattern), KernelView)
    return kind(kernel, name, **what)


def check(kernel: SparseKernel, name: str, policy: Policy, *, alone: bool = True) -> None:
    """Raise ValueError when `policy` cannot keep the pattern of `kernel`; `alone`: it rewires no other kernel."""
    if not getattr(kernel.pattern, "kept_through_rewiring", False):
        return
    who = type(policy).__name__
    if isinstance(kernel.pattern, NM) and not (policy.keeps_count and policy.keeps_groups):
        why = "its groups must stay complete, and the policy does not replace each connection where it was"
    elif isinstance(kernel.pattern, Block) and (
        policy.changes_kept_values or policy.watches or policy.gradient_by_output
    ):
        why = "the policy works with single connections, and this kernel has whole blocks"
    elif isinstance(kernel.pattern, Block) and policy.compares_kernels and not alone:
        why = "the policy counts connections of several kernels together, and this one has whole blocks"
    else:
        return
    raise ValueError(
        f"{who} cannot rewire {name}, which keeps the pattern {kernel.pattern!r}: {why}. Use a policy such as ks.SET() "
        "or ks.RigL(), or leave the layer out by `layers=`."
    )


class GroupView(KernelView):
    """A kernel with N:M groups: new connections complete the groups that lost some."""

    def _draw(self, n: int, keep: NDArray[np.bool_] | None, choose: Any) -> tuple[Int64, Int64]:
        del choose
        return self._complete(n, keep, None)

    def scored(self, n: int, scores: Scores, *, keep: NDArray[np.bool_] | None = None) -> tuple[Int64, Int64, Floats]:
        """Return the empty positions of incomplete groups that score highest."""
        assert isinstance(scores, Gradient | Array)
        inputs, outputs = self._complete(n, keep, lambda i, o: np.abs(scores.at(i, o)))
        return inputs, outputs, np.abs(scores.at(inputs, outputs))

    def _complete(self, n: int, keep: NDArray[np.bool_] | None, score: Any) -> tuple[Int64, Int64]:
        pattern = self._kernel.pattern
        assert isinstance(pattern, NM)
        inputs, outputs = self.units()
        stay = slice(None) if keep is None else keep
        kept = Connectivity._trusted(inputs[stay], outputs[stay], self.layout.shape)
        grown = pattern.regrow(self._rng(_CANDIDATES), self.layout.shape, kept, score)
        if len(grown[0]) != n:
            raise ValueError(
                f"{self.name}: {n} new connections wanted, but {len(grown[0])} complete the groups of {pattern!r}."
            )
        order = np.argsort(self.places(*grown))
        return grown[0][order], grown[1][order]


class BlockView(KernelView):
    """A kernel of blocks, seen as a kernel whose connections are the blocks.

    `values` are the mean magnitudes of the blocks, never negative, so that rules by sign go by magnitude; the gradient
    of a block is the sum of magnitudes. Changes are answered in blocks.
    """

    def __init__(self, kernel: SparseKernel, name: str, **what: Any) -> None:
        super().__init__(kernel, name, **what)
        self._fine = KernelView(kernel, name, **what)
        pattern = kernel.pattern
        assert isinstance(pattern, Block)
        self._pattern = pattern
        self._size = pattern.block_shape[0] * pattern.block_shape[1]
        grid = pattern.grid(kernel.shape)
        self.capacity = kernel.capacity // self._size
        self.layout = Layout.of(grid, self.capacity)
        units = pattern.units(self._fine.connectivity)
        numbers = np.sort(units)  # several times as fast as np.unique
        numbers = numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]
        blocks = Connectivity._trusted(numbers // grid[1], numbers % grid[1], grid)
        order = self.layout.order(blocks)
        order = np.arange(len(numbers)) if order is None else order
        place = np.empty(len(numbers), np.int64)
        place[order] = np.arange(len(numbers))
        self._block_of = place[np.searchsorted(numbers, units)]
        self._blocks = Connectivity._trusted(blocks.inputs[order], blocks.outputs[order], grid)
        ids, rows = self.layout.encode(self._blocks)
        self.index = Index(ids, rows, 0)
        self.values = self._means(np.abs(self._fine.values))
        if isinstance(self.gradient, Gradient):
            self.gradient = self.gradient.coarse(pattern.block_shape, self.layout)

    @cached_property
    def slots(self) -> dict[str, Floats]:
        """The mean magnitudes of the optimizer's state in every block."""
        return {name: self._means(np.abs(slot)) for name, slot in self._fine.slots.items()}

    @cached_property
    def connectivity(self) -> Connectivity:
        """The blocks that exist."""
        return self._blocks

    def resolve(self, change: Change) -> tuple[KernelView, Change]:
        """Return the kernel's own view, and `change` for its connections."""
        inputs, outputs = self._pattern.expand(change.inputs, change.outputs)
        values = None if change.values is None else np.repeat(change.values, self._size)
        return self._fine, Change(np.asarray(change.keep)[self._block_of], inputs, outputs, values)

    def _means(self, numbers: Floats) -> Floats:
        sums = np.bincount(self._block_of, numbers, minlength=len(self._blocks))
        return (sums / self._size).astype(np.float32)
