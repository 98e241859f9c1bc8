"""The whole search on a handful of images: its files, its JSON, its refusals and its repairs."""

import json
import logging
import socket
import subprocess
import sys
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from keras_sparse.search import MLPSpace, finish, load_result, repeat, search
from keras_sparse.search.data import Dataset
from keras_sparse.search.distributed.roles import Role, WorkersError
from keras_sparse.search.errors import (
    NoTrialCompletedError,
    OutputDirectoryError,
    ResumeMismatchError,
    RunDirectoryError,
)
from sklearn.datasets import load_diabetes, load_digits

import keras_sparse as ks
from keras_sparse import search as package

SPACE = MLPSpace(hidden_layers=(1, 1), units=(32, 64), batch_sizes=(32, 64), input_density=(0.1, 0.3))
OPTIONS = {"space": SPACE, "max_trials": 2, "epochs": 2, "seed": 4}
CONTRACT = [
    "status",
    "objective",
    "complexity",
    "metric",
    "val_metric",
    "val_accuracy",
    "test_metric",
    "density",
    "connections",
    "parameters",
    "measures",
    "hyperparameters",
    "classes",
    "model",
    "saved_model",
]


def dataset(name, task, x, y, classes=None):
    n = len(y) // 3
    parts = {
        f"{v}_{p}": a[i * n : (i + 1) * n]
        for i, p in enumerate(("train", "val", "test"))
        for v, a in (("x", x), ("y", y))
    }
    return Dataset(name=name, task=task, classes=classes, **parts)


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    return dataset("digits", "classification", bunch.data[:600], bunch.target[:600].astype("int64"), list("abcdefghij"))


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "run"
    return search(digits, output=folder, **OPTIONS)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_the_directory_holds_what_is_documented_and_nothing_else(finished):
    folders = ("saved_model/", "tensorboard/")
    names = {name for name in files(finished.directory) if not name.startswith(folders)}
    trials = {f"trials/000{i}.{kind}" for i in (0, 1) for kind in ("json", "keras")}
    assert names == {"run.json", "best.keras", "pareto.json", "search.png", "report.html", "results.json"} | trials
    assert "Finished" in (finished.directory / "report.html").read_text("utf-8")
    assert {path.name for path in (finished.directory / "tensorboard").iterdir()} == {"0000", "0001"}
    assert (finished.directory / "saved_model/saved_model.pb").is_file()


def test_the_json_is_that_of_the_contract(finished, digits):
    data = json.loads((finished.directory / "results.json").read_text())
    assert data == json.loads(json.dumps(finished.to_dict()))
    assert list(data) == ["best", "pareto_front", "trials"]
    for entry in (data["best"], *data["pareto_front"], *data["trials"]):
        assert [key for key in entry if key != "trial"] == CONTRACT
    best = data["best"]
    assert best["objective"] == min(trial["objective"] for trial in data["trials"])
    assert best["val_accuracy"] == best["val_metric"]
    assert best["classes"] == digits.classes
    assert best["model"] == str(finished.directory / "best.keras")
    assert best["saved_model"] == str(finished.directory / "saved_model")
    assert best["complexity"] == best["connections"] / SPACE.reference_size(64, 10)
    assert best["trial"] in [entry["trial"] for entry in data["pareto_front"]]
    assert json.loads((finished.directory / "pareto.json").read_text()) == data["pareto_front"]
    assert load_result(finished.directory).to_dict() == data


def test_the_winner_keeps_its_word_in_another_process(finished, digits, tmp_path):
    np.savez(tmp_path / "test.npz", x=digits.x_test, y=digits.y_test)
    code = (
        "import sys, json, keras, numpy as np, keras_sparse as ks\n"
        "d = np.load(sys.argv[2]); m = keras.models.load_model(sys.argv[1])\n"
        "logs = m.evaluate(d['x'], d['y'], verbose=0, return_dict=True); size = ks.inspect(m)\n"
        "print(json.dumps([logs['accuracy'], size.connections, size.density, size.parameters]))"
    )
    command = [sys.executable, "-c", code, finished.best["model"], str(tmp_path / "test.npz")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    best = finished.best
    expected = [best["test_metric"], best["connections"], best["density"], best["parameters"]]
    assert json.loads(output.splitlines()[-1]) == pytest.approx(expected, abs=1e-6)


def test_the_saved_model_needs_no_keras_sparse(finished, digits, tmp_path):
    np.save(tmp_path / "x.npy", digits.x_test)
    code = (
        "import sys; sys.modules['keras_sparse'] = None\n"
        "import numpy as np, tensorflow as tf\n"
        "serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "x = tf.constant(np.load(sys.argv[2])); np.save(sys.argv[3], serve(x=x)['output_0'].numpy())"
    )
    command = [sys.executable, "-c", code, finished.best["saved_model"], tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    predicted = keras.models.load_model(finished.best["model"]).predict(digits.x_test, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), predicted, atol=1e-5)


def test_the_trial_networks_take_features(finished, digits):
    from keras_sparse.search.data import fit

    features = fit(digits).features(digits.x_val)
    for trial in finished.trials:
        network = keras.models.load_model(trial["model"])
        logs = network.evaluate(features, digits.y_val, verbose=0, return_dict=True)
        assert logs["accuracy"] == pytest.approx(trial["val_metric"])
        assert ks.inspect(network).connections == trial["connections"]


def test_resuming_a_finished_run_reprints_it(finished, digits):
    before = files(finished.directory)
    again = search(digits, output=finished.directory, resume=True, **OPTIONS)
    assert again.to_dict() == finished.to_dict()
    assert files(finished.directory) == before
    # Without max_trials it is the run's own number.
    again = search(digits, output=finished.directory, resume=True, **{**OPTIONS, "max_trials": None})
    assert again.to_dict() == finished.to_dict()


def test_a_moved_run_is_reprinted_with_its_new_paths(finished, digits, tmp_path):
    moved = copy_of(finished, tmp_path / "moved")
    again = search(digits, output=moved, resume=True, **OPTIONS)
    assert again.best["model"] == str(moved / "best.keras")
    assert again.trials[0]["model"] == str(moved / "trials/0000.keras")
    assert again.best["objective"] == finished.best["objective"]


def copy_of(result, target):
    import shutil

    shutil.copytree(result.directory, target)
    return target


def test_a_non_empty_directory_is_refused(finished, digits):
    before = files(finished.directory)
    with pytest.raises(OutputDirectoryError, match="is not empty"):
        search(digits, output=finished.directory, **OPTIONS)
    assert files(finished.directory) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "seed: 4 -> 5"),
        ({"epochs": 3}, "options.epochs: 2 -> 3"),
        ({"complexity_weight": 2.0}, "options.complexity_weight: 0.1 -> 2.0"),
        ({"space": replace(SPACE, units=(32,))}, r"space.units: \[32, 64\] -> \[32\]"),
        ({"max_trials": 1}, "max_trials: 2 -> 1 "),
    ],
)
def test_resuming_with_something_else_is_refused(finished, digits, changes, message):
    before = files(finished.directory)
    with pytest.raises(ResumeMismatchError, match=message):
        search(digits, output=finished.directory, resume=True, **{**OPTIONS, **changes})
    assert files(finished.directory) == before


def test_resuming_with_other_data_is_refused(finished, digits):
    x = digits.x_train.copy()
    x[0, 0] += 1
    with pytest.raises(ResumeMismatchError, match=r"data\.fingerprint"):
        search(replace(digits, x_train=x), output=finished.directory, resume=True, **OPTIONS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "results.json").unlink(),
        lambda folder: (folder / "results.json").write_text('{"best": {'),
        lambda folder: (folder / "best.keras").unlink(),
        lambda folder: (folder / "search.png").unlink(),
        lambda folder: (folder / "saved_model/saved_model.pb").unlink(),
        lambda folder: (folder / "trials/0001.json").write_text("{"),
        lambda folder: [path.write_bytes(b"PK") for path in (folder / "trials").glob("*.keras")],
    ],
)
def test_damage_is_repaired_by_resuming(finished, digits, tmp_path, damage):
    folder = copy_of(finished, tmp_path / "run")
    damage(folder)
    (folder / "results.json").unlink(missing_ok=True)
    again = search(digits, output=folder, resume=True, **OPTIONS)
    text = json.dumps(again.to_dict()).replace(str(folder), str(finished.directory))
    assert json.loads(text) == json.loads(json.dumps(finished.to_dict()))
    # The name of an event file has the time in it; that of its folder is the trial's.
    lasting = {name.partition("/events")[0] for name in files(finished.directory)}
    assert lasting <= {name.partition("/events")[0] for name in files(folder)}
    keras.models.load_model(again.best["model"])


def test_a_crash_while_the_winner_is_written_is_repaired(finished, digits, tmp_path, monkeypatch):
    folder = copy_of(finished, tmp_path / "run")
    options = {**OPTIONS, "max_trials": 3}

    def crash(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(finish, "export_with_signatures", crash)
        with pytest.raises(RunDirectoryError, match="No space left"):
            search(digits, output=folder, resume=True, **options)
    assert not (folder / "results.json").exists()
    assert load_result(folder) is None
    result = search(digits, output=folder, resume=True, **options)
    assert len(result.trials) == 3
    assert result.trials[0]["objective"] == finished.trials[0]["objective"]
    assert load_result(folder).to_dict() == result.to_dict()


def test_an_interrupt_leaves_a_directory_to_resume(finished, digits, tmp_path):
    def interrupt(progress):
        if progress.event == "epoch" and progress.trial == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(digits, output=tmp_path / "run", on_progress=interrupt, **OPTIONS)
    names = {name for name in files(tmp_path / "run") if not name.startswith("tensorboard/0000/")}
    assert names == {"run.json", "trials/0000.json", "trials/0000.keras"}
    result = search(digits, output=tmp_path / "run", resume=True, **OPTIONS)
    assert result.best["objective"] == finished.best["objective"]


def test_overwrite_starts_anew(finished, digits, tmp_path):
    folder = copy_of(finished, tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    result = search(digits, output=folder, overwrite=True, **{**OPTIONS, "max_trials": 1, "seed": 9})
    assert len(result.trials) == 1
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "trials/0001.json").exists()


def test_regression_in_the_unit_of_the_target(tmp_path):
    x, y = load_diabetes(return_X_y=True)
    data = dataset("diabetes", "regression", x, y * 10 + 500)
    result = search(data, output=tmp_path / "run", **{**OPTIONS, "epochs": 8})
    best = result.best
    assert best["metric"] == "mse"
    assert best["val_accuracy"] is None
    assert best["classes"] is None
    served = keras.models.load_model(best["model"])
    predicted = served.predict(data.x_val, verbose=0)[:, 0]
    assert np.mean((predicted - data.y_val) ** 2) == pytest.approx(best["val_metric"], rel=1e-4)
    record = json.loads((tmp_path / f"run/trials/000{best['trial']}.json").read_text())
    assert record["prediction_loss"] == pytest.approx(best["val_metric"] / np.var(data.y_train))
    logs = served.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)
    assert logs["mse"] == pytest.approx(best["test_metric"], rel=1e-4)


def test_when_every_trial_fails_the_error_says_why(digits, tmp_path):
    hopeless = replace(SPACE, learning_rate=(1e37, 1e38))
    with pytest.raises(NoTrialCompletedError, match=r"None of the 2 trials completed.*not finite") as caught:
        search(digits, output=tmp_path / "run", **{**OPTIONS, "space": hopeless})
    assert caught.value.exit_code == 1
    assert not (tmp_path / "run/results.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_trials": 0}, "max_trials must be a whole number >= 1, got 0"),
        ({"epochs": 0}, "epochs must be"),
        ({"patience": -1}, "patience must be"),
        ({"seed": -1}, "seed must be a whole number with 0 <= seed"),
        ({"complexity_weight": -1.0}, "complexity weight must be a finite number >= 0"),
    ],
)
def test_arguments_are_checked_before_anything_is_written(digits, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        search(digits, output=tmp_path / "run", **{**OPTIONS, **changes})
    assert not (tmp_path / "run").exists()


def test_the_package_names_what_it_documents():
    for name in package.__all__:
        assert getattr(package, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense


def test_a_worker_that_comes_too_late_is_told(finished, digits, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    role = Role("worker", "late", "127.0.0.1", port, timeout=0.1)
    for name, value in role.environment().items():
        monkeypatch.setenv(name, value)
    notes = []
    with pytest.raises(WorkersError, match=r"No chief has answered at .* holds its result, which `ksparse report`"):
        search(digits, output=finished.directory, on_progress=lambda event: notes.append(event.note), **OPTIONS)
    assert notes == [f"Waiting for the chief at 127.0.0.1:{port}."]


@dataclass(frozen=True)
class Bent(MLPSpace):
    """A space of one's own: it chooses the activation, too."""

    activations: tuple[str, ...] = ("relu", "tanh")

    def declare_network(self, hp):
        super().declare_network(hp)
        hp.Choice("activation", list(self.activations), ordered=False)

    def build(self, values, n_in, n_out, **options):
        return replace(self, activation=values["activation"]).mlp(values, n_in, n_out, **options)

    def mlp(self, values, n_in, n_out, **options):
        return super().build(values, n_in, n_out, **options)


def test_a_space_of_ones_own_is_searched_resumed_and_repeated(digits, tmp_path, monkeypatch):
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    monkeypatch.setattr(logging.getLogger("tensorflow"), "handlers", [handler])
    space = Bent(hidden_layers=(1, 1), units=(16,), batch_sizes=(64,), activations=("tanh",))
    options = {"output": tmp_path / "run", "space": space, "epochs": 1, "seed": 3}
    search(digits, max_trials=1, **options)
    result = search(digits, max_trials=5, resume=True, **options)
    assert not said  # no advice to build fewer functions
    assert [trial["hyperparameters"]["activation"] for trial in result.trials] == ["tanh"] * 5
    network = keras.models.load_model(result.trials[4]["model"])
    assert network.get_layer("hidden_1").activation is keras.activations.tanh
    again = repeat(digits, tmp_path / "run", 4, space=space)
    assert again.objective == result.trials[4]["objective"]
    with pytest.raises(RunDirectoryError, match="Hand it over"):
        repeat(digits, tmp_path / "run", 4)
    with pytest.raises(ResumeMismatchError, match=r"units: \[16\] -> \[17\]"):
        repeat(digits, tmp_path / "run", 4, space=replace(space, units=(17,)))
