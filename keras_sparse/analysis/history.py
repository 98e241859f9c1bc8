"""The history of `Rewire` as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..rewiring.rewire import Rewire


class Exploration(NamedTuple):
    """How R_s of one kernel grew, one entry per update.

    Attributes:
        epoch: of each update, int64 [n].
        step: optimizer steps done before it, int64 [n].
        share: R_s, the share of all positions ever tried, float64 [n].
        exact: whether that was counted, up to 2**27 positions, or estimated with a standard error of 0.8 %, bool [n].
    """

    epoch: NDArray[np.int64]
    step: NDArray[np.int64]
    share: NDArray[np.float64]
    exact: NDArray[np.bool_]


def explored(rewire: Rewire | Sequence[dict[str, Any]]) -> dict[str, Exploration]:
    """Return R_s (Liu et al. 2021, In-Time Over-Parameterization) of every kernel that was rewired, as arrays.

    Args:
        rewire: the callback, or its `history`.

    Returns:
        An `Exploration` per layer name, in the order of the history.

    Example:
        >>> import keras_sparse as ks
        >>> entry = {"layer": "hidden", "epoch": 1, "step": 5, "explored": 0.3, "explored_exact": True}
        >>> ks.analysis.explored([entry])["hidden"].share.tolist()
        [0.3]
    """
    entries = rewire.history if isinstance(rewire, Rewire) else rewire
    by_layer: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_layer.setdefault(entry["layer"], []).append(entry)
    return {
        layer: Exploration(
            np.array([entry["epoch"] for entry in own], np.int64),
            np.array([entry["step"] for entry in own], np.int64),
            np.array([entry["explored"] for entry in own], np.float64),
            np.array([entry["explored_exact"] for entry in own], np.bool_),
        )
        for layer, own in by_layer.items()
    }
