"""Networks that shrink while they train: gradual magnitude pruning and GraNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .drop import strongest_but, whole
from .policy import Change, KernelView, Policy
from .prune_regrow import returning
from .schedules import Cosine, Cubic, fraction_schedule


class GMP(Policy):
    """Gradual magnitude pruning (Zhu and Gupta 2017, To Prune, or Not to Prune).

    From the density d_i a model begins with to d_f, density follows d_f + (d_i - d_f)(1 - τ)³ with τ from `start` to
    `end`; at each update the weights closest to zero go. What is removed is multiplied no more from the next step on;
    a saved model, or `ks.resize`, needs less memory too. Peak memory is that of the beginning.

    Args:
        density: d_f, in (0, 1]: of all kernels together, or of each.
        scope: "global", weights of all kernels are compared (each keeps at least one), or "layer".
        start: share of the training at which pruning begins. Default 0.
        end: share of the training at which `density` is reached. Default 0.75.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.GMP(0.1), every=100)
    """

    keeps_count = False

    def __init__(
        self, density: float, *, scope: Literal["global", "layer"] = "global", start: float = 0.0, end: float = 0.75
    ) -> None:
        if isinstance(density, bool) or not 0 < density <= 1:
            raise ValueError(f"`density` is the final density, in (0, 1]; got {density!r}.")
        if scope not in ("global", "layer"):
            raise ValueError(f'`scope` must be "global" or "layer"; got {scope!r}.')
        self.density, self.scope = float(density), scope
        self.compares_kernels = scope == "global"
        self.pace = Cubic(1.0, start=start, end=end)

    def update(self, kernels: Sequence[KernelView], *, progress: float, **context: Any) -> list[Change | None]:
        """Prune to the density that is due."""
        del context
        left = self.pace(progress)
        if self.scope == "layer":
            keeps = [strongest_but(k.values, k.index.size - self._due([k], left)) for k in kernels]
        else:
            keeps = _strongest_together(kernels, self._due(kernels, left))
        return [self._change(kernel, keep, progress) for kernel, keep in zip(kernels, keeps, strict=True)]

    def _due(self, kernels: Sequence[KernelView], left: float) -> int:
        """Return the number of connections `kernels` should have now; never more than they have."""
        first = sum(kernel.remember("first_count", kernel.index.size) for kernel in kernels)
        last = max(len(kernels), round(self.density * sum(kernel.positions for kernel in kernels)))
        due = round(last + (first - last) * left)
        return min(sum(kernel.index.size for kernel in kernels), max(due, last))

    def _change(self, kernel: KernelView, keep: NDArray[np.bool_], progress: float) -> Change | None:
        del kernel, progress
        nothing = np.empty(0, np.int64)
        return None if keep.all() else Change(keep, nothing, nothing)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.density:g}, scope={self.scope!r}, {self.pace!r})"


class GraNet(GMP):
    """GraNet (Liu et al. 2021, Sparse Training via Boosting Pruning Plasticity with Neuroregeneration).

    Pruning as `GMP` does, by default from the density 0.5 that the layers are built with; then in each kernel the
    fraction r of the remaining weights closest to zero goes and as many connections come where the magnitude of the
    dense gradient is largest, with weight zero.

    Args:
        density: d_f, in (0, 1].
        regrow: r, a fraction or a schedule. Default `ks.Cosine(0.5)`.
        scope: see `GMP`.
        start: see `GMP`.
        end: see `GMP`. Default 0.75.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.GraNet(0.1), every=100)
    """

    needs_gradient = True

    def __init__(
        self,
        density: float,
        *,
        regrow: Any = None,
        scope: Literal["global", "layer"] = "global",
        start: float = 0.0,
        end: float = 0.75,
    ) -> None:
        super().__init__(density, scope=scope, start=start, end=end)
        self.regrow = fraction_schedule(Cosine(0.5) if regrow is None else regrow, "regrow")

    def acts(self, progress: float) -> bool:
        """Return whether there is something to prune or to regrow."""
        return progress <= self.pace.end or self.regrow(progress) > 0

    def _change(self, kernel: KernelView, keep: NDArray[np.bool_], progress: float) -> Change | None:
        stay = np.flatnonzero(keep)
        keep = keep.copy()
        keep[stay] = strongest_but(kernel.values[stay], whole(self.regrow(progress) * len(stay)))
        inputs, outputs, _ = kernel.candidates(len(stay) - int(np.count_nonzero(keep)), keep=keep)
        return returning(kernel, Change(keep, inputs, outputs, np.zeros(len(inputs), np.float32)))


def _strongest_together(kernels: Sequence[KernelView], count: int) -> list[NDArray[np.bool_]]:
    """Return which connections stay when the `count` largest magnitudes of all kernels do, one at least in each."""
    magnitudes = [np.abs(kernel.values) for kernel in kernels]
    ends = np.cumsum([len(m) for m in magnitudes])
    together = np.concatenate(magnitudes) if magnitudes else np.empty(0, np.float32)
    for magnitude, end in zip(magnitudes, ends, strict=True):
        if len(magnitude):
            together[end - len(magnitude) + int(np.argmax(magnitude))] = np.inf
    return np.split(strongest_but(together, len(together) - count), ends[:-1])
