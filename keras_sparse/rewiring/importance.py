"""Importance pruning: units that matter little lose all their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .policy import Change, KernelView, Policy
from .set import SET


class ImportancePruning(Policy):
    """Importance pruning beside another policy (Curci, Mocanu and Pechenizkiy 2021, Truly Sparse Neural Networks).

    A unit's importance is the sum of the magnitudes of its incoming weights. At every `period`-th update from the
    `first` on, all incoming connections of the units go whose importance is at or below the given percentile of the
    kernel's units; at all other updates the other policy acts. Leave the output layer out, by
    `ks.Rewire(..., layers=[…])`: its units are the classes.

    Args:
        policy: acts at the other updates. Default `ks.SET()`.
        percentile: in [0, 100). Default 20.
        first: number of updates (epochs) before pruning begins. Default 200.
        period: updates from one pruning to the next. Default 10.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.ImportancePruning(first=20), layers=["hidden_1", "hidden_2"])
    """

    keeps_count = False

    def __init__(
        self, policy: Policy | None = None, *, percentile: float = 20.0, first: int = 200, period: int = 10
    ) -> None:
        self.policy = SET() if policy is None else policy
        if not isinstance(self.policy, Policy) or self.policy.when != "before_step":
            raise ValueError(f"`policy` must be one that acts between steps, such as ks.SET(); got {policy!r}.")
        if not 0 <= percentile < 100:
            raise ValueError(f"`percentile` must lie in [0, 100); got {percentile!r}.")
        if first < 0 or period < 1:
            raise ValueError(f"`first` must be at least 0 and `period` at least 1; got {first!r} and {period!r}.")
        self.percentile, self.first, self.period = float(percentile), int(first), int(period)
        self.watches, self.gradient_by_output = self.policy.watches, self.policy.gradient_by_output
        self.needs_gradient, self.memory = self.policy.needs_gradient, self.policy.memory
        self.allow_dense, self.changes_kept_values = self.policy.allow_dense, self.policy.changes_kept_values

    def acts(self, progress: float) -> bool:
        """Return whether the other policy would do something; pruning needs no gradient, but comes with its updates."""
        return not self.needs_gradient or self.policy.acts(progress)

    def begin(self, kernels: Sequence[KernelView], **context: Any) -> Sequence[Change | None]:
        """Begin as the other policy does."""
        return self.policy.begin(kernels, **context)

    def observe(self, kernels: Sequence[KernelView]) -> None:
        """Let the other policy look."""
        self.policy.observe(kernels)

    def update(self, kernels: Sequence[KernelView], **context: Any) -> Sequence[Change | None]:
        """Prune, or let the other policy act."""
        number = max((kernel.updates for kernel in kernels), default=0)
        if number < self.first or (number - self.first) % self.period:
            return self.policy.update(kernels, **context)
        return [self._pruned(kernel) for kernel in kernels]

    def finish(self, kernels: Sequence[KernelView], **context: Any) -> Sequence[Change | None]:
        """Finish as the other policy does."""
        return self.policy.finish(kernels, **context)

    def _pruned(self, kernel: KernelView) -> Change:
        _, outputs = kernel.units()
        importance = np.bincount(outputs, np.abs(kernel.values, dtype=np.float64), minlength=kernel.layout.shape[1])
        stays = importance > np.percentile(importance, self.percentile)
        if not stays.any():  # all equal: which are unimportant?
            stays[:] = True
        nothing = np.empty(0, np.int64)
        return Change(stays[outputs], nothing, nothing)

    def __repr__(self) -> str:
        return f"ImportancePruning({self.policy!r}, percentile={self.percentile:g}, first={self.first})"
