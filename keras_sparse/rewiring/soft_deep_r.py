"""soft-DEEP R: rewiring without a fixed number of connections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..topology import places
from .deep_r import BORN, DeepR, signs, stored_signs, walked
from .gradient import best
from .policy import Change, Floats, KernelView


class SoftDeepR(DeepR):
    """soft-DEEP R (Bellec et al. 2018, section 3 and appendix): connections come and go by a random walk.

    As `DeepR`, but a dormant connection goes on walking, by noise alone and not below θ_min = -T (1 - p) / (α p), and
    becomes active where its θ rises above zero. The number of connections is not fixed; in the long run, without a
    task, the share p of the positions is active. Where more would be active than the kernel has capacity for, those
    with the smallest θ stay dormant.

    Every position has a θ: four bytes for each, on the host. Dormant ones begin spread evenly over [θ_min, 0].

    Args:
        density: p in (0, 1).
        l1: α > 0. Default 1e-5.
        temperature: T > 0. Default 2.5e-11, see `DeepR`.
        allow_dense: accept kernels of more than 50 million positions.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> layer = ks.SparseDense(300, density=0.01, capacity=4000)
        >>> callback = ks.Rewire(ks.SoftDeepR(0.01))
    """

    memory = "dense"

    def __init__(
        self, density: float, *, l1: float = 1e-5, temperature: float = 2.5e-11, allow_dense: bool = False
    ) -> None:
        super().__init__(l1, temperature)
        if isinstance(density, bool) or not 0 < density < 1:
            raise ValueError(f"`density` is the share of positions that are active in the long run; got {density!r}.")
        if not (l1 > 0 and temperature > 0):
            raise ValueError(f"`l1` and `temperature` must be positive; got {l1!r} and {temperature!r}.")
        self.density, self.allow_dense = float(density), allow_dense
        self.least = -temperature * (1 - density) / (l1 * density)
        self.keeps_count = self.keeps_total = False

    def update(
        self, kernels: Sequence[KernelView], *, learning_rate: float, rng: np.random.Generator, **context: Any
    ) -> list[Change | None]:
        """Walk, active and dormant ones."""
        del context
        return [self._change(kernel, learning_rate, rng) for kernel in kernels]

    def _change(self, kernel: KernelView, learning_rate: float, rng: np.random.Generator) -> Change:
        theta = self._theta(kernel, rng)
        taken = kernel.taken(np.ones(kernel.index.size, bool))
        ours = stored_signs(kernel)
        noise = rng.standard_normal(len(theta), np.float32)
        noise *= np.float32(math.sqrt(2 * learning_rate * self.temperature))
        active = walked(ours * kernel.values, self.l1, self.temperature, learning_rate, rng)
        theta += noise
        theta[taken] = active
        # Those at the wall are turned back by it.
        np.maximum(theta, self.least, out=theta)
        alive = np.flatnonzero(theta > 0)
        if len(alive) > kernel.capacity:
            stay = best(theta[alive], kernel.capacity)
            dormant = np.ones(len(alive), bool)
            dormant[stay] = False
            theta[alive[dormant]] = 0.0
            alive = alive[stay]
        if not len(alive):  # a kernel without a single connection could not learn any more
            alive = np.array([int(np.argmax(theta))])
            theta[alive] = BORN
        keep = theta[taken] > 0
        fresh = np.setdiff1d(alive, taken[keep], assume_unique=True).astype(taken.dtype)
        inputs, outputs = places.to_units(kernel.layout, fresh)
        values = theta[fresh] * signs(kernel, inputs, outputs)
        kept = theta[taken[keep]] * ours[keep]
        return Change(keep, inputs, outputs, values, kept.astype(kernel.values.dtype))

    def _theta(self, kernel: KernelView, rng: np.random.Generator) -> Floats:
        """Return θ of every position, in the order of places, to be written to; that of active ones is out of date."""
        if "theta" not in kernel.memory:
            kernel.memory["theta"] = np.float32(self.least) * rng.random(kernel.positions, np.float32)
        return kernel.memory["theta"]

    def __repr__(self) -> str:
        return f"SoftDeepR({self.density:g}, l1={self.l1:g}, temperature={self.temperature:g})"
