"""The experiments with convolutional networks, on tiny pictures whose class is a colour."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are not installed

from benchmarks.reproduce import deep_r_cnn, report, runner, set_cnn
from benchmarks.reproduce.experiment import Experiment, Setting
from benchmarks.reproduce.records import Records

SMALL = {"epochs": 3, "batch": 20, "filters": [6], "hidden": [24]}
OWN = {"set_cnn": {"epsilon": 6, "rate": 0.03}, "deep_r_cnn": {}}


@pytest.fixture
def data_dir(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 320).astype(np.uint8)
    x = rng.integers(0, 120, (320, 16, 16, 3), np.uint8)
    x[np.arange(320), :, :, y] += 120
    np.savez(tmp_path / "cifar10.npz", x_train=x[:240], y_train=y[:240], x_test=x[240:], y_test=y[240:])
    return tmp_path


def small(experiment):
    """Return `experiment` with small networks."""
    changes = {**SMALL, **OWN[experiment.name]}
    settings = [replace(s, parameters={**s.parameters, **changes}) for s in experiment.settings]
    return replace(experiment, settings=settings)


def go(experiment, records, data_dir, settings=None):
    out = io.StringIO()
    failed = runner.run(experiment, settings or experiment.settings, range(1), records, data_dir=data_dir, out=out)
    assert failed == 0, out.getvalue()
    return {record["setting"]: record["results"] for record in records.all()}


@pytest.mark.parametrize("module", [set_cnn, deep_r_cnn])
def test_all_settings_learn_and_stand_side_by_side(module, data_dir):
    experiment = small(module.EXPERIMENT)
    records = Records(data_dir / "out" / "x.jsonl")
    results = go(experiment, records, data_dir)
    rewired, fixed, dense = (results[setting.name] for setting in experiment.settings)
    assert rewired["connections"] == fixed["connections"] < dense["connections"]
    assert rewired["explored"] > rewired["connections"] / dense["connections"] * 0.5
    assert "explored" not in fixed
    assert dense["density"] == 1
    for found in results.values():
        assert found["accuracy"] > 0.8
        assert found["accuracy"] == found["test_accuracy"][-1]
        assert [len(found[key]) for key in experiment.curves] == [3, 3, 3]
        assert found["loss"][-1] < found["loss"][0]
    text = report.table(experiment, experiment.settings, records, "make it")
    names = [setting.name for setting in experiment.settings]
    assert f"| epoch | {' | '.join(names)} |" in text.splitlines()
    last = " | ".join(f"{100 * results[name]['accuracy']:.2f}" for name in names)
    assert f"| 3 | {last} |" in text.splitlines()
    assert not (data_dir / "out" / "x-unfinished").exists() or not any((data_dir / "out" / "x-unfinished").iterdir())


@pytest.mark.parametrize(("module", "epochs"), [(set_cnn, 3), (deep_r_cnn, 2)])
def test_an_interrupted_run_goes_on_where_it_was(module, epochs, data_dir):
    experiment = small(module.EXPERIMENT)
    first = experiment.settings[:1]
    whole = go(experiment, Records(data_dir / "whole.jsonl"), data_dir, first)
    seen = []

    def interrupted(this):
        def progress(share):
            seen.append(share)
            if len(seen) == epochs:
                raise KeyboardInterrupt

        return experiment.run(replace(this, progress=progress))

    records = Records(data_dir / "cut.jsonl")
    with pytest.raises(KeyboardInterrupt):
        go(replace(experiment, run=interrupted), records, data_dir, first)
    assert records.all() == []
    again = go(replace(experiment, run=interrupted), records, data_dir, first)
    assert seen == [1 / 3, 2 / 3, 1]  # no epoch twice
    [name] = again
    for key in ("accuracy", "connections", "explored", "test_accuracy", "train_accuracy", "loss"):
        assert again[name][key] == whole[name][key], key
    [record] = records.all()
    assert record["seconds"] >= 3 * again[name]["epoch_seconds"] - 0.1  # of both sessions
    assert not any((data_dir / "cut-unfinished").iterdir())


def test_runs_have_scratch_folders_of_their_own(tmp_path):
    records = Records(tmp_path / "x.jsonl")
    a, b = Setting("a", {"epochs": 1}), Setting("a", {"epochs": 2})
    folders = {
        records.scratch(a, 0),
        records.scratch(a, 1),
        records.scratch(b, 0),
        records.scratch(Setting("b", {}), 0),
    }
    assert len(folders) == 4
    assert records.scratch(a, 0) in folders
    assert not any(tmp_path.iterdir())


def test_long_curves_are_thinned_and_averaged(tmp_path):
    records = Records(tmp_path / "x.jsonl")
    one, other, none = Setting("one", {}), Setting("other", {}), Setting("none", {})
    records.add(one, 0, {"curve": [n / 100 for n in range(1, 46)]}, seconds=1)
    records.add(one, 1, {"curve": [(n + 2) / 100 for n in range(1, 46)]}, seconds=1)
    records.add(other, 0, {"curve": [0.5] * 30}, seconds=1)
    experiment = Experiment("x", "X", "P", [one, other, none], lambda this: {}, {}, curves={"curve": "accuracy, %"})
    lines = report.table(experiment, experiment.settings, records, "c").splitlines()
    assert "Accuracy, %, after epochs:" in lines
    rows = lines[lines.index("| epoch | one | other |") + 2 :]
    assert rows[0] == "| 3 | 4.00 ± 1.41 | 50.00 |"
    assert rows[9] == "| 30 | 31.00 ± 1.41 | 50.00 |"
    assert rows[-1] == "| 45 | 46.00 ± 1.41 |  |"
    assert len(rows) == 15
    bare = report.table(experiment, [none], records, "c")
    assert "epoch" not in bare


def test_every_crop_is_standardised(data_dir):
    from benchmarks.reproduce import data
    from benchmarks.reproduce.experiment import Run

    [setting, *_] = small(deep_r_cnn.EXPERIMENT).settings
    part = data.pictures("cifar10", data_dir)
    model = deep_r_cnn.network(Run(setting, 0, data_dir, lambda share: None, data_dir / "scratch"), part)
    *front, body = model.layers
    x = part.x_test[:5]
    found = keras.Sequential([keras.Input(x.shape[1:]), *front])(x, training=False)
    centre = x[:, 2:14, 2:14]  # 24 of 32
    mean, deviation = (f((1, 2, 3), keepdims=True) for f in (centre.mean, centre.std))
    np.testing.assert_allclose(found, (centre - mean) / deviation, atol=1e-3)
    assert body.name == "deep_r_cnn"


def test_pictures_are_read_from_a_file(data_dir):
    from benchmarks.reproduce import data

    part = data.pictures("cifar10", data_dir)
    with np.load(data_dir / "cifar10.npz") as file:
        assert part.x_train.shape == file["x_train"].shape
        assert sorted(part.x_train.sum((1, 2, 3))) == pytest.approx(sorted(file["x_train"].sum((1, 2, 3)) / 255), 1e-4)
        np.testing.assert_allclose(part.x_test * 255, file["x_test"], atol=1e-3)
        assert np.array_equal(part.y_test, file["y_test"])
    np.savez(
        data_dir / "flat.npz", x_train=np.ones((40, 5)), y_train=[0, 1] * 20, x_test=np.ones((4, 5)), y_test=[0, 1] * 2
    )
    with pytest.raises(ValueError, match="flat must hold pictures"):
        data.pictures("flat", data_dir)


def test_make_help_names_every_experiment():
    from benchmarks.reproduce.__main__ import NAMES

    text = (Path(__file__).parents[2] / "Makefile").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("reproduce-%:")]
    assert tuple(line.split("One of them: ")[1].split()) == NAMES


def test_the_full_networks_are_the_papers():
    assert set_cnn.COMMON["hidden"] == [2048, 2048]
    assert set_cnn.COMMON["filters"] == [32, 64, 128]
    assert deep_r_cnn.COMMON["hidden"] == [384, 192]
    for module in (set_cnn, deep_r_cnn):
        for setting in module.EXPERIMENT.settings:
            assert json.loads(json.dumps(dict(setting.parameters))) == dict(setting.parameters)
