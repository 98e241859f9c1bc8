"""The oracle remembers what is on disk and nothing else. No network is trained here."""

import keras_tuner
import pytest
from keras_sparse.search.objective import Objective
from keras_sparse.search.oracle import SparseOracle
from keras_sparse.search.records import Records, TrialRecord
from keras_sparse.search.space import MLPSpace

GOAL = Objective("classification", weight=1.0, reference=1000, n_validation=100)


def oracle_on(folder, max_trials=12, seed=0, space=None):
    hp = keras_tuner.HyperParameters()
    (space or MLPSpace()).declare(hp)
    return SparseOracle(Records(folder), GOAL, max_trials=max_trials, seed=seed, hyperparameters=hp)


def judge(trial, fails=lambda index: False):
    index, values = int(trial.trial_id), dict(trial.hyperparameters.values)
    if fails(index):
        return TrialRecord(index, "failed", 0, values, "accuracy", error="out of memory")
    score = -1.0 + abs(values["zeta"] - 0.1) + values["density_1"]
    return TrialRecord(index, "completed", 0, values, "accuracy", score, 0.1, 0.1, 0.9, 0.9, 10, 0.1, 10, 1, {}, "n")


def run(oracle, stop_after=None, **options):
    """Runs trials as KerasTuner's loop does."""
    done = 0
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        if done == stop_after:
            return trial
        oracle.records.write(judge(trial, **options))
        oracle.end_trial(trial)
        done += 1
    return trial


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "trials").iterdir()}


def test_a_run_interrupted_anywhere_ends_as_one_never_interrupted(tmp_path):
    run(oracle_on(tmp_path / "whole"))
    whole = bytes_of(tmp_path / "whole")
    assert len(whole) == 12
    for stops in ([0, 0, 5], [9, 1, 1]):
        folder = tmp_path / str(stops)
        for stop in stops:
            run(oracle_on(folder), stop_after=stop)
        run(oracle_on(folder))
        assert bytes_of(folder) == whole


def test_a_damaged_record_brings_the_same_trial_back(tmp_path):
    run(oracle_on(tmp_path))
    whole = bytes_of(tmp_path)
    (tmp_path / "trials/0009.json").write_text("{")
    (tmp_path / "trials/0002.json").unlink()
    oracle = oracle_on(tmp_path)
    assert sorted(set(range(12)) - set(oracle.finished)) == [2, 9]
    run(oracle)
    after = bytes_of(tmp_path)
    assert after.pop("0009.json.corrupt") == b"{"
    assert after == whole


def test_raising_max_trials_goes_on_where_it_was(tmp_path):
    run(oracle_on(tmp_path / "a", max_trials=9))
    run(oracle_on(tmp_path / "a", max_trials=12))
    run(oracle_on(tmp_path / "b", max_trials=12))
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_no_configuration_twice(tmp_path):
    run(oracle_on(tmp_path, max_trials=20))
    seen = [str(record.hyperparameters) for record in oracle_on(tmp_path).finished.values()]
    assert len(seen) == len(set(seen)) == 20


@pytest.mark.parametrize("fails", [lambda index: True, lambda index: 2 <= index < 8])
def test_failures_do_not_end_the_search(tmp_path, fails):
    oracle = oracle_on(tmp_path, max_trials=10)
    assert run(oracle, fails=fails).status == "STOPPED"
    assert len(oracle.finished) == 10
    best = oracle.get_best_trials()[0]
    if not fails(0):
        assert best.status == "COMPLETED"
        assert best.score == min(record.objective for record in oracle.finished.values() if record.completed)


def test_a_space_that_is_tried_out_ends_the_search(tmp_path):
    one = {"input_density": (0.1, 0.1), "output_density": (0.1, 0.1), "zeta": (0.1, 0.1), "learning_rate": (0.1, 0.1)}
    space = MLPSpace(hidden_layers=(1, 1), units=(8, 16), batch_sizes=(8,), **one)
    oracle = oracle_on(tmp_path, space=space)
    assert run(oracle).status == "STOPPED"
    assert {record.hyperparameters["units_1"] for record in oracle.finished.values()} == {8, 16}


def test_seeds_differ_and_zero_is_one(tmp_path):
    """KerasTuner replaces a seed of 0 by a random one."""
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(oracle_on(tmp_path / name, seed=seed, max_trials=3))
        runs[name] = bytes_of(tmp_path / name)
    assert runs["a"] == runs["b"] != runs["c"]


def test_an_ongoing_trial_is_not_given_to_a_second_tuner(tmp_path):
    oracle = oracle_on(tmp_path)
    first, second = oracle.create_trial("one"), oracle.create_trial("two")
    assert (first.trial_id, second.trial_id) == ("0000", "0001")
    assert oracle.create_trial("one") is first


def test_nothing_but_records_is_written(tmp_path):
    run(oracle_on(tmp_path, max_trials=2))
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "trials/0000.json",
        "trials/0001.json",
    ]
