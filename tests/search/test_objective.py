"""The objective, by hand and by property."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse.search.objective import Objective, complexity, objective, prediction_loss, reference_size


def test_classification_by_hand():
    score = Objective("classification", weight=1.0, reference=10_000, n_validation=100).score(0.93, 300)
    assert score.f_p == pytest.approx(0.07)
    assert score.f_c == pytest.approx(0.03)
    assert score.objective == pytest.approx(-1.0)
    assert score.valid


def test_regression_by_hand():
    goal = Objective("regression", weight=0.5, reference=100, n_validation=100, target_variance=4.0)
    score = goal.score(1.0, 50)
    assert (score.f_p, score.f_c) == (0.25, 0.5)
    assert score.objective == pytest.approx(math.log10(0.5))
    assert goal.metric == "mse"


@pytest.mark.parametrize(("task", "perfect"), [("classification", 1.0), ("regression", 0.0)])
def test_a_perfect_network_is_floored_at_half_an_example(task, perfect):
    assert prediction_loss(task, perfect, n_validation=250, target_variance=3.0) == 0.5 / 250


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_a_result(bad):
    for task in ("classification", "regression"):
        goal = Objective(task, weight=0.1, reference=10, n_validation=10, target_variance=1.0)
        if task == "classification" and bad == math.inf:
            continue  # an accuracy of +inf is floored; it cannot occur
        if task == "regression" and bad == -math.inf:
            continue  # nor can an error below zero
        assert not goal.score(bad, 5).valid


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused(weight):
    with pytest.raises(ValueError, match="complexity weight must be a finite number >= 0"):
        objective(0.1, 0.1, weight)
    with pytest.raises(ValueError, match="complexity weight"):
        Objective("classification", weight=weight, reference=10, n_validation=10)


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one validation example, got 0"):
        prediction_loss("classification", 0.5, n_validation=0)
    with pytest.raises(ValueError, match="positive variance"):
        Objective("regression", weight=0.1, reference=10, n_validation=10, target_variance=0.0)
    with pytest.raises(ValueError, match="reference network"):
        complexity(10, 0)


def test_reference_size():
    assert reference_size(64, [512, 512, 512], 10) == 64 * 512 + 2 * 512 * 512 + 512 * 10
    assert reference_size(3, [], 2) == 6


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 100))
def test_better_and_smaller_is_never_worse(a, b, k, m, weight):
    goal = Objective("classification", weight=weight, reference=10**6, n_validation=1000)
    best = goal.score(max(a, b), min(k, m))
    assert best.objective <= goal.score(a, k).objective
    assert best.objective <= goal.score(b, m).objective
