"""Sparse Evolutionary Training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..topology.accelerated import accelerated
from .policy import Change, KernelView, Policy

_ROUNDING = 1e-9  # 0.29 · 100 is 28.999… in binary


class SET(Policy):
    """Sparse Evolutionary Training (Mocanu et al. 2018, Nature Communications 9:2383, algorithm 1).

    At each update, per kernel, the fraction ζ of the positive weights closest to zero and the fraction ζ of the
    negative weights closest to zero go: ⌊ζ·n₊⌋ and ⌊ζ·n₋⌋, each sign counted for itself; zeros count as positive,
    ties are decided by storage order. As many new connections come at uniformly random empty positions, where those
    just removed count as empty (as in the authors' code). The count stays constant. Survivors keep their values and
    optimizer state; newcomers get a fresh draw of the kernel's initializer.

    Args:
        zeta: ζ in [0, 1], 0.3 in the paper.
        final_removal: whether to remove once more, without regrowth, when training ends (the paper's last step;
            its code does so for RBMs but not for MLPs). Callbacks listed later may restore an earlier network, as
            EarlyStopping(restore_best_weights=True) does. Default False.

    Raises:
        ValueError: when `zeta` lies outside [0, 1].

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.SET(zeta=0.3))
    """

    def __init__(self, zeta: float = 0.3, final_removal: bool = False) -> None:
        if isinstance(zeta, bool) or not (isinstance(zeta, Real) and 0 <= zeta <= 1):
            raise ValueError(f"`zeta` is the fraction of connections replaced, in [0, 1]; got {zeta!r}.")
        self.zeta = float(zeta)
        self.final_removal = final_removal

    def update(self, kernels: Sequence[KernelView], **context: Any) -> list[Change | None]:
        """Remove and regrow."""
        del context
        changes: list[Change | None] = []
        for kernel in kernels:
            keep = survivors(kernel.values, self.zeta)
            inputs, outputs, _ = kernel.candidates(int(np.count_nonzero(~keep)), keep=keep)
            changes.append(Change(keep, inputs, outputs))
        return changes

    def finish(self, kernels: Sequence[KernelView], **context: Any) -> list[Change | None]:
        """Remove without regrowth, if asked for."""
        del context
        if not self.final_removal:
            return [None] * len(kernels)
        nothing = np.empty(0, np.int64)
        return [Change(survivors(kernel.values, self.zeta), nothing, nothing) for kernel in kernels]

    def __repr__(self) -> str:
        return f"SET(zeta={self.zeta}, final_removal={self.final_removal})"


def survivors(values: NDArray[Any], zeta: float) -> NDArray[np.bool_]:
    """Return which weights SET keeps, bool [K]: all but the fraction ζ closest to zero of each sign. O(K)."""
    below, above = (math.floor(zeta * count + _ROUNDING) for count in count_signs(values))
    return all_but_closest(values, below, above)


@accelerated("count_signs")
def count_signs(values: NDArray[Any]) -> tuple[int, int]:
    """Return how many values are negative, and how many are at least zero; NaN is neither."""
    return int(np.count_nonzero(values < 0)), int(np.count_nonzero(values >= 0))


@accelerated("all_but_closest")
def all_but_closest(values: NDArray[Any], below: int, above: int) -> NDArray[np.bool_]:
    """Return all values but the `below` negative and the `above` other ones closest to zero, bool [K].

    Of equal ones the first go.
    """
    negative = int(np.count_nonzero(values < 0))
    # Sorted by value, those that go are neighbours around zero. One partition finds one end, a second the other.
    start = negative - below
    part = np.partition(values, start) if below else values
    first = part[start] if below else 0.0
    gone = values >= first
    if above:
        rest, place = (part[start:], below + above - 1) if below else (part, negative + above - 1)
        last = np.partition(rest, place)[place]
        gone &= values <= last
    else:
        last = first
        gone &= values < 0
    if np.count_nonzero(gone) > below + above:
        _keep_ties(gone, values, last, int(np.count_nonzero(gone & (values >= 0))) - above)
        _keep_ties(gone, values, first, int(np.count_nonzero(gone & (values < 0))) - below)
    return ~gone


def _keep_ties(gone: NDArray[np.bool_], values: NDArray[Any], limit: Any, count: int) -> None:
    """Spare `count` of the weights that equal `limit`: the last ones."""
    if count:
        gone[np.flatnonzero(values == limit)[-count:]] = False
