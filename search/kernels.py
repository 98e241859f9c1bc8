"""The similarity of two configurations, for a Gaussian process over a mixed space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

Array = NDArray[np.float64]

ABSENT = -1.0
"""Coordinate of a list's element that a configuration does not have."""

_SINGLE_BOUNDS = (0.1, 20.0)
# With longer scales an absent element is so near to all others that the ramp is no kernel any more.
_LIST_BOUNDS = (0.1, 1.5)


class MixedKernel(Kernel):
    """A Matérn kernel over single coordinates, times a ramp kernel over every list of layers.

    Single coordinates have one length scale each (ν = 5/2). For a list, as the widths of a network's layers, element k
    of one list is at distance d = ω |x − x'|^(1/k) from that of the other, and d = ω where only one has it; the kernel
    is the mean of exp(−d²/2) over k. So lists of different lengths are compared, and later layers matter by whether
    they exist more than by how wide they are. Source: Deep-n-Cheap (Dey et al. 2020), section 3, where ω = 3; here
    every list's ω is fitted.

    Args:
        length_scale: One per coordinate, then one per list (1/ω).
        singles: Columns of the single coordinates.
        lists: Columns of every list, first element first; an element that is not there is `ABSENT`.
    """

    def __init__(
        self,
        length_scale: Any,
        singles: Sequence[int],
        lists: Sequence[Sequence[int]],
    ) -> None:
        self.length_scale = length_scale
        self.singles = singles
        self.lists = lists

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        """For scikit-learn: the length scales are what is fitted."""
        bounds = np.array([_SINGLE_BOUNDS] * len(self.singles) + [_LIST_BOUNDS] * len(self.lists))
        return Hyperparameter("length_scale", "numeric", bounds, len(bounds))

    def __call__(self, X: Array, Y: Array | None = None, eval_gradient: bool = False) -> Any:
        """The kernel between the rows of X and Y, [n, m]; with its gradient by the logarithms, [n, m, scales]."""
        other = X if Y is None else Y
        scales = np.atleast_1d(np.asarray(self.length_scale, dtype=np.float64))  # scikit-learn unpacks one
        singles = list(self.singles)
        squares = [((X[:, None, c] - other[None, :, c]) / s) ** 2 for c, s in zip(singles, scales, strict=False)]
        distance = np.sqrt(5.0 * sum(squares)) if squares else np.zeros((len(X), len(other)))
        decay = np.exp(-distance)
        matern = (1.0 + distance + distance**2 / 3.0) * decay
        ramps = [
            self._ramp(X[:, columns], other[:, columns], s)
            for columns, s in zip(map(list, self.lists), scales[len(singles) :], strict=True)
        ]
        value = matern
        for ramp, _ in ramps:
            value = value * ramp
        if not eval_gradient:
            return value
        lists = value / np.maximum(matern, 1e-300)
        slopes = [5.0 / 3.0 * square * (1.0 + distance) * decay * lists for square in squares]
        slopes += [value / ramp * slope for ramp, slope in ramps]
        return value, np.stack(slopes, axis=-1) if slopes else np.zeros((*value.shape, 0))

    def _ramp(self, a: Array, b: Array, scale: float) -> tuple[Array, Array]:
        """The kernel of one list and its gradient by log `scale`."""
        near, slope = np.zeros((len(a), len(b))), np.zeros((len(a), len(b)))
        for k in range(a.shape[1]):
            missing, gone = a[:, k] == ABSENT, b[:, k] == ABSENT
            square = np.abs(a[:, None, k] - b[None, :, k]) ** (2.0 / (k + 1))
            square[missing], square[:, gone] = 1.0, 1.0
            square[np.ix_(missing, gone)] = 0.0
            square /= scale**2
            term = np.exp(-square / 2.0)
            near += term
            slope += square * term
        return near / a.shape[1], slope / a.shape[1]

    def diag(self, X: Any) -> Any:
        """The kernel of every row with itself."""
        return np.ones(len(X))

    def is_stationary(self) -> Any:
        """Absent elements are no positions."""
        return False
