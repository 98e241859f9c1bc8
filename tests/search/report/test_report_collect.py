import json
import shutil

import numpy as np
import pytest
from keras_sparse.search import Records
from keras_sparse.search.errors import RunDirectoryError
from keras_sparse.search.front import pareto_front
from keras_sparse.search.report import collect
from keras_sparse.search.report.values import axes, encode


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run(run):
    before = tree(run)
    found = collect(run)
    assert tree(run) == before
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["title"], found["metric"], found["finished"]) == ("digits", "accuracy", True)
    assert len(found["trials"]) == 30
    assert sum(trial["status"] == "failed" for trial in found["trials"]) == 3
    records = Records(run).read_all().values()
    assert found["front"] == [record.trial for record in pareto_front(records)][::-1]
    completed = [trial for trial in found["trials"] if trial["status"] == "completed"]
    assert found["best"] == min(completed, key=lambda trial: trial["objective"])["trial"]
    assert [axis["name"] for axis in found["axes"]] == ["layers", "units_1", "rate", "policy", "units_2"]
    assert found["constants"] == {"batch_size": 32}
    assert found["networks"].keys() == found["curves"].keys() == {str(trial["trial"]) for trial in completed}
    assert found["networks"]["0"]["input_map"]["shape"] == [8, 8]
    assert found["notes"] == []
    assert len(found["importance"]["values"]) == 5
    volumes = [step["value"] for step in found["hypervolume"]]
    assert volumes == sorted(volumes)
    assert 0 < volumes[-1] <= 1


def test_a_directory_without_trials(tmp_path):
    found = collect(tmp_path / "absent")
    assert (found["trials"], found["front"], found["best"], found["hypervolume"]) == ([], [], None, [])
    assert "reason" in found["importance"]


def test_details_are_limited_to_the_front_and_the_best_and_the_page_says_so(run):
    found = collect(run, details=6)
    assert len(found["networks"]) == len(found["curves"]) == 6
    assert str(found["best"]) in found["networks"]
    front = set(map(str, found["front"]))
    assert len(front & found["networks"].keys()) >= min(5, len(front))
    assert "6 of 27 networks" in found["notes"][0]


def test_a_search_for_a_front_of_several_sizes(make, tmp_path):
    make.manifest(tmp_path, options={"objective": "pareto", "complexity": ["connections", "latency"]})
    outcomes = [(0.90, 100, 3.0), (0.90, 200, 1.0), (0.80, 300, 2.0), (0.95, 400, 4.0), (0.90, 100, 3.0)]
    for trial, (metric, connections, latency) in enumerate(outcomes):
        make.record(tmp_path, trial, val_metric=metric, connections=connections, measures={"latency": latency})
    make.record(tmp_path, 5, val_metric=0.99, connections=1)  # without a latency it cannot be compared
    found = collect(tmp_path)
    assert found["objectives"] == ["connections", "latency"]
    assert found["front"] == [3, 0, 1]
    assert found["measures"] == [{"name": "connections", "unit": ""}, {"name": "latency", "unit": "s"}]
    assert found["trials"][1]["measures"] == {"connections": 200, "latency": 1.0}
    assert [step["trial"] for step in found["hypervolume"]] == [0, 1, 2, 3, 4]


def test_the_front_is_that_of_the_measure_asked_for_within_the_limits(make, tmp_path):
    make.manifest(tmp_path, options={"objective": "weighted", "complexity": ["flops"]})
    make.record(tmp_path, 0, val_metric=0.9, connections=10, measures={"flops": 900})
    make.record(tmp_path, 1, val_metric=0.8, connections=20, measures={"flops": 100}, stopped_early=3)
    make.record(tmp_path, 2, val_metric=0.95, connections=30, measures={"flops": 50}, infeasible="bytes 9 > 8")
    found = collect(tmp_path)
    assert (found["objectives"], found["front"], found["best"]) == (["flops"], [0, 1], 0)
    assert [step["trial"] for step in found["hypervolume"]] == [0, 1]
    assert found["trials"][1]["stopped_early"] == 3
    assert found["trials"][2]["infeasible"] == "bytes 9 > 8"


def test_hostile_and_damaged_records(make, tmp_path):
    make.record(tmp_path, 0, hyperparameters={"units": 10**400, "x": [1, {"y": 2}]}, seed=2**63)
    make.record(tmp_path, 1, measures={"latency": -1.0})
    make.record(tmp_path, 8, measures={"bytes": "many", "flops": True})
    make.record(tmp_path, 2, curve={"loss": ["</script>", None, 1.0], "val_loss": 3})
    make.record(tmp_path, 3, hyperparameters={"units": float("nan")})
    (tmp_path / "trials/0004.json").write_text("{")
    (tmp_path / "trials/0005.json").write_text("[" * 100_000)
    make.record(tmp_path, 6, network="../../../etc/passwd")
    shutil.copy(tmp_path / "trials/0000.json", tmp_path / "trials/0007.json")  # another trial's
    (tmp_path / "run.json").write_text('{"data": [], "options": 3, "complexity": {}}')
    found = collect(tmp_path)
    json.dumps(found, allow_nan=False)
    assert [trial["trial"] for trial in found["trials"]] == [0, 1, 2, 3]
    assert found["notes"] == ["5 of 9 trial records cannot be read and are left out."]
    assert found["curves"]["2"] == {"loss": [None, None, 1.0]}
    assert found["trials"][1]["measures"] == {"connections": 100}
    assert "6" not in found["networks"]  # it named a file outside of the run
    assert not list(tmp_path.rglob("*.corrupt"))  # a report sets nothing aside


def test_a_record_of_a_newer_version(make, tmp_path):
    make.record(tmp_path, 0, schema=99)
    with pytest.raises(RunDirectoryError, match="reads up to"):
        collect(tmp_path)


def test_regression(make, tmp_path):
    for trial, (metric, connections) in enumerate([(900.0, 10), (400.0, 20), (500.0, 30)]):
        make.record(tmp_path, trial, val_metric=metric, connections=connections, metric="mse", objective=metric)
    found = collect(tmp_path)
    assert (found["metric"], found["front"], found["best"]) == ("mse", [1, 0], 1)


def test_axes_of_any_space():
    tried = [
        {"rate": 1e-4, "act": "relu", "bn": True, "kernel": [3, 3], "same": 1},
        {"rate": 1e-1, "act": "tanh", "bn": False, "kernel": [5, 5], "same": 1, "extra": 2},
    ]
    found, constants = axes(tried)
    assert constants == {"same": 1}
    assert [(axis["name"], axis["kind"], axis["partial"]) for axis in found] == [
        ("rate", "number", False), ("act", "choice", False), ("bn", "choice", False), ("kernel", "choice", False),
        ("extra", "number", True),
    ]  # fmt: skip
    assert found[0]["log"]
    assert found[2]["options"] == ["false", "true"]
    assert encode(found[1], tried[1]) == [0.0, 1.0]
    assert encode(found[4], tried[0])[0] < 2 == encode(found[4], tried[1])[0]
    assert axes([]) == ([], {})


def test_an_integer_no_browser_holds_exactly_becomes_text(make, tmp_path):
    make.record(tmp_path, 0, seed=2**62 + 1)
    assert collect(tmp_path)["trials"][0]["seed"] == str(2**62 + 1)


def test_pictures_are_known_by_the_shape_of_the_inputs(make, tmp_path):
    make.manifest(tmp_path, name="images", n_features=48, input_shape=[4, 4, 3])
    make.record(tmp_path, 0)
    network = make.network(tmp_path / "trials/0000.keras", n_in=48)
    [found] = collect(tmp_path)["networks"].values()
    degrees = network.layers[0].kernel.connectivity.out_degrees.reshape(4, 4, 3).sum(2)
    assert found["input_map"]["kind"] == "picture"
    np.testing.assert_array_equal(np.reshape(found["input_map"]["values"], (4, 4)), degrees)
