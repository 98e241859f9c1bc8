# %% [markdown]
"""Write a rewiring policy of your own: by choosing pieces, by exchanging one, or anew. See docs/own_policy.md."""

# %%
from collections.abc import Sequence

import numpy as np

import keras_sparse as ks

# %%
# 1. Choose pieces: how many go and when, which go, where others grow, what they start with.
chosen = ks.PruneRegrow(ks.Cosine(0.3, end=0.75), drop="magnitude", grow="gradient", values="zero")


# %%
# 2. Exchange a piece: a drop rule and a schedule are functions.
def most_negative(values: np.ndarray, fraction: float) -> np.ndarray:
    """Return which weights stay when the most negative ones go, bool [K]."""
    keep = np.ones(len(values), bool)
    keep[np.argsort(values, kind="stable")[: int(fraction * len(values))]] = False
    return keep


exchanged = ks.PruneRegrow(lambda progress: 0.2 if progress < 0.5 else 0.05, drop=most_negative)


# %%
# 3. Write `update` yourself.
class Weak(ks.Policy):
    """Replaces the weights far below the mean magnitude of their kernel, smoothed over the updates.

    They grow again where the dense gradient is largest.
    """

    needs_gradient = True  # `candidates` goes by the gradient of one batch

    def __init__(self, share: float = 0.2, smoothing: float = 0.8) -> None:
        self.share, self.smoothing = share, smoothing

    def update(self, kernels: Sequence[ks.KernelView], *, progress: float, **context) -> list[ks.Change]:
        """Return one change per kernel."""
        return [self.change(kernel, self.share * (1 - progress)) for kernel in kernels]

    def change(self, kernel: ks.KernelView, share: float) -> ks.Change:
        """Replace the connections of one kernel that are weaker than `share` of the mean."""
        magnitude = np.abs(kernel.values)
        mean = kernel.memory.setdefault("mean", magnitude.mean(keepdims=True))  # kept from update to update
        mean[:] = self.smoothing * mean + (1 - self.smoothing) * magnitude.mean()
        keep = magnitude >= share * mean
        count = int(np.count_nonzero(~keep))
        inputs, outputs, _ = kernel.candidates(count, keep=keep)
        return ks.Change(keep, inputs, outputs, np.zeros(count, "float32"))


# %%
if __name__ == "__main__":
    for policy in (exchanged, Weak()):
        ks.testing.check_policy(policy)  # raises AssertionError and names what is wrong
    print("The policies keep every invariant; use them as ks.Rewire(Weak()), say.")
