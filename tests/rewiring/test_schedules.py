import math

import pytest

import keras_sparse as ks


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (ks.Constant(0.3), [0.3, 0.3, 0.3]),
        (ks.Linear(0.4, 0.2), [0.4, 0.3, 0.2]),
        (ks.Cosine(0.3), [0.3, 0.15, 0.0]),
        (ks.Cubic(1.0), [1.0, 0.125, 0.0]),
        (ks.InversePower(0.8, power=2), [0.8, 0.2, 0.0]),
    ],
)
def test_values_at_the_beginning_half_way_and_at_the_end(schedule, values):
    assert [schedule(p) for p in (0.0, 0.5, 1.0)] == pytest.approx(values)


def test_start_and_end():
    schedule = ks.Cosine(0.3, 0.1, start=0.25, end=0.75)
    assert schedule(0.1) == schedule(0.25) == 0.3
    assert schedule(0.75) == schedule(1.0) == 0.1
    assert schedule(0.375) == pytest.approx(0.1 + 0.1 * (1 + math.cos(math.pi / 4)))


@pytest.mark.parametrize("arguments", [{"start": 0.5, "end": 0.5}, {"start": -0.1}, {"end": 1.1}])
def test_wrong_ends_are_refused(arguments):
    with pytest.raises(ValueError, match="start < end"):
        ks.Linear(0.3, **arguments)


@pytest.mark.parametrize("value", [float("nan"), "0.3", True])
def test_wrong_values_are_refused(value):
    with pytest.raises(ValueError, match="finite numbers"):
        ks.Linear(value)


def test_a_power_must_be_positive():
    with pytest.raises(ValueError, match="`power`"):
        ks.InversePower(0.3, power=0)


@pytest.mark.parametrize("fraction", [1.5, ks.Linear(0.5, 1.5), "all", None])
def test_a_fraction_stays_between_0_and_1(fraction):
    with pytest.raises(ValueError, match="`fraction`"):
        ks.PruneRegrow(fraction)


def test_any_function_of_the_progress_will_do():
    assert ks.PruneRegrow(lambda progress: 0.5 * progress).fraction(0.5) == 0.25
