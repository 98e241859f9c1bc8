"""Deep Rewiring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..topology import counter_rng
from ..topology.connectivity import Int64
from .policy import Change, Floats, KernelView, Policy
from .sharing import divide

BORN = 1e-12  # θ of a new connection: zero, but with a sign
_ONE, _TWO = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's finalizer
_HALF = np.uint64(33)


class DeepR(Policy):
    """DEEP R (Bellec et al. 2018, Deep Rewiring, algorithm 1): a walk over networks of exactly K connections.

    A connection is θ times a sign that belongs to its position and never changes. After each step of the optimizer
    θ ← θ - η α + √(2 η T) ν with the learning rate η and ν ~ N(0, 1); a connection whose θ falls below zero becomes
    dormant, and as many dormant ones, uniformly drawn, become active with θ = 0 (1e-12, as in the authors' code). So K
    connections are active after every step. Signs are a hash of (seed, input, output): nothing is stored.

    Initial weights get the signs of their positions when training begins. A network that another policy, or another
    seed, has trained keeps its weights, and loses those with the wrong sign, half of them, at the first step.

    It works after every step, so `steps_per_execution` must be 1; `every` of `ks.Rewire` is not used. Use plain SGD:
    the paper's walk has no momentum.

    Args:
        l1: α ≥ 0, the L1 penalty. Default 1e-5.
        temperature: T ≥ 0 of the walk. The authors' code sets its noise as lr·g·ν, which is T = lr·g²/2. Default
            2.5e-11, which is their g = 1e-5 at a learning rate of 0.5.
        total: None, each kernel keeps its own count; "global", the count of all kernels together is kept, and the
            kernel of a replacement is drawn in proportion to its first count (within its capacity); or that count as a
            number, to which the network grows at the first update.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.DeepR(l1=1e-5))
    """

    when = "after_step"
    changes_kept_values = True

    def __init__(self, l1: float = 1e-5, temperature: float = 2.5e-11, total: int | str | None = None) -> None:
        for name, value in (("l1", l1), ("temperature", temperature)):
            if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= value < math.inf):
                raise ValueError(f"`{name}` must be a finite number of at least 0; got {value!r}.")
        number = isinstance(total, int | np.integer) and not isinstance(total, bool)
        if total not in (None, "global") and not (number and int(total) > 0):
            raise ValueError(f'`total` must be None, "global" or a number of connections; got {total!r}.')
        self.l1, self.temperature, self.total = float(l1), float(temperature), total
        self.keeps_count = total is None
        self.keeps_total = not number

    def begin(self, kernels: Sequence[KernelView], **context: Any) -> list[Change | None]:
        """Give the initial weights the signs of their positions."""
        del context
        return [with_signs(kernel) for kernel in kernels]

    def update(
        self, kernels: Sequence[KernelView], *, learning_rate: float, rng: np.random.Generator, **context: Any
    ) -> list[Change | None]:
        """Walk; replace what has become dormant."""
        del context
        theta = [
            walked(stored_signs(kernel) * kernel.values, self.l1, self.temperature, learning_rate, rng)
            for kernel in kernels
        ]
        keeps = [t >= 0 for t in theta]
        counts = self._counts(kernels, keeps, rng)
        changes: list[Change | None] = []
        for kernel, keep, t, count in zip(kernels, keeps, theta, counts, strict=True):
            inputs, outputs = kernel.random(count, keep=keep)
            values = BORN * signs(kernel, inputs, outputs)
            # θ = 0 counts as active; its sign must not be lost.
            kept = np.maximum(t[keep], BORN) * stored_signs(kernel)[keep]
            changes.append(Change(keep, inputs, outputs, values, kept.astype(kernel.values.dtype)))
        return changes

    def _counts(
        self, kernels: Sequence[KernelView], keeps: Sequence[NDArray[np.bool_]], rng: np.random.Generator
    ) -> list[int]:
        """Return how many connections are to be activated in each kernel."""
        gone = [int(np.count_nonzero(~keep)) for keep in keeps]
        if self.total is None:
            return gone
        first = [float(kernel.remember("first_count", kernel.index.size)) for kernel in kernels]
        active = [kernel.index.size - lost for kernel, lost in zip(kernels, gone, strict=True)]
        total = sum(kernel.index.size for kernel in kernels) if self.total == "global" else int(self.total)
        missing = max(0, total - sum(active))
        room = [min(k.capacity, k.positions) - a for k, a in zip(kernels, active, strict=True)]
        if missing > sum(room):
            raise ValueError(
                f"DeepR(total={total}): the kernels have room for {sum(room) + sum(active)} connections together. "
                "Build the layers with a larger `capacity`, or ask for fewer."
            )
        shares = np.array(first) / sum(first) if sum(first) else np.full(len(first), 1 / len(first))
        drawn = rng.multinomial(missing, shares)
        counts = [min(int(d), r) for d, r in zip(drawn, room, strict=True)]
        rest = divide(missing - sum(counts), first, [r - c for r, c in zip(room, counts, strict=True)])
        return [a + b for a, b in zip(counts, rest, strict=True)]

    def __repr__(self) -> str:
        return f"DeepR(l1={self.l1:g}, temperature={self.temperature:g}, total={self.total!r})"


def signs(kernel: KernelView, inputs: Int64, outputs: Int64) -> Floats:
    """Return +1 or -1 for positions: a hash of the kernel's seed and the position, half of either."""
    keys = inputs.astype(np.uint64) * np.uint64(kernel.layout.shape[1]) + outputs.astype(np.uint64)
    keys ^= np.uint64(int(counter_rng.generator(*kernel.identity, 0).integers(1 << 63)))
    for factor in (_ONE, _TWO):
        keys ^= keys >> _HALF
        keys *= factor
    return (1 - 2 * (keys >> np.uint64(63)).astype(np.int8)).astype(np.float32)


def stored_signs(kernel: KernelView) -> Floats:
    """Return the signs of the connections that exist, [K]."""
    return kernel.once("signs", lambda: signs(kernel, *kernel.units()))


def with_signs(kernel: KernelView) -> Change:
    """Return the change that gives every weight the sign of its position."""
    theta = np.maximum(np.abs(kernel.values), BORN)
    nothing = np.empty(0, np.int64)
    keep = np.ones(len(theta), bool)
    return Change(keep, nothing, nothing, None, (theta * stored_signs(kernel)).astype(kernel.values.dtype))


def walked(theta: Floats, l1: float, temperature: float, learning_rate: float, rng: np.random.Generator) -> Floats:
    """Return θ - η α + √(2 η T) ν."""
    drift = np.float32(learning_rate * l1)
    if not temperature:
        return theta - drift
    noise = rng.standard_normal(len(theta), np.float32)
    noise *= np.float32(math.sqrt(2 * learning_rate * temperature))
    noise -= drift
    noise += theta
    return noise
