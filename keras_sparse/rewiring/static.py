"""A topology that stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .policy import Change, KernelView, Policy


class Static(Policy):
    """Pre-defined sparsity: nothing is rewired (Dey et al. 2019, Pre-Defined Sparse Neural Networks).

    For comparisons where every method has its policy; the same as training without `ks.Rewire`.
    """

    def update(self, kernels: Sequence[KernelView], **context: Any) -> list[Change | None]:
        """Change nothing."""
        del context
        return [None] * len(kernels)

    def __repr__(self) -> str:
        return "Static()"
