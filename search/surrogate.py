"""Gaussian processes that predict what a configuration would give."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS, _FEW = 30, 60
"""Most steps of fitting the scales, half of them to more than so many results, which take long and say more."""
_REFITS = ((20, 1), (_FEW, 4))
_SELDOM = 16
"""Up to so many results the scales are fitted anew with each, or every 4; beyond, every 16."""
_TYPICAL_SCALE, _TYPICAL_RAMP, _TYPICAL_NOISE = 2.0, 1.0, 0.02
"""Where a scale is thought to be before data speak, in units of a whole range; of the noise, in variances."""
_DOUBT = 2.0
"""Standard deviation of that, in logarithms: wide enough for dimensions that do not matter at all."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a table of features are what.

    Args:
        singles: Columns with a length scale of their own.
        lists: Columns of every list of layers, by layer.
    """

    singles: tuple[int, ...]
    lists: tuple[tuple[int, ...], ...]

    def with_column(self, column: int) -> Layout:
        """The layout with one more single column."""
        return Layout((*self.singles, column), self.lists)


def predict(layout: Layout, past: Array, targets: Array, new: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the outcome at `new`, without the noise of a single run.

    Every coordinate has a length scale of its own. They are fitted to the likelihood times a log-normal prior, without
    which ten results in ten dimensions say anything; of many results to the first ones, so that proposals share a fit.

    Args:
        layout: What the columns are.
        past: Features of finished trials, [n, columns].
        targets: Their outcomes, [n], finite.
        new: Features of configurations, [m, columns].

    Returns:
        Two arrays [m].
    """

    deviation = float(np.std(targets))
    if deviation < 1e-12:
        return np.full(len(new), float(np.mean(targets))), np.full(len(new), 1e-6)
    known = _fitted_to(len(past))
    theta = _scales(layout, past.shape[1], past[:known].tobytes(), targets[:known].tobytes())
    process = _process(layout, theta, past, targets)
    with _quietly():
        mean, spread = process.predict(new, return_std=True)
    noise = process.kernel_.k2.noise_level * deviation**2
    return mean, np.sqrt(np.maximum(spread**2 - noise, 1e-12))


def _fitted_to(results: int) -> int:
    """How many of the results, from the first one on, the scales are fitted to."""
    every = next((every for most, every in _REFITS if results <= most), _SELDOM)
    return results - results % every


@lru_cache(maxsize=8)
def _scales(layout: Layout, columns: int, past: bytes, targets: bytes) -> tuple[float, ...] | None:
    """The fitted scales, as scikit-learn's theta: a function of the results alone, kept for the proposals after it."""
    table, outcomes = np.frombuffer(past).reshape(-1, columns), np.frombuffer(targets)
    if float(np.std(outcomes)) < 1e-12:
        return None
    return tuple(_process(layout, None, table, outcomes, fit=True).kernel_.theta)


def _process(layout: Layout, theta: tuple[float, ...] | None, past: Array, targets: Array, *, fit: bool = False) -> Any:
    """A Gaussian process that knows results, with given scales, typical ones, or those that it fits to them."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel

    from .kernels import MixedKernel

    start = [_TYPICAL_SCALE] * len(layout.singles) + [_TYPICAL_RAMP] * len(layout.lists)
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * MixedKernel(np.array(start), layout.singles, layout.lists)
    noisy: Any = kernel + WhiteKernel(_TYPICAL_NOISE, (1e-4, 1.0))
    if theta is not None:
        noisy = noisy.clone_with_theta(np.array(theta))
    fitting: Any = _fitting(len(past)) if fit else None
    process: Any = GaussianProcessRegressor(noisy, alpha=1e-6, normalize_y=True, optimizer=fitting)
    with _quietly():
        return process.fit(past, targets)


@contextmanager
def _quietly() -> Iterator[None]:
    """Small matrices: one thread gives one answer. Scales at their bounds are no news."""
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


def _fitting(results: int) -> Callable[..., tuple[Array, float]]:
    """scikit-learn's hook: the scales that maximise likelihood times prior, from where the prior has its middle."""

    def most_probable(likelihood: Any, start: Array, bounds: Sequence[Any]) -> tuple[Array, float]:
        from scipy.optimize import minimize

        def loss(theta: Array) -> tuple[float, Array]:
            value, slope = likelihood(theta)
            away = (theta - start) / _DOUBT
            return value + 0.5 * float(away @ away), slope + away / _DOUBT

        steps = _STEPS if results <= _FEW else _STEPS // 2
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
        return found.x, float(found.fun)

    return most_probable
