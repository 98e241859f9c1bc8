"""Carrying out a policy's changes: checked first, then applied with the optimizer's state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute import host
from ..kernel import SparseKernel
from ..kernel_state import KernelState
from ..topology import counter_rng, places
from ..topology.connectivity import Connectivity, Int64
from ..topology.growing import Grown, merge
from . import optimizer_state
from .move import Move, scatter
from .policy import NEWCOMERS, Change, KernelView


class Plan:
    """A checked change of one kernel, ready to be applied.

    Args:
        kernel: the kernel to change.
        view: the kernel as the policy saw it.
        change: what the policy answered.
        who: policy and kernel, for error messages.

    Attributes:
        removed: number of connections that go.
        added: number of connections that come.
        count: number of connections afterwards.
        inputs: input units of the newcomers, [n], in storage order.
        outputs: output units of the newcomers, [n].
        degrees: (in-degrees [n_out], out-degrees [n_in]) afterwards.

    Raises:
        ValueError: when the change breaks an invariant; nothing has happened then.
    """

    def __init__(self, kernel: SparseKernel, view: KernelView, change: Change, who: str) -> None:
        self.kernel, self._values = kernel, view.values
        before = view.index.size
        self._keep = keep = np.asarray(change.keep)
        if keep.dtype != np.bool_ or keep.shape != (before,):
            raise ValueError(
                f"{who}: `keep` must be bool [{before}], one per connection; got {keep.dtype} {keep.shape}."
            )
        kept = int(np.count_nonzero(keep))
        grown = view.take_grown(change)
        if grown is None:
            change = _ordered(change, kernel, who)
        self.inputs, self.outputs = change.inputs, change.outputs
        self.removed, self.added = before - kept, len(self.inputs)
        self.count = kept + self.added
        if self.count > kernel.capacity:
            raise ValueError(
                f"{who}: {kept} kept + {self.added} new connections exceed the capacity, {kernel.capacity}."
            )
        self._kept = _values(change.kept_values, kept, f"{who}: `kept_values`")
        self._fresh = _values(change.values, self.added, f"{who}: `values`")
        self._move: Move | None = None
        if not self.removed and not self.added:  # new values only, as at most steps of a random walk
            self._ids, self._rows, self._new = view.index.ids, view.index.rows, np.empty(0, np.int64)
            self.degrees = self._degrees()
            return
        if grown is None:
            grown = _grown(view, keep, change, who)
        self._new = grown.new
        self._rows = places.pointers(kernel.layout, grown.taken, grown.fresh)
        del grown  # up to ten bytes per connection
        self._move = Move(keep, self._new)
        self._ids = self._move.carry(view.index.ids, self.count)
        scatter(self._ids, self._new, kernel.layout.local_ids(self.outputs))
        self.degrees = self._degrees()

    def _degrees(self) -> tuple[Int64, Int64]:
        layout = self.kernel.layout
        return layout.in_degrees(self._ids, self._rows), layout.out_degrees(self._rows)

    def apply(
        self, optimizer: Any, key: tuple[int, ...], state: KernelState, *, mean_second_moment: bool = False
    ) -> None:
        """Write the new topology, its values, the optimizer's slots, and the bookkeeping `state`."""
        kernel = self.kernel
        if self._move is None:
            self._revalue(state)
            return
        old = self._values
        fresh = self._fresh
        if fresh is None:
            fresh = kernel.fresh(self.inputs, self.outputs, self.degrees, counter_rng.generator(*key, NEWCOMERS))
        if self._kept is not None:
            old = old.copy()
            old[np.flatnonzero(self._keep)] = self._kept
        values = self._move.carry(old, kernel.capacity)
        scatter(values, self._new, fresh.astype(values.dtype, copy=False))
        del old, fresh
        if kernel.constraint is not None and self.added:
            self._constrain(values)
        optimizer_state.carry(optimizer, kernel, self._move, values, mean_second_moment=mean_second_moment)
        kernel.replace_index(self._ids, self._rows, values, state)
        kernel.mark_slots_aligned(optimizer)

    def _revalue(self, state: KernelState) -> None:
        """Write new values of the same connections."""
        kernel = self.kernel
        if self._kept is not None:
            values = np.zeros(kernel.capacity, self._values.dtype)
            values[: self.count] = self._kept
            host.write(kernel.values, values)
        kernel.note(state)

    def _constrain(self, values: NDArray[Any]) -> None:
        assert self.kernel.constraint is not None
        connectivity = self.kernel.layout.decode(self._ids, self._rows)
        newcomers = np.zeros(self.count, bool)
        newcomers[self._new] = True
        live = values[: self.count]
        live[:] = self.kernel.constraint.fit_newcomers(connectivity, live, newcomers)


def _ordered(change: Change, kernel: SparseKernel, who: str) -> Change:
    """Return `change` with checked newcomers in storage order."""
    try:
        added = Connectivity(change.inputs, change.outputs, shape=kernel.shape)
    except ValueError as error:
        raise ValueError(f"{who}: the new connections are not valid: {error}") from None
    order = kernel.layout.order(added)
    if order is None:
        return replace(change, inputs=added.inputs, outputs=added.outputs)
    values = None if change.values is None else np.asarray(change.values)
    if values is not None and values.shape == order.shape:  # others are refused later
        values = values[order]
    return replace(change, inputs=added.inputs[order], outputs=added.outputs[order], values=values)


def _grown(view: KernelView, keep: NDArray[np.bool_], change: Change, who: str) -> Grown:
    """Merge connections that stay with newcomers from elsewhere than the view's candidates."""
    taken = view.taken(keep)
    try:
        return merge(taken, places.of_units(view.layout, change.inputs, change.outputs))
    except ValueError:
        raise ValueError(f"{who}: a new connection lies where a kept one already is.") from None


def _values(values: Any, count: int, name: str) -> NDArray[Any] | None:
    if values is None:
        return None
    values = np.asarray(values)
    if values.dtype.name == "bfloat16":  # not one of NumPy's own floats
        values = values.astype(np.float32)
    if values.shape != (count,) or values.dtype.kind != "f":
        raise ValueError(f"{name} must be {count} floats, one per connection; got {values.dtype} {values.shape}.")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must be finite; {np.count_nonzero(~np.isfinite(values))} of them are not.")
    return values
