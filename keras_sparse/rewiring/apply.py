"""Carrying out a policy's changes: checked first, then applied with the optimizer's state."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernel import SparseKernel
from ..topology import counter_rng
from ..topology.connectivity import Connectivity, Int64
from . import optimizer_state
from .policy import NEWCOMERS, Change


class Plan:
    """A checked change of one kernel, ready to be applied.

    Args:
        kernel: the kernel to change.
        change: what the policy answered.
        who: policy and kernel, for error messages.

    Raises:
        ValueError: when the change breaks an invariant; nothing has happened then.
    """

    def __init__(self, kernel: SparseKernel, change: Change, who: str) -> None:
        self.kernel = kernel
        old = kernel.connectivity
        keep = np.asarray(change.keep)
        if keep.dtype != np.bool_ or keep.shape != (len(old),):
            raise ValueError(
                f"{who}: `keep` must be bool [{len(old)}], one per connection; got {keep.dtype} {keep.shape}."
            )
        try:
            added = Connectivity(change.inputs, change.outputs, shape=old.shape)
        except ValueError as error:
            raise ValueError(f"{who}: the new connections are not valid: {error}") from None
        survivors = np.flatnonzero(keep)
        self.removed, self.added = len(old) - len(survivors), len(added)
        if len(survivors) + len(added) > kernel.capacity:
            raise ValueError(
                f"{who}: {len(survivors)} kept + {len(added)} new connections exceed the capacity, {kernel.capacity}."
            )
        source = np.concatenate([survivors, np.full(len(added), -1, np.int64)])
        whole = Connectivity._trusted(
            np.concatenate([old.inputs[survivors], added.inputs]),
            np.concatenate([old.outputs[survivors], added.outputs]),
            old.shape,
        )
        order = kernel.layout.order(whole)
        order = np.arange(len(source)) if order is None else order
        self.connectivity = Connectivity._trusted(whole.inputs[order], whole.outputs[order], old.shape)
        self.source: Int64 = source[order]
        keys = np.sort(whole.keys)
        if np.any(keys[1:] == keys[:-1]):
            raise ValueError(f"{who}: a new connection lies where a kept one already is.")
        self._order = order
        self._kept = _values(
            change.kept_values, len(survivors), f"{who}: `kept_values`", kernel.host_values()[survivors]
        )
        self._new = None if change.values is None else _values(change.values, len(added), f"{who}: `values`", None)

    def apply(self, optimizer: Any, key: tuple[int, ...]) -> None:
        """Write the new topology, its values and the optimizer's slots."""
        kernel = self.kernel
        newcomers = self.source < 0
        if self._new is None:
            new = kernel.fresh(self.connectivity, newcomers, counter_rng.generator(*key, NEWCOMERS))
        else:
            new = self._new[self._order[newcomers] - len(self._kept)]
        values = np.empty(len(self.source), self._kept.dtype)
        values[~newcomers] = self._kept[self._order[~newcomers]]
        values[newcomers] = new
        if kernel.constraint is not None and newcomers.any():
            values = kernel.constraint.fit_newcomers(self.connectivity, values, newcomers)
        optimizer_state.carry(optimizer, kernel, self.source, values)
        kernel.replace(self.connectivity, values)


def _values(values: Any, count: int, name: str, default: NDArray[Any] | None) -> NDArray[Any]:
    if values is None:
        assert default is not None
        return default
    values = np.asarray(values)
    if values.shape != (count,) or values.dtype.kind != "f":
        raise ValueError(f"{name} must be {count} floats, one per connection; got {values.dtype} {values.shape}.")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must be finite; {np.count_nonzero(~np.isfinite(values))} of them are not.")
    return values
