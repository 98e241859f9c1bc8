"""Hypervolume and importance."""

import numpy as np
import pytest
from keras_sparse.search import hypervolume
from keras_sparse.search.report.growth import growth
from keras_sparse.search.report.importance import importance
from keras_sparse.search.report.values import axes


def values(points):
    return [step["value"] for step in growth(dict(enumerate(points)))]


def test_hypervolume_by_hand():
    # Errors 0 … 1; connections 1 … 100, that is 0 … 2 on the log scale.
    assert values([(0.5, 10.0), (1.0, 1.0), (0.0, 100.0), (0.5, 1.0)]) == [0.25, 0.25, 0.25, 0.5]
    assert values([(0.5, 10.0)]) == [1.0]
    assert values([]) == []
    assert values([(0.5, 10.0), (0.5, 100.0), (0.5, 1.0)]) == [0.5, 0.5, 1.0]  # one objective never differs


def test_hypervolume_in_three_dimensions_agrees_with_two():
    rng = np.random.default_rng(0)
    points = [(float(error), float(10 ** rng.uniform(2, 5))) for error in rng.random(40)]
    solid = values([(*point, 7.0) for point in points])  # a third objective that never differs
    np.testing.assert_allclose(solid, values(points), atol=1e-6)


def test_hypervolume_of_a_random_cloud_against_a_count():
    rng = np.random.default_rng(1)
    gains = rng.random((25, 2))
    gains = np.concatenate([gains, [[0, 1], [1, 0]]])
    exact = values([(1 - x, float(10 ** (1 - y))) for x, y in gains])[-1]
    grid = (np.arange(400) + 0.5) / 400
    x, y = np.meshgrid(grid, grid)
    covered = np.any([(x <= a) & (y <= b) for a, b in gains], axis=0).mean()
    assert exact == pytest.approx(covered, abs=0.01)


def test_growth_in_three_dimensions_is_the_volume_of_all_trials_so_far():
    rng = np.random.default_rng(2)
    losses = np.concatenate([[[0, 1, 1], [1, 0, 1], [1, 1, 0]], rng.random((25, 3))])
    found = values([(float(loss[0]), *(10 ** loss[1:]).tolist()) for loss in losses])
    assert found == pytest.approx([hypervolume(losses[: n + 1], [1.0] * 3) for n in range(len(losses))], abs=1e-6)


def tried(n, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {
            "rate": float(10 ** rng.uniform(-4, -1)),
            "noise": int(rng.integers(100)),
            "kind": str(rng.choice(list("abc"))),
        }
        | ({"extra": float(rng.random())} if rng.random() < 0.5 else {})
        for _ in range(n)
    ]


def test_importance_finds_what_decides():
    configurations = tried(120)
    outcomes = [abs(np.log10(each["rate"]) + 2.5) + 0.5 * (each["kind"] == "a") for each in configurations]
    found = importance(configurations, outcomes, axes(configurations)[0])
    assert [entry["name"] for entry in found["values"][:2]] == ["rate", "kind"]
    assert found["values"][0]["value"] > 3 * found["values"][1]["value"] > 0
    assert all(abs(entry["value"]) < 0.02 for entry in found["values"][2:])
    assert found["explained"] > 0.8
    assert found["trials"] == 120
    assert importance(configurations, outcomes, axes(configurations)[0]) == found


def test_importance_of_noise_says_that_nothing_is_explained():
    configurations = tried(60)
    outcomes = np.random.default_rng(5).random(60).tolist()
    assert importance(configurations, outcomes, axes(configurations)[0])["explained"] < 0.2


def test_importance_needs_trials_that_differ():
    few, many = tried(11), tried(20)
    assert "at least 12 completed trials; there are 11" in importance(few, [0.0] * 11, axes(few)[0])["reason"]
    assert "same objective" in importance(many, [0.5] * 20, axes(many)[0])["reason"]
    assert "No hyperparameter" in importance([{"a": 1}] * 20, list(range(20)), [])["reason"]
