import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.rewiring.set import survivors


def test_the_sign_rule_by_hand():
    #        positive: 0 .1 .2 .3 .9 ; negative: -.05 -.4 -.5 -2
    values = np.array([0.3, -2.0, 0.1, -0.05, 0.0, 0.9, -0.5, 0.2, -0.4])
    keep = survivors(values, 0.5)
    # floor(.5 * 5) = 2 smallest positive: 0 and .1; floor(.5 * 4) = 2 negative closest to zero: -.05 and -.4.
    assert values[~keep].tolist() == [0.1, -0.05, 0.0, -0.4]


def test_the_most_negative_weights_stay():
    values = np.array([-10.0, -9.0, -0.1, -0.2])
    assert values[~survivors(values, 0.5)].tolist() == [-0.1, -0.2]


def test_each_sign_is_counted_for_itself_and_rounded_down():
    values = np.concatenate([np.arange(1, 8.0), -np.arange(1, 4.0)])  # 7 positive, 3 negative
    keep = survivors(values, 0.3)
    assert (~keep[:7]).sum() == 2  # floor(2.1)
    assert (~keep[7:]).sum() == 0  # floor(0.9)


def test_the_floor_is_that_of_the_decimal_number():
    assert (~survivors(np.arange(1.0, 101.0), 0.29)).sum() == 29  # 0.29 * 100 is 28.999999999999996 in binary


def test_zeros_count_as_positive_and_ties_go_by_storage_order():
    values = np.array([0.0, 1.0, 0.0, -1.0, 0.0, -0.0])
    assert np.flatnonzero(~survivors(values, 0.4)).tolist() == [0, 2]  # floor(.4 * 5) = 2 of the zeros


@given(st.lists(st.floats(-2, 2, width=16), max_size=40), st.floats(0, 1))
def test_counts_and_order(values, zeta):
    values = np.array(values)
    keep = survivors(values, zeta)
    for sign in (values >= 0, values < 0):
        removed, kept = np.abs(values[sign & ~keep]), np.abs(values[sign & keep])
        assert len(removed) == math.floor(zeta * sign.sum() + 1e-9)
        assert len(removed) == 0 or len(kept) == 0 or removed.max() <= kept.min()


@given(st.lists(st.integers(-3, 3).map(float)), st.floats(0, 1))
def test_ties_go_by_storage_order(values, zeta):
    values = np.array(values)
    keep = survivors(values, zeta)
    for places in (np.flatnonzero(values >= 0), np.flatnonzero(values < 0)):
        nearest = places[np.argsort(np.abs(values[places]), kind="stable")]
        removed = math.floor(zeta * len(places) + 1e-9)
        assert sorted(nearest[:removed].tolist()) == [p for p in places.tolist() if not keep[p]]


def test_what_is_no_number_stays():
    assert survivors(np.array([np.nan, 1.0, -1.0, 2.0, -2.0, np.nan]), 1.0).tolist() == [True, *[False] * 4, True]


@pytest.mark.parametrize("zeta", [-0.1, 1.1, "0.3", None, float("nan")])
def test_a_wrong_zeta_is_refused(zeta):
    with pytest.raises(ValueError, match="`zeta`"):
        ks.SET(zeta)


@pytest.mark.parametrize("policy", [ks.SET(0.3), ks.SET(0.0), ks.SET(1.0), ks.SET(0.5, final_removal=True)])
def test_set_passes_the_public_suite(policy):
    for seed in (0, 1):
        ks.testing.check_policy(policy, seed=seed)
