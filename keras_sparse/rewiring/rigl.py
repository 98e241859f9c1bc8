"""RigL and SNFS: growth by the dense gradient, and by its momentum."""

from __future__ import annotations

from typing import Any

from .prune_regrow import PruneRegrow
from .schedules import Cosine


class RigL(PruneRegrow):
    """RigL (Evci et al. 2020, Rigging the Lottery, algorithm 1).

    At each update, per kernel, the fraction f_t = α/2 (1 + cos(π t / T_end)) of the weights closest to zero goes and as
    many connections come where the magnitude of the dense gradient of that step is largest. A connection that was just
    removed may return, and then keeps its weight; others start at zero. As in the authors' code, the step of the
    update computes gradients and changes no weight. The gradient is looked at in blocks: no dense array is made.

    Use it with `ks.Rewire(policy, every=100)`. Penalties on weights do not reach the gradient that is compared.

    Args:
        alpha: α, the first fraction, in [0, 1]. Default 0.3.
        stop: T_end as a share of the training, in (0, 1]. Default 0.75.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.RigL(), every=100)
    """

    def __init__(self, alpha: float = 0.3, stop: float = 0.75) -> None:
        super().__init__(Cosine(alpha, end=stop), drop="magnitude", grow="gradient", values="zero")
        self.alpha, self.stop = alpha, stop

    def __repr__(self) -> str:
        return f"RigL(alpha={self.alpha:g}, stop={self.stop:g})"


class SNFS(PruneRegrow):
    """Sparse networks from scratch, by sparse momentum (Dettmers and Zettlemoyer 2019).

    At each update (an epoch in the paper) every kernel loses the fraction p of its weights closest to zero. Kernels
    share what was removed in proportion to the mean magnitude of the momentum of their connections, and connections
    come where the momentum of empty positions is largest, with weight zero. A kernel grows as far as its capacity
    allows; the total stays exact.

    The momentum of every position is kept: four bytes for each, on the host, and a dense product per step.

    Args:
        start: p at the beginning. Default 0.5.
        end: p at the end of training, by a cosine. Default 0.005.
        smoothing: of the momentum. Default 0.9.
        allow_dense: accept kernels of more than 50 million positions.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> import keras_sparse as ks
        >>> callback = ks.Rewire(ks.SNFS())
    """

    def __init__(
        self, start: float = 0.5, end: float = 0.005, *, smoothing: float = 0.9, allow_dense: bool = False
    ) -> None:
        options: dict[str, Any] = {"smoothing": smoothing, "allow_dense": allow_dense}
        super().__init__(
            Cosine(start, end), drop="magnitude", grow="momentum", values="zero", redistribute="momentum", **options
        )

    def __repr__(self) -> str:
        return f"SNFS({self.fraction.first:g}, {self.fraction.last:g})"
