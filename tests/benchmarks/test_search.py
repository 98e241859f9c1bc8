"""The comparison of searches: what is compared, and how; nothing is trained here but one tiny network."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from keras_sparse.search.data import Dataset
from keras_sparse.search.space import MLPSpace

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks are not installed

from benchmarks.reproduce.records import Records  # noqa: E402
from benchmarks.search import __main__, compare, deep_n_cheap, trainings  # noqa: E402
from benchmarks.search.keras_tuner_methods import BayesianOptimization, Hyperband, RandomSearch  # noqa: E402
from benchmarks.search.methods import Chebyshev, KerasSparse  # noqa: E402
from benchmarks.search.problem import Outcome, Problem  # noqa: E402


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 12)).astype("float32"), rng.integers(3, size=60)
    space = MLPSpace(hidden_layers=(1, 2), units=(8, 16), batch_sizes=(20, 40), input_density=(0.1, 0.5))
    return Problem(space, ((x[:30], y[:30]), (x[30:45], y[30:45]), (x[45:], y[45:])), 3, 9)


def outcome(problem, values):
    """What a made-up training gives."""
    error = 0.05 + abs(np.log10(values["learning_rate"] / 0.01)) * 0.3
    return Outcome(error, error + 0.01, problem.connections(values), [1 - error] * 9, [error], None)


def test_the_volume_is_the_share_of_the_box(problem):
    largest = problem.objective.reference
    assert problem.volume([(0.0, 1)]) == pytest.approx(1.0)
    assert problem.volume([(1 / 3, 1)]) == pytest.approx(0.5)
    assert problem.volume([(0.0, largest**0.5)]) == pytest.approx(0.5)
    assert problem.volume([(0.7, 1), (0.0, largest)]) == 0.0
    assert problem.volume([(1 / 3, 1), (0.0, largest**0.5)]) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "made", [KerasSparse, RandomSearch, pytest.param(BayesianOptimization, marks=pytest.mark.slow), Hyperband]
)
def test_methods_search_the_same_space(made, problem, tmp_path):
    runs = []
    for again in range(2):
        folder = tmp_path / str(again)
        folder.mkdir()
        method, values = made(problem, 3, 14, folder), []
        for index in range(14):
            proposal = method.ask(index)
            assert set(proposal.values) >= {"units_1", "density_1", "learning_rate"}
            assert ("units_2" in proposal.values) == (proposal.values["hidden_layers"] == 2)
            assert not [name for name in proposal.values if name.startswith("tuner/")]
            assert (proposal.weights is None) == (proposal.done == 0)
            values.append(dict(proposal.values))
            method.tell(index, outcome(problem, proposal.values))
        runs.append(values)
    assert runs[0] == runs[1]
    if made is not Hyperband:
        assert len({str(v) for v in runs[0]}) == 14


def test_hyperband_trains_on(problem, tmp_path):
    method, proposals = Hyperband(problem, 0, 40, tmp_path), []
    for index in range(40):
        proposals.append(method.ask(index))
        method.tell(index, outcome(problem, proposals[-1].values))
    assert {p.epochs for p in proposals} == {1, 3, 9}
    on = [p for p in proposals if p.done]
    assert {(p.done, p.epochs) for p in on} >= {(1, 3), (3, 9)}
    for proposal in on:  # with the weights of the very network
        assert proposal.weights == [outcome(problem, proposal.values).error]


@pytest.mark.parametrize("name", ["NSGA2", "TPE", "GP"])
def test_samplers_of_optuna_search_it_too(name, problem, tmp_path):
    pytest.importorskip("optuna", reason="Optuna is installed for the benchmark only")
    if name == "GP":
        pytest.importorskip("torch", reason="torch is installed for the benchmark only")
    from benchmarks.search import optuna_methods

    method = getattr(optuna_methods, name)(problem, 1, 12, tmp_path)
    for index in range(12):
        values = method.ask(index).values
        assert values["units_1"] in (8, 16)
        assert ("units_2" in values) == (values["hidden_layers"] == 2)
        assert 2e-3 <= values["learning_rate"] <= 3e-2
        method.tell(index, outcome(problem, values))


def test_one_number_for_two_objectives():
    points = np.array([[0.1, 4.0], [0.5, 2.0], [0.5, 4.0], [0.3, 2.5]])
    scores = Chebyshev(np.random.default_rng(0))
    best = {int(np.argmin(scores.scores(points))) for _ in range(200)}
    assert best == {0, 1, 3}  # all of the front, and nothing else


def test_training_goes_on_from_weights(problem):
    values = {"hidden_layers": 1, "units_1": 8, "density_1": 0.4, "density_output": 0.2}
    values |= {"zeta": 0.1, "learning_rate": 0.01, "batch_size": 20}
    first = problem.train(values, 1, epochs=2)
    assert len(first.curve) == 2
    assert first.connections == problem.connections(values)
    assert 0 <= first.test_error <= 1
    again = problem.train(values, 1, epochs=2)
    assert again.error == first.error
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, again.weights))
    more = problem.train(values, 1, epochs=5, done=2, weights=first.weights)
    assert len(more.curve) == 3


def record(records, setting, seed, times, growth):
    trials = [[t, 0.1, 0.1, 50, 9] for t in times]
    results = {"trials": trials, "growth": [growth, [g / 2 for g in growth]], "proposing": 0.3}
    records.add(setting, seed, {**results, "hypervolume": growth[-1]}, seconds=times[-1])


def test_the_table_compares_at_equal_trials_and_at_equal_time(tmp_path):
    experiment = compare.experiment("digits", {"trials": 3, "epochs": 2})
    records = Records(tmp_path / "digits.jsonl")
    slow, fast, unfinished = experiment.settings[:3]
    for seed in range(2):
        record(records, slow, seed, [2.0, 4.0, 6.0], [0.2, 0.5, 0.8])
        record(records, fast, seed, [1.0, 2.0, 4.5], [0.1, 0.3, 0.4 + seed / 10])
    text = compare.table(experiment, records, "make it")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    # The fast one ends after 4.5 s, when the slow one has two networks.
    assert rows[slow.name] == (
        f"| {slow.name} | 20.0 ± 0.0 | 50.0 ± 0.0 | 80.0 ± 0.0 | 40.0 ± 0.0 | 50.0 ± 0.0 | 25.0 ± 0.0 | 2.0 | 0.3 |"
    )
    assert "45.0 ± 7.1 | 22.5 ± 3.5 | 45.0 ± 7.1 | 22.5 ± 3.5 | 1.5 | 0.3 |" in rows[fast.name]
    assert unfinished.name not in rows
    assert "2 seeds; equal time: 4 s" in text
    record(records, unfinished, 1, [1.0, 2.0, 3.0], [0.1, 0.1, 0.1])
    assert "1 seeds; equal time: 3 s" in compare.table(experiment, records, "make it")
    assert "No seed is finished" in compare.table(experiment, Records(tmp_path / "none.jsonl"), "make it")


def test_networks_for_a_size_fill_it():
    values = {"hidden_layers": 2, "units_1": 30, "density_1": 0.01, "units_2": 20, "density_2": 0.1}
    values |= {"density_output": 0.5, "zeta": 0.3, "learning_rate": 0.01, "batch_size": 128}
    for size in (500, 1000, 4000, 20_000):
        found = deep_n_cheap.filled(values, size)
        kernels = deep_n_cheap.SPACE.kernels(found, 784, 10)
        parameters = sum(kernel.connections + kernel.biases for kernel in kernels)
        assert size - 30 < parameters <= size
        assert all(found[k] <= 1.0 for k in found if k.startswith("density"))
        assert {k: v for k, v in found.items() if "density" not in k} == {
            k: v for k, v in values.items() if "density" not in k
        }
    dense = deep_n_cheap.filled(values, 10**6)
    assert [dense[k] for k in dense if k.startswith("density")] == [1.0] * 3


def test_networks_are_chosen_by_validation_alone():
    def trial(number, val, parameters, status="completed"):
        return {
            "status": status, "val_metric": val, "test_metric": 1 - (val or 0), "parameters": parameters,
            "hyperparameters": {"trial": number},
        }  # fmt: skip

    trials = [trial(0, 0.9, 900), trial(1, 0.95, 1001), trial(2, 0.92, 1000), trial(3, None, None, "failed")]
    trials += [trial(4, 0.8, 100), trial(5, 0.92, 500)]
    assert [v["trial"] for v in deep_n_cheap.fitting(trials, 1000)] == [5, 2]


def test_candidates_have_the_size_and_every_policy():
    values = {"hidden_layers": 1, "units_1": 100, "density_1": 0.01, "density_output": 0.5, "policy": "rigl"}
    trial = {"status": "completed", "val_metric": 0.9, "parameters": 1400, "hyperparameters": values}
    found = deep_n_cheap.candidates([trial, {**trial, "parameters": 2001}], 2000)
    assert [v["policy"] for v in found] == ["static", "rigl"]
    for candidate in found:
        kernels = deep_n_cheap.SPACE.kernels(candidate, 784, 10)
        assert 1980 < sum(kernel.connections + kernel.biases for kernel in kernels) <= 2000
    assert deep_n_cheap.candidates([trial], 1000) == []


def test_there_is_more_of_everything_while_that_validates_better():
    seen = []

    def validate(values):
        seen.append({name: value for name, value in values.items() if name != "units_1"})
        return {"validation": 1 - abs(values.get("dropout", 0.0) - 0.3) - values.get("smoothing", 0.0)}

    values = {"units_1": 30, "weight_decay": 0.1, "dropout": 0.1}
    best, validated = deep_n_cheap.refined(values, {"validation": 0.8}, validate)
    assert best == {"units_1": 30, "weight_decay": 0.1, "dropout": 0.3}
    assert validated == {"validation": 1.0}
    assert [v.get("smoothing", 0.0) for v in seen] == [0.1, 0, 0, 0, 0, 0]
    assert [v["weight_decay"] for v in seen] == [0.1, 0.3, 0.1, 0.1, 0.1, 0.1]
    assert [v["dropout"] for v in seen] == [0.1, 0.1, 0.2, 0.3, 0.4, 0.3]
    assert [v.get("longer", 1) for v in seen] == [1, 1, 1, 1, 1, 2]
    most = {name: levels[-1] for name, levels in deep_n_cheap.MORE.items()}
    assert deep_n_cheap.refined(most, {"validation": 0.1}, validate) == (most, {"validation": 0.1})


def test_a_size_is_settled_from_kept_steps_in_another_process(pixels, tmp_path):
    steps = deep_n_cheap._Steps(Records(tmp_path / "steps.jsonl"), "mnist", deep_n_cheap.Plan(), 0)
    most = {name: levels[-1] for name, levels in deep_n_cheap.MORE.items()}
    worse, better = ({**most, "units_1": units} for units in (30, 48))
    steps.keep("validated 1000", worse, {"validation": 0.5}, 1.0)
    steps.keep("validated 1000", better, {"validation": 0.6}, 1.0)
    steps.keep("tested 1000", better, {"test": 0.55}, 1.0)
    steps.keep("rival 1000", {"size": 1000}, {"test": 0.4}, 1.0)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        row = pool.submit(deep_n_cheap.settled, pixels, steps, 40, 1000, [worse, better]).result()
    assert row == (1000, better, {"validation": 0.6}, {"test": 0.55}, {"test": 0.4})


def test_the_aims_are_in_the_table():
    values = {"hidden_layers": 2, "units_1": 30, "units_2": 20}
    row = (1000, values, {"validation": 0.95}, {"test": 0.9541, "parameters": 998}, {"test": 0.9, "parameters": 838})
    text = deep_n_cheap.table("mnist", [row], deep_n_cheap.Plan())
    assert "| 1,000 | 998 | 30-20 | 95.00 | 95.41 | 95.40 | 90.00 (838) |" in text
    assert "    python -m benchmarks.search deep_n_cheap\n" in text
    text = deep_n_cheap.table("mnist", [row], deep_n_cheap.Plan(trials=80))
    assert "    python -m benchmarks.search deep_n_cheap --trials 80\n" in text


def test_pooling():
    x = np.arange(784, dtype=float).reshape(1, 28, 28)
    assert trainings.pooled(x)[0, :2].tolist() == [14.5, 16.5]


def test_unknown_comparisons_are_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["search", "cifar"])
    with pytest.raises(SystemExit):
        __main__.main()
    assert "there is no comparison 'cifar'. There are: digits, mnist, fashion_mnist, deep_n_cheap." in (
        capsys.readouterr().err
    )


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 60), ("val", 20), ("test", 20)):
        y = np.arange(n) % 10
        x = rng.integers(0, 40, size=(n, 28, 28)).astype("uint8")
        x[np.arange(n), 2 * y + 3] += 200
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    return Dataset(name="rows", task="classification", classes=list(range(10)), **arrays)


def test_networks_of_the_front_and_their_rival_are_trained(pixels):
    space = deep_n_cheap.SPACE
    values = {"hidden_layers": 1, "units_1": 20, "density_1": 0.03, "density_output": 0.6, "dropout": 0.1}
    values = deep_n_cheap.filled(values | {"zeta": 0.3, "learning_rate": 0.02, "batch_size": 128}, 1000)
    validated = trainings.validate(pixels, space, values, 8)
    tested = trainings.test(pixels, space, values, 8)
    assert 970 < validated["parameters"] == tested["parameters"] <= 1000
    assert 0 <= validated["validation"] <= 1
    assert 0 <= tested["test"] <= 1
    assert trainings.test(pixels, space, values, 8) == tested
    rival = trainings.rival(pixels, 1000, 8)
    assert rival["parameters"] == 4 * 196 + 4 + 4 * 10 + 10
    assert len(trainings.whole(pixels).y_train) == 80


def test_steps_are_done_once(tmp_path):
    done = []

    def step():
        done.append(1)
        return {"validation": 0.5}

    for plan in (deep_n_cheap.Plan(), deep_n_cheap.Plan(), deep_n_cheap.Plan(final=3)):
        steps = deep_n_cheap._Steps(Records(tmp_path / "steps.jsonl"), "mnist", plan, 0)
        assert steps.do("validated 1000", {"units_1": 30}, step) == {"validation": 0.5}
    assert len(done) == 2
