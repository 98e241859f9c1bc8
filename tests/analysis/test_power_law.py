import math

import numpy as np
import pytest
from scipy.special import zeta

import keras_sparse as ks
from keras_sparse.analysis import power_law, set_paper_p_value
from keras_sparse.analysis.power_law import _draw

RNG = np.random.default_rng(5)
ZIPF = RNG.zipf(2.5, 1500)
POISSON = RNG.poisson(20, 1500)


def test_a_power_law_is_accepted_and_its_exponent_found():
    fit = power_law(ZIPF, sets=30, seed=1)
    assert fit.p_value > 0.1
    assert abs(fit.alpha - 2.5) < 0.15
    assert fit.tail == np.count_nonzero(fit.xmin <= ZIPF)


def test_poisson_degrees_are_rejected():
    assert power_law(POISSON, sets=30, seed=1).p_value < 0.1


def test_steep_laws_are_within_the_range_of_the_fit():
    assert abs(power_law(np.random.default_rng(0).zipf(4.5, 3000), sets=0).alpha - 4.5) < 0.4


def test_the_two_p_values_mean_opposite_things():
    assert set_paper_p_value(ZIPF) < 0.05
    assert set_paper_p_value(POISSON) > 0.05
    kernel = ks.Random().sample((400, 400), 8000, seed=2)  # an Erdős–Rényi graph is not scale-free
    assert set_paper_p_value(kernel.in_degrees) > 0.05


def test_the_p_value_is_a_function_of_the_seed():
    few = ZIPF[:300]
    first = power_law(few, sets=10, seed=3)
    assert power_law(few, sets=10, seed=3) == first
    assert {power_law(few, sets=10, seed=seed).p_value for seed in range(4)} != {first.p_value}


def test_zeros_are_left_out():
    assert power_law(np.concatenate([ZIPF, np.zeros(500, int)]), sets=0)[:3] == power_law(ZIPF, sets=0)[:3]
    assert math.isnan(power_law(ZIPF, sets=0).p_value)


@pytest.mark.parametrize("degrees", [[0, 0], [7] * 50, [1, 2, 3] * 20])
def test_too_few_distinct_degrees_give_nan(degrees):
    assert math.isnan(power_law(degrees).p_value)
    assert math.isnan(power_law(degrees).alpha)
    assert math.isnan(set_paper_p_value(degrees))


def test_equally_frequent_degrees_have_no_relation():
    assert set_paper_p_value([1, 2, 3, 4, 5]) == 1.0


def test_synthetic_degrees_follow_the_law():
    alpha, xmin, count = 2.2, 3, 40_000
    drawn = _draw(alpha, xmin, count, np.random.default_rng(0))
    assert drawn.min() == xmin
    for k in (3, 4, 7, 20):
        expected = float(k**-alpha / zeta(alpha, xmin))
        assert abs(np.mean(drawn == k) - expected) < 5 * math.sqrt(expected / count)
    assert abs(np.mean(drawn >= 100) - zeta(alpha, 100) / zeta(alpha, xmin)) < 0.003


def test_errors():
    with pytest.raises(ValueError, match="non-negative integers"):
        power_law([0.5])
    with pytest.raises(ValueError, match="sets"):
        power_law([1, 2, 3, 4], sets=-1)
