"""SRigL: the same number of inputs for every output unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..topology.connectivity import Int64
from .drop import strongest_but, whole
from .gradient import Gradient, best
from .policy import Change, Floats, KernelView, Policy
from .prune_regrow import returning
from .schedules import Cosine


class SRigL(Policy):
    """SRigL (Lasby et al. 2024, Dynamic Sparse Training with Structured Sparsity, section 3): constant fan-in.

    At each update, per kernel, with n = f_t K and RigL's schedule f_t: (1) the n weights closest to zero are marked to
    go; (2) the others, and the n positions with the largest gradient, are salient; (3) output units with fewer than
    γ k salient connections are ablated: they lose all connections, for good; (4) the fan-in k becomes ⌊K / remaining
    units⌋; (5) every remaining unit gets connections by largest gradient until it has k. K is the count the kernel had
    first. Connections come with weight zero, those that return keep theirs.

    A kernel that begins with unequal fan-ins has equal ones after the first update. Units of an output layer must not
    be ablated: leave it out by `ks.Rewire(..., layers=[…])`, or set `gamma=0`.

    Args:
        alpha: first fraction of weights that go, in [0, 1]. Default 0.3.
        stop: share of the training at which the fraction has reached zero. Default 0.75.
        gamma: γ in [0, 1]; 0 ablates no unit. Default 0.3.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.SRigL(), every=100, layers=["hidden"])
    """

    needs_gradient = gradient_by_output = True
    keeps_count = False

    def __init__(self, alpha: float = 0.3, stop: float = 0.75, gamma: float = 0.3) -> None:
        for name, value in (("alpha", alpha), ("gamma", gamma)):
            if isinstance(value, bool) or not 0 <= value <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1]; got {value!r}.")
        self.fraction = Cosine(alpha, end=stop)
        self.gamma = float(gamma)

    def acts(self, progress: float) -> bool:
        """Return whether any connection would go."""
        return self.fraction(progress) > 0

    def update(self, kernels: Sequence[KernelView], *, progress: float, **context: Any) -> list[Change | None]:
        """Remove, ablate and regrow."""
        del context
        return [self._change(kernel, self.fraction(progress)) for kernel in kernels]

    def _change(self, kernel: KernelView, fraction: float) -> Change | None:
        n_in, n_out = kernel.layout.shape
        _, outputs = kernel.units()
        if not len(outputs):
            return None
        keep = strongest_but(kernel.values, whole(fraction * len(outputs)))
        alive = self._alive(kernel, keep, outputs)
        count = kernel.remember("first_count", len(outputs))
        if count < np.count_nonzero(alive):  # not one for each: the units with the largest weights keep theirs
            strength = np.bincount(outputs, np.abs(kernel.values, dtype=np.float64), minlength=n_out)
            alive &= np.isin(np.arange(n_out), best(np.where(alive, strength, -1.0), count))
        fan_in = min(n_in, max(1, count // int(np.count_nonzero(alive))))
        keep &= alive[outputs]
        keep &= _rank_within(outputs, np.where(keep, np.abs(kernel.values), -1.0), n_out) < fan_in
        wanted = np.where(alive, fan_in - np.bincount(outputs[keep], minlength=n_out), 0)
        grown_in, grown_out = _grow(kernel, keep, wanted)
        order = np.argsort(kernel.places(grown_in, grown_out))
        change = Change(keep, grown_in[order], grown_out[order], np.zeros(len(order), np.float32))
        return returning(kernel, change)

    def _alive(self, kernel: KernelView, keep: NDArray[np.bool_], outputs: Int64) -> NDArray[np.bool_]:
        """Return which output units are not ablated, bool [n_out]."""
        n_out = kernel.layout.shape[1]
        degrees = np.bincount(outputs, minlength=n_out)
        # A unit without connections was ablated, unless the kernel was drawn so.
        alive = degrees > 0 if kernel.updates else np.ones(n_out, bool)
        if not self.gamma:
            return alive
        _, newcomers, _ = kernel.candidates(int(np.count_nonzero(~keep)), keep=keep)
        salient = np.bincount(outputs[keep], minlength=n_out) + np.bincount(newcomers, minlength=n_out)
        fan_in = len(outputs) / max(1, int(np.count_nonzero(alive)))
        stays = alive & (salient >= self.gamma * fan_in)
        return stays if stays.any() else alive & (salient == salient[alive].max())

    def __repr__(self) -> str:
        return f"SRigL({self.fraction!r}, gamma={self.gamma:g})"


def _rank_within(groups: Int64, scores: Floats, count: int) -> Int64:
    """Return the place of every entry in its group, by falling score; of equal ones the first come first."""
    order = np.lexsort((-scores, groups))
    starts = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=count))])[:-1]
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - starts[groups[order]]
    return ranks


def _grow(kernel: KernelView, keep: NDArray[np.bool_], wanted: Int64) -> tuple[Int64, Int64]:
    """Return for every output unit the `wanted` empty positions with the largest gradient."""
    inputs, outputs = (units[keep] for units in kernel.units())
    order = np.argsort(outputs, kind="stable")
    inputs, outputs = inputs[order], outputs[order]
    found: list[tuple[Int64, Int64]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    assert isinstance(kernel.gradient, Gradient)
    for begin, gradient in kernel.gradient.outputs():
        width = gradient.shape[1]
        hungry = np.flatnonzero(wanted[begin : begin + width])
        if not len(hungry):
            continue
        scores = np.abs(gradient)
        first, last = np.searchsorted(outputs, [begin, begin + width])
        scores[inputs[first:last], outputs[first:last] - begin] = -1.0
        scores = scores[:, hungry]
        need = wanted[begin + hungry]
        most = int(need.max())
        ranked = np.sort(np.argpartition(-scores, most - 1, axis=0)[:most], axis=0)
        falling = np.argsort(-np.take_along_axis(scores, ranked, axis=0), axis=0, kind="stable")
        ranked = np.take_along_axis(ranked, falling, axis=0)
        chosen = np.arange(most)[:, None] < need
        found.append((ranked[chosen], np.broadcast_to(begin + hungry, ranked.shape)[chosen]))
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])
