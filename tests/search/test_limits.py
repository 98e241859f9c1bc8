"""Limits, other measures and early stopping, in real trials."""

import json

import keras
import numpy as np
import pytest
from keras_sparse.search import LimitsError, MLPSpace, Objective, ResumeMismatchError, pareto_front, search
from keras_sparse.search.data import Dataset
from keras_sparse.search.front import front_hypervolume
from keras_sparse.search.hypermodel import SparseHyperModel
from keras_sparse.search.oracle import SparseOracle
from keras_sparse.search.records import Records
from keras_sparse.search.settings import Settings
from keras_sparse.search.tuner import SparseTuner

import keras_sparse as ks

SPACE = MLPSpace(
    hidden_layers=(1, 1), units=(16, 32), input_density=(0.1, 0.3), batch_sizes=(30,), normalize=(False, True)
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(180, 12)).astype("float32")
    y = np.argmax(x @ rng.normal(size=(12, 3)), axis=1).astype("int64")
    parts = {
        f"{v}_{p}": a[i * 60 : i * 60 + 60]
        for i, p in enumerate(("train", "val", "test"))
        for v, a in (("x", x), ("y", y))
    }
    return Dataset(name="made", task="classification", classes=["a", "b", "c"], **parts)


@pytest.fixture(scope="module")
def front(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("front") / "run"
    options = {"space": SPACE, "epochs": 2, "seed": 2, "objective": "pareto", "max_connections": 90}
    search(data, output=folder, max_trials=6, **options)
    return folder, options


def test_a_front_within_a_limit_that_is_resumed_with_more_trials(front, data):
    folder, options = front
    result = search(data, output=folder, resume=True, max_trials=7, **options)
    records = Records(folder).read_all()
    assert len(records) == 7
    assert all(record.connections <= 90 for record in records.values())
    assert [entry["trial"] for entry in result.pareto_front] == [r.trial for r in pareto_front(records.values())]
    assert result.best["trial"] in [entry["trial"] for entry in result.pareto_front]
    for entry in result.trials:
        network = keras.models.load_model(entry["model"])
        size = ks.inspect(network)
        assert entry["measures"] == {
            "connections": size.connections, "bytes": size.bytes, "flops": 2 * size.connections,
        }  # fmt: skip
        assert not [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    volume = front_hypervolume(records.values(), {"connections": 100})
    assert 0 < front_hypervolume(list(records.values())[:3], {"connections": 100}) <= volume
    assert "not trained" not in json.dumps(result.to_dict())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"objective": "weighted"}, 'options.objective: "pareto" -> "weighted"'),
        ({"max_connections": 80}, "options.limits.connections: 90.0 -> 80.0"),
        ({"complexity": "bytes"}, r'options.complexity: \["connections"\] -> \["bytes"\]'),
        ({"metric": "auc"}, 'options.metric: null -> "auc"'),
        ({"early_stopping": False}, "options.early_stopping: true -> false"),
    ],
)
def test_other_settings_are_refused_and_shown(front, data, changes, line):
    folder, options = front
    with pytest.raises(ResumeMismatchError, match=line):
        search(data, output=folder, resume=True, **{**options, **changes})


def test_limits_that_nothing_keeps(data, tmp_path):
    with pytest.raises(LimitsError, match=r"connections at least .* but at most 5 are allowed") as caught:
        search(data, output=tmp_path / "a", space=SPACE, max_trials=2, epochs=1, max_connections=5)
    assert caught.value.exit_code == 1
    with pytest.raises(LimitsError, match=r"The nearest, trial \d, has latency .* > 1e-09"):
        search(data, output=tmp_path / "b", space=SPACE, max_trials=2, epochs=1, max_latency=1e-9)


def test_another_metric_and_seconds(data, tmp_path):
    result = search(
        data, output=tmp_path / "run", space=SPACE, max_trials=2, epochs=2, metric="auc", complexity="latency"
    )
    best = result.best
    assert best["metric"] == "auc"
    assert 0 < best["val_metric"] <= 1
    assert 0 < best["test_metric"] <= 1
    assert best["measures"]["latency"] > 0
    reference = json.loads((tmp_path / "run/run.json").read_text())["measured"]["latency"]
    assert best["complexity"] == pytest.approx(best["measures"]["latency"] / reference)
    again = search(
        data, output=tmp_path / "run", resume=True, space=SPACE, epochs=2, metric="auc", complexity="latency"
    )
    assert again.to_dict() == result.to_dict()


def tuner_on(folder, goal, **options):
    oracle = SparseOracle(Records(folder), goal, max_trials=options.pop("trials", 2), seed=5)
    hypermodel = SparseHyperModel(SPACE, n_in=12, n_out=3, task="classification")
    return SparseTuner(oracle, hypermodel, **options)


def test_networks_too_large_are_not_trained(data, tmp_path):
    goal = Objective("classification", weight=1.0, reference=1000, n_validation=60, limits={"bytes": 10})
    tuner = tuner_on(tmp_path, goal)
    tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=2)
    for record in tuner.oracle.finished.values():
        assert record.status == "failed"
        assert record.error.startswith("not trained: bytes")
        assert record.infeasible.endswith("> 10")
        assert record.measures["connections"] > 0
        assert record.curve == {}
    assert Records(tmp_path).read_all() == tuner.oracle.finished


def test_hopeless_trials_are_given_up_and_scored_where_they_stopped(data, tmp_path):
    goal = Objective("classification", weight=0.0, reference=1000, n_validation=60)
    tuner = tuner_on(tmp_path, goal, trials=6, early_stopping=True)
    tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=4)
    records = tuner.oracle.finished.values()
    stopped = [record for record in records if record.stopped_early]
    assert 0 < len(stopped) < 5
    for record in stopped:
        assert len(record.curve["val_metric"]) == record.stopped_early == 3
        network = keras.models.load_model(tmp_path / record.network)
        found = network.evaluate(data.x_val, data.y_val, verbose=0, return_dict=True)["accuracy"]
        assert found == pytest.approx(record.val_metric)
        assert record.completed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "best"}, "objective must be"),
        ({"complexity": "size"}, "no measure 'size'"),
        ({"complexity": ["bytes", "flops"]}, "one complexity"),
        ({"mode": "pareto", "complexity": ["bytes", "bytes"]}, "each measure once"),
        ({"mode": "pareto", "complexity": []}, "each measure once"),
        ({"limits": {"bytes": 0}}, "limit on bytes must be a finite number > 0"),
        ({"limits": {"latency": float("nan")}}, "limit on latency"),
        ({"direction": "up"}, "direction must be"),
        ({"weight": -1.0}, "complexity weight"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_an_unknown_metric_is_found_before_anything_is_written(data, tmp_path):
    with pytest.raises(ValueError, match="no metric 'nonsense'"):
        search(data, output=tmp_path / "run", metric="nonsense")
    assert not (tmp_path / "run").exists()


def test_objectives_with_other_metrics():
    lower = Settings(metric="mae").objective("regression", reference=10, n_validation=100, target_variance=4.0)
    assert lower.direction == "min"
    assert lower.score(1.0, 0).f_p == 0.5  # of a deviation
    higher = Settings(metric="r2_score").objective("regression", reference=10, n_validation=100, target_variance=4.0)
    assert higher.score(0.75, 0).f_p == 0.25
    loss = Settings(metric="loss").objective("classification", reference=10, n_validation=100)
    assert loss.score(0.3, 0).f_p == 0.3
