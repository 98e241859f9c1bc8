"""Policies that remove some connections and grow others: a drop rule, a grow rule, a fraction, a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .drop import DROP_RULES, DropRule
from .gradient import Array
from .policy import Change, Floats, KernelView, Policy
from .schedules import fraction_schedule
from .sharing import divide

Grow = Literal["random", "gradient", "momentum"]


class PruneRegrow(Policy):
    """Removes a fraction of the connections and grows as many.

    The pieces that methods differ by; SET, RigL, SNFS and others are choices of them. Positions whose connection was
    just removed count as empty; one that returns by gradient or momentum keeps its weight and its optimizer state.

    Args:
        fraction: share of each kernel's connections that goes: a number in [0, 1] or a schedule. Default 0.3.
        drop: "magnitude", the weights closest to zero, or "sign-split", the closest of each sign (SET); or a function
            of (values [K], fraction) that returns which stay, bool [K].
        grow: "random", "gradient" (where the dense gradient is largest, as RigL) or "momentum" (where the exponentially
            smoothed dense gradient is largest, as SNFS: memory for every position).
        values: of newcomers: "initial", draws of the kernel's initializer, or "zero".
        redistribute: None, each kernel keeps its count; "magnitude" or "momentum": kernels share what was removed in
            proportion to the mean |weight| or |momentum| of their connections (as far as their capacities allow). The
            total stays exact.
        smoothing: of the momentum, in [0, 1). Default 0.9.
        allow_dense: for "momentum", accept kernels of more than 50 million positions.

    Raises:
        ValueError: for an argument out of range, or "momentum" redistribution without "momentum" growth.

    Example:
        >>> import keras_sparse as ks
        >>> rewire = ks.Rewire(ks.PruneRegrow(ks.Cosine(0.3, end=0.75), grow="gradient", values="zero"), every=100)
    """

    def __init__(
        self,
        fraction: Any = 0.3,
        *,
        drop: Literal["magnitude", "sign-split"] | DropRule = "magnitude",
        grow: Grow = "random",
        values: Literal["initial", "zero"] = "initial",
        redistribute: Literal["magnitude", "momentum"] | None = None,
        smoothing: float = 0.9,
        allow_dense: bool = False,
    ) -> None:
        self.fraction = fraction_schedule(fraction, "fraction")
        if not callable(drop):
            _check("drop", drop, [*DROP_RULES])
        _check("grow", grow, ["random", "gradient", "momentum"])
        _check("values", values, ["initial", "zero"])
        _check("redistribute", redistribute, [None, "magnitude", "momentum"])
        if redistribute == "momentum" and grow != "momentum":
            raise ValueError('`redistribute="momentum"` needs `grow="momentum"`, which keeps the momentum.')
        if not 0 <= smoothing < 1:
            raise ValueError(f"`smoothing` must lie in [0, 1); got {smoothing!r}.")
        self._staying = drop if callable(drop) else DROP_RULES[drop]
        self.drop, self.grow, self.values, self.redistribute = drop, grow, values, redistribute
        self.smoothing, self.allow_dense = float(smoothing), allow_dense
        self.needs_gradient = grow == "gradient"
        self.watches = grow == "momentum"
        self.memory = "dense" if grow == "momentum" else "sparse"
        self.keeps_count = redistribute is None
        self.keeps_total = True
        self.compares_kernels = redistribute is not None

    def acts(self, progress: float) -> bool:
        """Return whether any connection would go."""
        return self.fraction(progress) > 0

    def update(self, kernels: Sequence[KernelView], *, progress: float, **context: Any) -> list[Change | None]:
        """Remove and regrow."""
        del context
        fraction = min(1.0, max(0.0, self.fraction(progress)))
        keeps = [self._staying(kernel.values, fraction) for kernel in kernels]
        counts = [int(np.count_nonzero(~keep)) for keep in keeps]
        if self.redistribute:
            room = [
                min(kernel.capacity, kernel.positions) - int(np.count_nonzero(keep))
                for kernel, keep in zip(kernels, keeps, strict=True)
            ]
            weights = [self._weight(kernel, keep) for kernel, keep in zip(kernels, keeps, strict=True)]
            counts = divide(sum(counts), weights, room)
        return [self._grown(*each) for each in zip(kernels, keeps, counts, strict=True)]

    def observe(self, kernels: Sequence[KernelView]) -> None:
        """Smooth the dense gradient."""
        for kernel in kernels:
            momentum = _momentum(kernel)
            momentum *= self.smoothing
            assert kernel.gradient is not None
            for first, values in kernel.gradient.blocks():
                momentum[first : first + len(values)] += values

    def _weight(self, kernel: KernelView, keep: NDArray[np.bool_]) -> float:
        """Return a kernel's share of what is to be grown."""
        if not keep.any():
            return 0.0
        if self.redistribute == "magnitude":
            return float(np.abs(kernel.values[keep], dtype=np.float64).mean())
        return float(np.abs(_momentum(kernel)[kernel.taken(keep)], dtype=np.float64).mean())

    def _grown(self, kernel: KernelView, keep: NDArray[np.bool_], count: int) -> Change:
        if self.grow == "random":
            inputs, outputs = kernel.random(count, keep=keep)
        elif self.grow == "gradient":
            inputs, outputs, _ = kernel.candidates(count, keep=keep)
        else:
            inputs, outputs, _ = kernel.scored(count, Array(kernel.layout, _momentum(kernel)), keep=keep)
        change = Change(keep, inputs, outputs, self._fresh(count))
        return change if self.grow == "random" else returning(kernel, change)

    def _fresh(self, count: int) -> Floats | None:
        return np.zeros(count, np.float32) if self.values == "zero" else None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.fraction!r}, drop={self.drop!r}, grow={self.grow!r}, values={self.values!r}, "
            f"redistribute={self.redistribute!r})"
        )


def returning(kernel: KernelView, change: Change) -> Change:
    """Return `change` with connections that were removed and grown again as if they had stayed."""
    gone = ~change.keep
    if not gone.any() or not len(change.inputs):
        return change
    order = kernel.taken(gone)  # ascending, as the connections are
    fresh = kernel.places(change.inputs, change.outputs)
    back = np.isin(order, fresh, assume_unique=True)
    if not back.any():
        return change
    keep = change.keep.copy()
    keep[np.flatnonzero(gone)[back]] = True
    new = ~np.isin(fresh, order, assume_unique=True)
    values = None if change.values is None else change.values[new]
    return Change(keep, change.inputs[new], change.outputs[new], values)


def _momentum(kernel: KernelView) -> Floats:
    """Return the smoothed gradient of every position, in the order of places, to be written to."""
    if "momentum" not in kernel.memory:
        kernel.memory["momentum"] = np.zeros(kernel.positions, np.float32)
    return kernel.memory["momentum"]


def _check(name: str, value: Any, allowed: list[Any]) -> None:
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}; got {value!r}.")
