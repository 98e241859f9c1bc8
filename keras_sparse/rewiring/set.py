"""Sparse Evolutionary Training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .drop import survivors
from .policy import Change, KernelView
from .prune_regrow import PruneRegrow
from .schedules import fraction_schedule


class SET(PruneRegrow):
    """Sparse Evolutionary Training (Mocanu et al. 2018, Nature Communications 9:2383, algorithm 1).

    At each update, per kernel, the fraction ζ of the positive weights closest to zero and the fraction ζ of the
    negative weights closest to zero go: ⌊ζ·n₊⌋ and ⌊ζ·n₋⌋, each sign counted for itself; zeros count as positive,
    ties are decided by storage order. As many new connections come at uniformly random empty positions. The count
    stays constant. Survivors keep their values and optimizer state.

    The authors' programs differ from each other in three details, all of which are arguments here: their SciPy version
    draws new weights from the initializer, their Keras version starts them at zero; in both a position whose
    connection was just removed may get one again; the paper removes once more at the end of training.

    Args:
        zeta: ζ in [0, 1], or a schedule; 0.3 in the paper.
        final_removal: whether to remove once more, without regrowth, when training ends (the paper's last step;
            its code does so for RBMs but not for MLPs). Callbacks listed later may restore an earlier network, as
            EarlyStopping(restore_best_weights=True) does. Default False.
        values: of newcomers, "initial" (draws of the kernel's initializer) or "zero". Default "initial".
        may_return: whether a connection that was just removed may be drawn again. Default True.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.SET(zeta=0.3))
    """

    def __init__(
        self,
        zeta: Any = 0.3,
        final_removal: bool = False,
        *,
        values: Literal["initial", "zero"] = "initial",
        may_return: bool = True,
    ) -> None:
        super().__init__(fraction_schedule(zeta, "zeta"), drop="sign-split", values=values)
        self.zeta = zeta
        self.final_removal = final_removal
        self.may_return = may_return
        self.keeps_groups = may_return and not final_removal

    def _grown(self, kernel: KernelView, keep: Any, count: int) -> Change:
        if self.may_return:
            return super()._grown(kernel, keep, count)
        # As many as there is room for: the other positions hold a connection, or just lost one.
        inputs, outputs = kernel.random(min(count, kernel.positions - len(keep)))
        keep = keep.copy()
        keep[np.flatnonzero(~keep)[len(inputs) :]] = True  # what cannot be replaced stays
        return Change(keep, inputs, outputs, self._fresh(len(inputs)))

    def finish(self, kernels: Sequence[KernelView], **context: Any) -> list[Change | None]:
        """Remove without regrowth, if asked for."""
        del context
        if not self.final_removal:
            return [None] * len(kernels)
        nothing = np.empty(0, np.int64)
        zeta = self.fraction(0.0)  # a schedule has come to its end by now
        return [Change(survivors(kernel.values, zeta), nothing, nothing) for kernel in kernels]

    def __repr__(self) -> str:
        return f"SET(zeta={self.zeta}, final_removal={self.final_removal})"


class ContinuousSET(SET):
    """SET that evolves after any step with a small probability, instead of once per epoch ("Synapses").

    Use it with `ks.Rewire(policy, every=1)`. All kernels evolve together.

    Args:
        zeta: ζ in [0, 1] or a schedule, the fraction replaced at an evolution. Default 0.01.
        probability: of an evolution at a step, in [0, 1]. Default 0.1.
        values: of newcomers, see `SET`.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.ContinuousSET(zeta=0.01, probability=0.1), every=1)
    """

    def __init__(
        self, zeta: Any = 0.01, probability: float = 0.1, *, values: Literal["initial", "zero"] = "initial"
    ) -> None:
        super().__init__(zeta, values=values)
        if not 0 <= probability <= 1:
            raise ValueError(f"`probability` of an evolution lies in [0, 1]; got {probability!r}.")
        self.probability = float(probability)

    def update(self, kernels: Sequence[KernelView], *, rng: np.random.Generator, **context: Any) -> list[Change | None]:
        """Evolve, or do nothing."""
        if rng.random() >= self.probability:
            return [None] * len(kernels)
        return super().update(kernels, rng=rng, **context)

    def __repr__(self) -> str:
        return f"ContinuousSET(zeta={self.zeta}, probability={self.probability})"
