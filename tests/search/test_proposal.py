"""What a proposal promises: pure, never repeated, and better than chance."""

import random

import keras_tuner
import numpy as np
import pytest
from keras_sparse.search.dominance import hypervolume
from keras_sparse.search.encoding import Encoding
from keras_sparse.search.errors import LimitsError
from keras_sparse.search.expectation import Expectation, Finished
from keras_sparse.search.objective import objective
from keras_sparse.search.proposal import INITIAL_TRIALS, propose
from keras_sparse.search.space import MLPSpace


@pytest.fixture(scope="module")
def encoding():
    hp = keras_tuner.HyperParameters()
    MLPSpace().declare(hp)
    return Encoding(hp.space)


SPACE = MLPSpace()
REFERENCE = SPACE.reference_size(64, 10)


def size(values):
    return SPACE.connections(values, 64, 10) / REFERENCE


def outcome(values, weight):
    """A made-up network: more connections are better up to a point, and the learning rate has an optimum."""
    f_p = 0.02 + 0.2 * (size(values) * 1e3 + 0.2) ** -1.0 + 0.05 * abs(np.log10(values["learning_rate"] / 0.01))
    return Finished(values, objective(f_p, size(values), weight), f_p)


def run(encoding, trials, *, seed=0, initial=INITIAL_TRIALS, weight=2.0, known=True, judge=outcome):
    finished = []
    for index in range(trials):
        costs = (lambda values: {"connections": size(values)}) if known else None
        values = propose(
            encoding, seed=seed, index=index, finished=finished, weight=weight, known=costs, initial=initial
        )
        if values is None:
            break
        finished.append(judge(values, weight))
    return finished


@pytest.mark.parametrize("known", [True, False])
def test_a_proposal_is_a_function_of_its_arguments(encoding, known):
    first = run(encoding, 10, seed=5, known=known)
    np.random.seed(1)
    random.seed(1)
    np.random.rand()
    again = run(encoding, 10, seed=5, known=known)
    assert [trial.values for trial in first] == [trial.values for trial in again]
    other = run(encoding, 10, seed=6, known=known)
    assert all(a.values != b.values for a, b in zip(first[1:], other[1:], strict=True))


def test_global_generators_are_left_alone(encoding):
    finished = run(encoding, 9)
    np.random.seed(3)
    random.seed(3)
    before = (np.random.get_state()[1].tolist(), random.getstate())
    propose(
        encoding, seed=0, index=9, finished=finished, weight=1.0, known=lambda values: {"connections": size(values)}
    )
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_the_search_starts_at_the_defaults_and_spreads(encoding):
    start = run(encoding, INITIAL_TRIALS)
    assert start[0].values == encoding.defaults()
    assert {trial.values["hidden_layers"] for trial in start} == {1, 2, 3}
    points = np.array([encoding.encode(trial.values) for trial in start[1:]])
    rates = [hp.name for hp in encoding._space].index("learning_rate")
    assert np.ptp(points[:, rates]) > 0.6


def test_it_learns(encoding):
    """Twenty trials beat twenty space-filling ones on the mean."""
    gains = []
    for seed in range(4):
        learned = min(trial.objective for trial in run(encoding, 20, seed=seed, weight=0.3))
        chance = min(trial.objective for trial in run(encoding, 20, seed=seed, weight=0.3, initial=20))
        gains.append(chance - learned)
    assert np.mean(gains) > 0.01


def test_it_learns_without_knowing_sizes():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Float("y", 0.0, 1.0)
    hp.Float("nothing", 0.0, 1.0)
    encoding = Encoding(hp.space)

    def bowl(values, _):
        return Finished(values, (values["x"] - 0.3) ** 2 + (values["y"] - 0.8) ** 2)

    for seed in range(2):
        finished = run(encoding, 18, seed=seed, known=False, judge=bowl)
        assert min(trial.objective for trial in finished) < 2e-3
        chance = run(encoding, 18, seed=seed, known=False, judge=bowl, initial=18)
        assert min(trial.objective for trial in finished) < min(trial.objective for trial in chance)


def test_a_small_space_is_tried_out_without_repeats():
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", [8, 16, 32])
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("depth", 1, 2)
    encoding = Encoding(hp.space)
    finished = run(encoding, 50, known=False, judge=lambda values, _: Finished(values, float(values["width"])))
    keys = [encoding.key(trial.values) for trial in finished]
    assert len(keys) == len(set(keys)) == 9


def test_nothing_is_repeated_where_rounding_makes_configurations_meet():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 1.0, 1.01)  # eleven values of four digits
    encoding = Encoding(hp.space)
    finished = run(encoding, 30, known=False, judge=lambda values, _: Finished(values, values["x"]))
    keys = [trial.values["x"] for trial in finished]
    assert len(keys) == len(set(keys)) == 11


def test_a_space_of_one_configuration():
    hp = keras_tuner.HyperParameters()
    hp.Fixed("width", 8)
    encoding = Encoding(hp.space)
    assert propose(encoding, seed=0, index=0, finished=[]) == {"width": 8}
    assert propose(encoding, seed=0, index=1, finished=[Finished({"width": 8}, -1.0)]) is None


def test_failures_are_avoided(encoding):
    """Fast learners fail and would be the best: the search turns away from them."""

    def judge(values, weight):
        if values["learning_rate"] > 0.008:
            return Finished(values, None)
        return outcome(values, weight)

    for seed in range(2):
        finished = run(encoding, 20, seed=seed, judge=judge)
        late = finished[INITIAL_TRIALS:]
        assert sum(trial.objective is None for trial in late) < len(late) / 3


def test_when_everything_fails_it_goes_on(encoding):
    finished = run(encoding, 12, judge=lambda values, _: Finished(values, None))
    keys = [encoding.key(trial.values) for trial in finished]
    assert len(set(keys)) == 12


def test_size_is_not_learned_but_known(encoding):
    """With a large weight the first proposal after the start is a small network, although f_p knows nothing of size."""

    def flat(values, weight):
        return Finished(values, objective(0.1, size(values), weight), 0.1 + 1e-3 * values["learning_rate"])

    finished = run(encoding, INITIAL_TRIALS + 1, weight=1000.0, judge=flat)
    assert size(finished[-1].values) < min(size(trial.values) for trial in finished[:-1])


def costs(values):
    return {"connections": SPACE.connections(values, 64, 10)}


def front_run(encoding, trials, *, seed=0, judge=None, outcome=outcome, **options):
    """A search for the whole front of the made-up networks."""
    finished = []
    for index in range(trials):
        values = propose(
            encoding,
            seed=seed,
            index=index,
            finished=finished,
            **{"pareto": ["connections"], "known": costs, **options},
        )
        trial = outcome(values, 0.1)
        measures = costs(values) if judge is None else judge(values)
        kept = all(measures[name] <= limit for name, limit in options.get("limits", {}).items())
        finished.append(Finished(values, trial.objective, trial.f_p, measures, kept))
    return finished


def demanding(values, weight):
    """A made-up network of any size that learns well at one rate and one ζ only."""
    off = abs(np.log10(values["learning_rate"] / 0.01)) + 0.5 * abs(np.log10(values["zeta"] / 0.1))
    f_p = min((0.02 + 0.2 * (size(values) * 1e3 + 0.2) ** -1.0) * 10**off, 0.95)
    return Finished(values, objective(f_p, size(values), weight), f_p, costs(values))


def box(finished):
    """The hypervolume in error and log10 of the connections."""
    worst = (0.95, np.log10(REFERENCE))
    return hypervolume([[t.f_p, np.log10(costs(t.values)["connections"])] for t in finished], worst)


@pytest.fixture(scope="module")
def fronts(encoding):
    return [front_run(encoding, 20, seed=seed, outcome=demanding) for seed in range(3)]


def test_a_front_beats_chance(encoding, fronts):
    """Twenty trials reach more than fifty random ones."""
    draws = np.random.default_rng(0).random((20, 50, encoding.size))
    chance = [box([demanding(encoding.decode(point), 0.1) for point in points]) for points in draws]
    found = [box(front) for front in fronts]
    assert np.mean(found) > np.mean(chance)
    assert min(found) > np.quantile(chance, 0.1)


def test_a_front_is_better_than_the_same_search_without_its_acquisition(encoding, fronts, monkeypatch):
    found = [box(front[:16]) for front in fronts[:2]]  # a search of 16 trials begins as one of 20
    blind = {
        "chance": lambda self, measures, rng: rng.random(len(self._new)),
        "the smallest": lambda self, measures, rng: -self.cost(measures[0])[0],
    }
    for acquisition in blind.values():
        monkeypatch.setattr(Expectation, "front_improvement", acquisition)
        others = [box(front_run(encoding, 16, seed=seed, outcome=demanding)) for seed in range(2)]
        assert np.mean(found) > np.mean(others)


def test_the_smallest_networks_are_not_thought_to_be_average(encoding, fronts):
    """What lies beyond the smallest tried network is predicted to be worse, not like the mean of the others."""
    finished = [t for t in fronts[0][:12] if costs(t.values)["connections"] > 200]
    sizes = sorted((costs(v)["connections"], str(i), v) for i, v in enumerate(candidates_of(encoding)))
    small, large = sizes[0][2], sizes[-1][2]
    expectation = Expectation(encoding, finished, [], [small, large], costs)
    (low, high), _ = expectation._predict(lambda trial: np.log10(trial.f_p))
    assert low > max(high, np.mean([np.log10(trial.f_p) for trial in finished]))


def candidates_of(encoding):
    return [encoding.decode(point) for point in np.random.default_rng(1).random((200, encoding.size))]


def test_the_front_starts_with_a_ladder_from_cheap_to_rich(encoding):
    start = [costs(trial.values)["connections"] for trial in front_run(encoding, INITIAL_TRIALS)]
    assert start == sorted(start)
    assert start[-1] > 20 * start[0]
    # Where sizes are not known, densities tell.
    start = front_run(encoding, INITIAL_TRIALS, known=None, judge=costs)
    assert start[0].values["density_1"] < start[-1].values["density_1"]


def test_a_front_is_repeatable_and_never_repeats_itself(encoding):
    first, again = (front_run(encoding, 12, seed=3) for _ in range(2))
    assert [trial.values for trial in first] == [trial.values for trial in again]
    assert len({encoding.key(trial.values) for trial in first}) == 12


def test_three_objectives(encoding):
    def judge(values):
        return {**costs(values), "latency": 1e-4 * values["hidden_layers"]}

    finished = front_run(encoding, 10, pareto=["connections", "latency"], judge=judge)
    assert len({encoding.key(trial.values) for trial in finished}) == 10


def test_known_limits_are_never_broken(encoding):
    for pareto in ([], ["connections"]):
        finished = front_run(encoding, 12, pareto=pareto, limits={"connections": 300})
        assert all(costs(trial.values)["connections"] <= 300 for trial in finished)
        assert len({encoding.key(trial.values) for trial in finished}) == 12


def test_limits_that_nothing_keeps_are_told_at_once(encoding):
    with pytest.raises(LimitsError, match=r"connections at least \d+, but at most 3 are allowed"):
        propose(encoding, seed=0, index=0, finished=[], known=costs, limits={"connections": 3})


@pytest.mark.parametrize("pareto", [[], ["connections"]])
def test_limits_on_what_is_measured_are_learned(encoding, pareto):
    def judge(values):
        return {**costs(values), "latency": values["units_1"] * 1e-6}

    limits = {"latency": 100e-6}
    finished = front_run(encoding, 18, pareto=pareto, limits=limits, judge=judge)
    late = finished[INITIAL_TRIALS + 2 :]
    assert sum(trial.feasible for trial in late) > 0.7 * len(late)


def test_running_trials_are_not_repeated(encoding):
    finished = front_run(encoding, 8)
    options = {"seed": 0, "finished": finished, "known": costs, "pareto": ["connections"]}
    first = propose(encoding, index=8, **options)
    second = propose(encoding, index=8, running=[first], **options)
    assert second == propose(encoding, index=8, running=[first], **options)
    assert encoding.key(first) != encoding.key(second)
    distance = np.linalg.norm(encoding.encode(first) - encoding.encode(second))
    assert distance > 0.05  # believing the first's prediction leaves nothing to gain beside it


def test_networks_that_were_not_trained_teach_sizes_only(encoding):
    finished = front_run(encoding, 8)
    untrained = Finished(finished[0].values | {"zeta": 0.123}, None, None, {"connections": 1e6}, False)
    assert propose(
        encoding, seed=0, index=9, finished=[*finished, untrained], known=costs, pareto=["connections"]
    ) is not None  # fmt: skip
