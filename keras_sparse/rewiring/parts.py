"""Views of kernels whose outputs fall into parts with a count of their own: the gates of a recurrent layer."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernel import SparseKernel
from ..kernel_state import Index
from ..topology.connectivity import Connectivity
from ..topology.layout import Layout
from .gradient import Gradient
from .policy import Change, Floats, KernelView

_PART_STREAM = 2**33  # beside the kernels' numbers and the policy's


class PartedView(KernelView):
    """A kernel that a policy sees as `kernel.parts` kernels, equal ranges of its outputs."""

    def __init__(self, kernel: SparseKernel, name: str, **what: Any) -> None:
        super().__init__(kernel, name, **what)
        self._what = what

    def shown(self) -> list[KernelView]:
        """Return the views of the parts."""
        return list(self._parts)

    @cached_property
    def _parts(self) -> list[PartView]:
        units = self.units()
        return [PartView(self, self._kernel, part, *units, **self._what) for part in range(self._kernel.parts)]

    def combined(self, changes: Sequence[Change | None]) -> Change | None:
        """Return what changes of the parts mean for the whole kernel."""
        if all(change is None for change in changes):
            return None
        nothing = np.empty(0, np.int64)
        keep = np.ones(self.index.size, bool)
        values = np.array(self.values)
        added: list[tuple[NDArray[Any], ...]] = []
        fresh = all(change is None or change.values is None for change in changes)
        for part, change in zip(self._parts, changes, strict=True):
            if change is None:
                continue
            stays = _checked(change.keep, len(part.places_in_whole), part.name)
            keep[part.places_in_whole] = stays
            if change.kept_values is not None:
                values[part.places_in_whole[stays]] = change.kept_values
            inputs, outputs = np.asarray(change.inputs), np.asarray(change.outputs)
            if np.any(outputs < 0) or np.any(outputs >= part.layout.shape[1]):
                raise ValueError(
                    f"{part.name}: a new connection lies outside the part's {part.layout.shape[1]} outputs."
                )
            given = nothing
            if not fresh:
                given = part.initial(len(inputs)) if change.values is None else np.asarray(change.values)
            added.append((inputs, outputs + part.first, given))
        inputs, outputs, given = (np.concatenate(arrays) for arrays in zip(*added, strict=True))
        revalued = any(change is not None and change.kept_values is not None for change in changes)
        return Change(keep, inputs, outputs, None if fresh else given, values[keep] if revalued else None)


class PartView(KernelView):
    """One part of a kernel, seen as a kernel of its own.

    Attributes:
        first: its first output in the kernel.
        places_in_whole: where its connections stand among those of the kernel, [K of the part].
    """

    def __init__(
        self, whole: KernelView, kernel: SparseKernel, part: int, inputs: Any, outputs: Any, **what: Any
    ) -> None:
        seed, number, *rest = what["key"]
        memory = _Prefixed(whole.memory, f"part_{part}/")
        key = (seed, number + _PART_STREAM * (part + 1), *rest)
        super().__init__(kernel, f"{whole.name}[{part}]", **{**what, "key": key, "memory": memory})
        width = kernel.shape[1] // kernel.parts
        self.first = part * width
        shape = (kernel.shape[0], width)
        # Not by the capacity below, which changes: arrays that policies keep are in this order.
        self.layout = Layout.of(shape, max(1, kernel.capacity // kernel.parts))
        places = np.flatnonzero(outputs // width == part)
        own = Connectivity._trusted(inputs[places], outputs[places] - self.first, shape)
        order = self.layout.order(own)
        if order is not None:
            places, own = places[order], Connectivity._trusted(own.inputs[order], own.outputs[order], shape)
        self.places_in_whole, self._own = places, own
        # Room that is left goes to all parts alike, so that together they cannot ask for too much.
        self.capacity = min(self.positions, len(own) + (kernel.capacity - whole.index.size) // kernel.parts)
        self.index = Index(*self.layout.encode(own), 0)
        self.values = whole.values[places]
        self._whole = whole
        if isinstance(self.gradient, Gradient):
            self.gradient = self.gradient.columns(slice(self.first, self.first + width), self.layout)

    @cached_property
    def slots(self) -> dict[str, Floats]:
        """The optimizer's state at the part's connections."""
        return {name: slot[self.places_in_whole] for name, slot in self._whole.slots.items()}

    @cached_property
    def connectivity(self) -> Connectivity:
        """The part's connections, outputs counted from its first."""
        return self._own


class _Prefixed(MutableMapping[str, Any]):
    """The entries of a mapping whose names begin with a prefix."""

    def __init__(self, whole: MutableMapping[str, Any], prefix: str) -> None:
        self._whole, self._prefix = whole, prefix

    def __getitem__(self, name: str) -> Any:
        return self._whole[self._prefix + name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._whole[self._prefix + name] = value

    def __delitem__(self, name: str) -> None:
        del self._whole[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        begin = len(self._prefix)
        return iter([name[begin:] for name in self._whole if name.startswith(self._prefix)])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _checked(keep: Any, count: int, who: str) -> NDArray[np.bool_]:
    keep = np.asarray(keep)
    if keep.dtype != np.bool_ or keep.shape != (count,):
        raise ValueError(f"{who}: `keep` must be bool [{count}], one per connection; got {keep.dtype} {keep.shape}.")
    return keep
