"""Write a rewiring policy of your own: remove the smallest weights whatever their sign, grow at random."""

from collections.abc import Sequence

import numpy as np

import keras_sparse as ks


class SmallestMagnitude(ks.Policy):
    """Replaces the fraction `fraction` of the weights closest to zero, less and less as training goes on."""

    def __init__(self, fraction: float = 0.3) -> None:
        self.fraction = fraction

    def update(self, kernels: Sequence[ks.KernelView], *, step, progress, learning_rate, rng):
        """Return one change per kernel."""
        return [self.change(kernel, self.fraction * (1 - progress)) for kernel in kernels]

    def change(self, kernel: ks.KernelView, fraction: float) -> ks.Change:
        """Replace `fraction` of the connections of one kernel."""
        count = int(fraction * len(kernel.values))
        keep = np.ones(len(kernel.values), bool)
        keep[np.argsort(np.abs(kernel.values), kind="stable")[:count]] = False
        inputs, outputs, _ = kernel.candidates(count, keep=keep)  # random empty positions
        return ks.Change(keep, inputs, outputs)  # new values: fresh draws of the kernel's initializer


if __name__ == "__main__":
    ks.testing.check_policy(SmallestMagnitude())  # raises AssertionError and names what is wrong
    print("The policy keeps every invariant; use it as ks.Rewire(SmallestMagnitude()).")
