"""Whether degrees follow a power law: two tests, whose p-values mean opposite things."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..topology import counter_rng
from ..topology.connectivity import Int64
from .degrees import check_degrees, degree_distribution

_FEWEST = 4  # distinct degrees, below which no cut-off can be chosen


class PowerLaw(NamedTuple):
    """A fit P(k) ∝ k^-alpha for k ≥ xmin; all NaN when fewer than four distinct degrees above zero exist.

    Attributes:
        alpha: exponent.
        xmin: smallest degree that the law holds for.
        distance: Kolmogorov–Smirnov distance between the degrees from xmin on and the law.
        p_value: share of synthetic sets that fit worse. LARGE supports the power law; below 0.1 it is ruled out.
            NaN without synthetic sets.
        tail: number of units with a degree of at least xmin.
    """

    alpha: float
    xmin: float
    distance: float
    p_value: float
    tail: int


def power_law(degrees: ArrayLike, *, sets: int = 100, seed: int = 0) -> PowerLaw:
    """Fit a power law and test its goodness of fit: a LARGE p-value supports the power law.

    The method of Clauset, Shalizi and Newman (2009, SIAM Review 51:661, sections 3 and 4), by the package `powerlaw`
    (Alstott et al. 2014): maximum likelihood for alpha, the xmin of the least Kolmogorov–Smirnov distance, and a
    semi-parametric bootstrap. A synthetic set has as many units, each from the fitted law with the share of the tail as
    probability and otherwise from the degrees below xmin, and is fitted anew, xmin included. Zero degrees are left out.

    A large p-value on a short tail says little: of any distribution a few largest degrees look like a power law, so see
    `tail` too. This is the opposite sense of `set_paper_p_value`, where a small p-value is read as scale-free.

    Args:
        degrees: of all units, non-negative integers [units].
        sets: number of synthetic sets; 0 fits only. The default of 100 gives p within about 0.05, the paper's 2500
            within 0.01. A set takes 5 to 100 ms per 1000 units.
        seed: of the synthetic sets; the same seed gives the same p-value.

    Returns:
        (alpha, xmin, distance, p_value, tail).

    Raises:
        ValueError: when `degrees` are no degrees or `sets` is negative.

    Example:
        >>> import numpy as np, keras_sparse as ks
        >>> fit = ks.analysis.power_law(np.random.default_rng(0).zipf(2.5, 500), sets=0)
        >>> bool(2.3 < fit.alpha < 2.7), fit.xmin
        (True, 1.0)
    """
    present = check_degrees(degrees)
    present = present[present > 0]
    if sets < 0:
        raise ValueError(f"`sets` is a number of synthetic sets, 0 or more; got {sets}.")
    alpha, xmin, distance = _fit(present)
    if math.isnan(distance):
        return PowerLaw(math.nan, math.nan, math.nan, math.nan, 0)
    tail = int(np.count_nonzero(present >= xmin))
    body = present[present < xmin]
    distances = []
    for number in range(sets):
        rng = counter_rng.generator(seed, number)
        from_law = int(rng.binomial(len(present), tail / len(present)))
        law = _draw(alpha, int(xmin), from_law, rng)
        rest = rng.choice(body, len(present) - from_law) if len(body) else law[:0]
        distances.append(_fit(np.concatenate([law, rest]))[2])
    fitted = np.array([d for d in distances if not math.isnan(d)])
    p_value = float(np.mean(fitted >= distance)) if len(fitted) else math.nan
    return PowerLaw(alpha, xmin, distance, p_value, tail)


def set_paper_p_value(degrees: ArrayLike) -> float:
    """Test as the SET paper does: a SMALL p-value (below 0.05) is read as scale-free.

    The null hypothesis of Mocanu et al. (2018, Nature Communications 9:2383) is that the degree distribution and a
    power law have no relation; its test is one-tailed. The statistic is our reading of that: Pearson's correlation of
    log P(k) with log k over the degrees k ≥ 1 that occur, against the alternative that it is negative, since a power
    law is a falling line on these axes.

    The null is weak: many falling distributions, such as a geometric one, are no power laws and yet get a tiny p-value.
    Use `power_law`, where the power law itself is the null and a LARGE p-value supports it, to draw conclusions.

    Args:
        degrees: of all units, non-negative integers [units].

    Returns:
        The p-value; NaN when fewer than four distinct degrees above zero exist.

    Raises:
        ValueError: when `degrees` are no degrees.

    Example:
        >>> import numpy as np, keras_sparse as ks
        >>> rng = np.random.default_rng(0)
        >>> ks.analysis.set_paper_p_value(rng.zipf(2.5, 500)) < 0.05
        True
        >>> ks.analysis.set_paper_p_value(rng.poisson(30, 500)) < 0.05
        False
    """
    from scipy import stats

    present = check_degrees(degrees)
    present = present[present > 0]
    if len(np.unique(present)) < _FEWEST:
        return math.nan
    degree, probability, _ = degree_distribution(present)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)  # all degrees equally frequent: NaN
        test: Any = stats.pearsonr(np.log(degree), np.log(probability), alternative="less")
    return 1.0 if math.isnan(test.pvalue) else float(test.pvalue)


def _fit(degrees: Int64) -> tuple[float, float, float]:
    """Return (alpha, xmin, distance) of the best power law, NaN where there are too few distinct degrees."""
    import powerlaw

    if len(np.unique(degrees)) < _FEWEST:
        return math.nan, math.nan, math.nan
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # of its numerical search
        warnings.simplefilter("ignore")
        # Its default range ends at alpha = 3, where degree distributions need not.
        fit: Any = powerlaw.Fit(degrees, discrete=True, verbose=False, parameter_ranges={"alpha": (1.0, None)})
    return float(fit.alpha), float(fit.xmin), float(fit.D)


def _draw(alpha: float, xmin: int, count: int, rng: np.random.Generator) -> Int64:
    """Return `count` integers of the discrete power law from `xmin` on, exactly: appendix D of Clauset et al."""
    from scipy.special import zeta

    above = 1.0 - rng.random(count)  # P(X ≥ x) of the wanted x, in (0, 1]
    whole = zeta(alpha, xmin)

    def at_least(x: NDArray[np.int64]) -> NDArray[np.float64]:
        return zeta(alpha, x.astype(np.float64)) / whole

    low = np.full(count, xmin, np.int64)  # P(X ≥ low) ≥ above
    high = low * 2
    while np.any(grow := (at_least(high) >= above) & (high < 2**52)):
        low[grow], high[grow] = high[grow], high[grow] * 2
    while np.any(high - low > 1):
        middle = (low + high) // 2
        right = at_least(middle) >= above
        low, high = np.where(right, middle, low), np.where(right, high, middle)
    return low
