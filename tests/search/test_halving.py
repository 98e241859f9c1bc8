"""Who is given up, when."""

from dataclasses import replace

import pytest
from keras_sparse.search.halving import Halving, rungs
from keras_sparse.search.objective import Objective
from keras_sparse.search.records import TrialRecord

GOAL = Objective("classification", weight=0.0, reference=1000, n_validation=1000)


def trial(index, curve, connections=100, **more):
    metric = max(curve)
    return TrialRecord(
        index, "completed", 0, {}, "accuracy", 0.0, 1 - metric, 0.1, metric, None, connections, 0.1, 1, 1,
        {"val_metric": list(curve)}, "n", **more,
    )  # fmt: skip


EARLIER = [trial(i, [0.1, 0.2, 0.3 + i / 10, 0.9], connections=100 * (i + 1)) for i in range(6)]


def hopeless(curve, earlier=EARLIER, goal=GOAL, connections=100, epochs=30):
    return Halving(goal, earlier, epochs).hopeless(curve, {"connections": connections})


def test_rungs():
    assert rungs(30) == [3, 9, 27]
    assert rungs(27) == [3, 9]
    assert rungs(3) == []


def test_a_third_goes_on():
    for metric, stops in ((0.85, False), (0.65, False), (0.55, True), (0.2, True)):
        assert hopeless([0.1, 0.1, metric]) == stops, metric
    assert hopeless([0.9, 0.1, 0.2]) is False  # by the best epoch so far, not the last one


def test_only_at_rungs_and_not_before_there_are_others():
    assert not hopeless([0.0, 0.0])
    assert not hopeless([0.0] * 4)
    assert not hopeless([0.0] * 3, earlier=EARLIER[:2])
    assert not hopeless([0.0] * 3, epochs=3)


def test_those_given_up_did_not_reach_later_rungs():
    stopped = [replace(trial(i, [0.9] * 3), stopped_early=3) for i in range(6)]
    assert not hopeless([0.1] * 9, earlier=stopped)
    assert hopeless([0.1] * 3, earlier=stopped)
    broken = [replace(trial(i, [0.9] * 9), infeasible="x") for i in range(6)]
    assert not hopeless([0.1] * 3, earlier=broken)


@pytest.mark.parametrize("measure", ["connections", "latency"])
def test_a_small_network_on_the_front_goes_on_however_bad(measure):
    goal = replace(GOAL, pareto=(measure,))
    assert not hopeless([0.1, 0.1, 0.15], goal=goal, connections=50)
    assert hopeless([0.1, 0.1, 0.15], goal=goal, connections=5000)
    assert not hopeless([0.1, 0.1, 0.95], goal=goal, connections=5000)


def test_one_that_may_join_the_front_goes_on():
    """After three epochs others are better, but a quarter of them gained so much then that it would be on the front."""
    goal = replace(GOAL, pareto=("connections",))
    slow = [trial(i, [0.1, 0.2, 0.6, 0.9], connections=1000) for i in range(3)]
    fast = [trial(i + 3, [0.1, 0.2, 0.7, 0.7], connections=100) for i in range(6)]
    assert not hopeless([0.1, 0.1, 0.55], earlier=[*slow, *fast], goal=goal, connections=500)  # from 0.45 to a quarter
    assert hopeless([0.1, 0.1, 0.55], earlier=[*slow, *fast], goal=goal, connections=1000)  # 0.9 is known
    assert hopeless([0.1, 0.1, 0.55], earlier=[*slow[:1], *fast], goal=goal, connections=500)  # not a quarter
    given_up = [replace(record, stopped_early=4) for record in slow]
    assert hopeless([0.1, 0.1, 0.55], earlier=[*given_up, *fast], goal=goal, connections=500)


def test_size_counts_in_a_weighted_objective():
    goal = replace(GOAL, weight=10.0)
    assert hopeless([0.1, 0.1, 0.9], goal=goal, connections=900)
    assert not hopeless([0.1, 0.1, 0.9], goal=goal, connections=10)
