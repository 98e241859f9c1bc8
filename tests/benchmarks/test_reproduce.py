"""The framework of the reproductions; nothing is trained here but one tiny network."""

import io
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks are not installed

from benchmarks.reproduce import __main__, report, runner  # noqa: E402
from benchmarks.reproduce.experiment import Experiment, Setting  # noqa: E402
from benchmarks.reproduce.records import Records  # noqa: E402


class Fake:
    """An experiment whose runs are counted, take 10 seconds of a clock of their own, and fail on demand."""

    def __init__(self, *names, published=""):
        self.done, self.now, self.broken = [], 0.0, set()
        settings = [Setting(name, {"epochs": 5, "rate": 0.1}, published) for name in names]
        columns = {"accuracy": "accuracy, %", "connections": "connections"}
        self.experiment = Experiment("fake", "A fake", "No protocol.", settings, self.run, columns)

    def run(self, this):
        if (this.setting.name, this.seed) in self.broken:
            raise RuntimeError("broken")
        self.done.append((this.setting.name, this.seed, this["epochs"]))
        this.progress(0.5)
        self.now += 10
        return {"accuracy": 0.9 + this.seed / 100, "connections": 50, "curve": [1, 2]}

    def go(self, records, seeds=2, **options):
        out = io.StringIO()
        settings = runner.select(self.experiment, **options)
        failed = runner.run(self.experiment, settings, range(seeds), records, clock=lambda: self.now, out=out)
        return failed, out.getvalue()


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "deeper" / "fake.jsonl")


def test_seeds_go_round_and_finished_runs_are_skipped(records):
    fake = Fake("a", "b")
    fake.go(records, seeds=1)
    fake.go(records, seeds=2)
    assert fake.done == [("a", 0, 5), ("b", 0, 5), ("a", 1, 5), ("b", 1, 5)]
    fake.go(records, seeds=2)
    assert len(fake.done) == 4
    lines = [json.loads(line) for line in records.path.read_text().splitlines()]
    assert [(r["setting"], r["seed"], r["seconds"]) for r in lines][2] == ("a", 1, 10)
    assert lines[0]["results"]["curve"] == [1, 2]


def test_an_interrupted_run_is_done_again_and_nothing_else(records):
    fake = Fake("a", "b", "c")

    class Interrupted(Fake):
        def run(self, this):
            if this.setting.name == "b":
                raise KeyboardInterrupt
            return super().run(this)

    with pytest.raises(KeyboardInterrupt):
        Interrupted("a", "b", "c").go(records)
    assert [r["setting"] for r in records.all()] == ["a"]
    fake.go(records, seeds=1)
    assert [name for name, *_ in fake.done] == ["b", "c"]


def test_runs_of_other_parameters_do_not_count(records):
    fake = Fake("a")
    fake.go(records, seeds=1)
    fake.go(records, seeds=1, epochs=2)
    assert fake.done == [("a", 0, 5), ("a", 0, 2)]
    [changed] = fake.experiment.settings
    assert records.of(replace(changed, parameters={"epochs": 5, "rate": 0.2})) == {}
    assert list(records.of(changed)) == [0]


def test_a_failed_run_is_told_and_not_recorded(records):
    fake = Fake("a", "b")
    fake.broken = {("a", 0)}
    failed, told = fake.go(records, seeds=1)
    assert failed == 1
    assert "a, seed 0: failed" in told
    assert "RuntimeError: broken" in told
    assert [r["setting"] for r in records.all()] == ["b"]
    fake.broken = set()
    assert fake.go(records, seeds=1)[0] == 0
    assert [r["setting"] for r in records.all()] == ["b", "a"]


def test_two_processes_do_not_lose_each_other(records):
    here, there = Records(records.path), Records(records.path)
    setting = Setting("a", {})
    here.add(setting, 0, {"accuracy": 1.0}, seconds=1)
    there.add(setting, 1, {"accuracy": 0.5}, seconds=1)
    here.add(setting, 2, {"accuracy": 0.0}, seconds=1)
    assert list(records.of(setting)) == [0, 1, 2]
    assert sorted(p.name for p in records.path.parent.iterdir()) == ["fake.jsonl", "fake.lock"]


@pytest.mark.parametrize("line", ["{half", "[]", '{"setting": "a", "seed": 1}'])
def test_a_damaged_file_is_told_by_line(records, line):
    records.add(Setting("a", {}), 0, {}, seconds=1)
    records.path.write_text(records.path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"fake.jsonl, line 2, is no finished run"):
        records.all()


def test_time_left_is_told(records):
    fake = Fake("a", "b", "c", "d")
    _, told = fake.go(records, seeds=2)
    lines = told.splitlines()
    assert lines[0].startswith("[1/8] fake a, seed 0: 10 s: accuracy, % 90.00; connections 50")
    assert "left" not in lines[0]
    # Run 3 of 8: five are left, of which those without a time of their own count as the mean.
    assert lines[2].endswith("50 s left")
    assert runner.duration(3599) == "1 h 0 min"
    assert runner.duration(90) == "2 min"


def test_only_some_settings():
    fake = Fake("SET 10%", "SET 5%", "static 5%", "odd [x]")
    assert [s.name for s in runner.select(fake.experiment, only="SET*")] == ["SET 10%", "SET 5%"]
    assert [s.name for s in runner.select(fake.experiment, only="odd [x]")] == ["odd [x]"]
    with pytest.raises(ValueError, match=r"no setting 'x'. It has: SET 10%"):
        runner.select(fake.experiment, only="x")


def test_the_table(records):
    fake = Fake("a", "b", "never", published="91.00")
    fake.go(records, seeds=2, only="a")
    fake.go(records, seeds=1, only="b")
    text = report.table(fake.experiment, fake.experiment.settings, records, "make it")
    assert text.splitlines() == [
        "## A fake",
        "",
        "    make it",
        "",
        "No protocol.",
        "",
        "| setting | accuracy, % | connections | published | seeds | s a run |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
        "| a | 90.50 ± 0.71 | 50 | 91.00 | 2 | 10 |",  # 0.71 is the standard deviation of 90 and 91
        "| b | 90.00 | 50 | 91.00 | 1 | 10 |",
    ]


@pytest.mark.parametrize(
    ("values", "title", "cell"),
    [
        ([0.98765], "x, %", "98.77"),
        ([12345, 12346], "n", "12,346 ± 1"),
        ([2662.0, 2662.0], "n", "2,662"),
        ([0.5, 0.7], "p", "0.60 ± 0.14"),
        ([None, 0.5], "p", "0.50"),
        ([None], "p", ""),
    ],
)
def test_cells(values, title, cell):
    assert report.cell(values, title) == cell


def test_written_between_markers(tmp_path):
    path = tmp_path / "R.md"
    path.write_text("# Results\n\nHand-written.\n")
    report.write(path, "one", "first\n")
    report.write(path, "two", "second\n")
    report.write(path, "one", "anew\n")
    text = path.read_text()
    assert text.startswith(
        "# Results\n\nHand-written.\n\n<!-- begin reproduce one -->\nanew\n<!-- end reproduce one -->"
    )
    assert text.count("second") == 1
    assert "first" not in text
    path.write_text("<!-- begin reproduce one -->\n")
    with pytest.raises(ValueError, match="once each"):
        report.write(path, "one", "x")
    assert path.read_text() == "<!-- begin reproduce one -->\n"


def test_the_command_shows_what_is_finished(tmp_path, monkeypatch, capsys):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")  # restored behind the test
    setting = import_module("benchmarks.reproduce.lenet").EXPERIMENT.settings[3]
    Records(tmp_path / "lenet.jsonl").add(setting, 0, {"accuracy": 0.9512, "connections": 2662}, seconds=30)
    monkeypatch.setattr(sys, "argv", ["reproduce", "lenet", "--table", "--seeds", "1", "--output", str(tmp_path)])
    assert __main__.main() == 0
    told = capsys.readouterr().out
    assert "    python -m benchmarks.reproduce lenet --seeds 1\n" in told
    assert f"| {setting.name} | 95.12 | 2,662 |  | {setting.published} | 1 | 30 |" in told
    monkeypatch.setattr(sys, "argv", ["reproduce", "lent"])
    with pytest.raises(SystemExit, match="2"):
        __main__.main()
    assert "there is no experiment 'lent'" in capsys.readouterr().err


@pytest.mark.parametrize("name", __main__.NAMES)
def test_every_experiment_is_well_formed(name):
    experiment = import_module(f"benchmarks.reproduce.{name}").EXPERIMENT
    assert experiment.name == name
    names = [setting.name for setting in experiment.settings]
    assert len(set(names)) == len(names)
    for setting in experiment.settings:
        assert json.loads(json.dumps(dict(setting.parameters))) == dict(setting.parameters)
        assert setting.parameters["epochs"] > 0


def test_counts_of_the_experiments():
    from benchmarks.reproduce import deep_r, predefined

    assert [sum(s.parameters["connections"]) for s in deep_r.EXPERIMENT.settings] == [3552, 2662, 3552]
    for setting in predefined.EXPERIMENT.settings:
        sizes, densities = setting.parameters["sizes"], setting.parameters["densities"]
        for n_in, n_out, density in zip(sizes, sizes[1:], densities):
            assert (density * np.gcd(n_in, n_out)).is_integer(), setting.name  # the structured pattern needs that
        weights = sum(round(a * b * d) for a, b, d in zip(sizes, sizes[1:], densities))
        if setting.name.startswith("x ="):
            assert 11_000 < weights < 12_000


def test_p_values_of_degrees():
    from benchmarks.reproduce.scale_free import p_value

    power = np.repeat(np.arange(1, 60), (3000 / np.arange(1.0, 60) ** 2).astype(int))
    assert p_value(power) < 1e-6
    assert p_value(np.random.default_rng(0).poisson(80, 1000)) > 0.05
    assert p_value(np.full(9, 4)) == 1.0
    assert p_value(np.zeros(9, int)) == 1.0


def test_a_network_of_the_experiments_trains():
    import keras

    from benchmarks.reproduce import data, training

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12)).astype("float32")
    y = np.argmax(x[:, :3], axis=1)
    part = data.Data(x[:150], y[:150], x[150:], y[150:])
    assert part.classes == 3
    model = training.mlp((12, 16, 3), [0.5, None], seed=1, normalize=True, dropout=0.1)
    total = training.steps(part, 32, 20)
    rate = training.cosine(0.02, total, warm_up=5)
    told = []
    training.fit(model, part, optimizer=keras.optimizers.Adam(rate), batch=32, epochs=20, progress=told.append)
    results = training.summary(model, part)
    assert results["connections"] == 96 + 48
    assert results["accuracy"] > 0.6
    assert told == [n / 20 for n in range(1, 21)]
    assert total == model.optimizer.iterations == 100


def test_the_most_informative_features_are_kept_in_their_order():
    from sklearn.feature_selection import mutual_info_classif

    from benchmarks.reproduce import data

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    telling = (y[:, None] + rng.random((600, 2))) / 4
    x = np.column_stack([rng.random(600), telling[:, 0], np.ones(600), telling[:, 1], rng.random(600)]).astype(
        "float32"
    )
    part = data.Data(x[:500], y[:500], x[500:], y[500:])
    small = data.informative(part, 2)
    np.testing.assert_array_equal(small.x_test, part.x_test[:, [1, 3]])
    np.testing.assert_array_equal(small.y_train, part.y_train)
    levels = np.minimum((part.x_train * 8).astype(int), 7)
    theirs = np.argsort(-mutual_info_classif(levels, part.y_train, discrete_features=True))[:3]
    np.testing.assert_array_equal(data.informative(part, 3).x_test, part.x_test[:, np.sort(theirs)])


def test_folds_are_stratified_and_standardised(tmp_path):
    from benchmarks.reproduce import data

    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(3, 2, 40), np.arange(40), np.ones(40)])
    np.savez(tmp_path / "some.npz", x=x, y=np.array(["a", "b"] * 20))
    parts = data.folds("some", tmp_path, number=5, seed=1)
    assert sum(len(part.y_test) for part in parts) == 40
    for part in parts:
        np.testing.assert_allclose(part.x_train.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(part.x_train.std(0), [1, 1, 0], atol=1e-5)
        assert np.bincount(part.y_test).tolist() == [4, 4]
    with pytest.raises(ValueError, match=r"other.npz is not in"):
        data.archive("other", tmp_path)


def test_an_rbm_of_the_experiments_trains(tmp_path):
    import keras

    from benchmarks.reproduce import data, rbm_coil, training

    x = np.repeat(np.random.default_rng(0).integers(0, 2, (150, 4)), 4, axis=1)
    np.savez(tmp_path / "coil20.npz", x=x)
    x_train, x_test = data.halves(data.archive("coil20", tmp_path)["x"], 2 / 3, seed=1)
    assert (x_train.shape, x_test.shape, x_train.dtype) == ((100, 16), (50, 16), np.float32)
    rbm, told = rbm_coil.model(0.2, 1, 1e-6), []
    training.learn(rbm, x_train, optimizer=keras.optimizers.SGD(0.5), batch=10, epochs=20, progress=told.append)
    assert told[-1] == 1
    assert np.mean((np.asarray(rbm.reconstruct(x_test)) - x_test) ** 2) < 0.1


def test_binary_data_have_a_test_part(tmp_path):
    from benchmarks.reproduce import data

    np.savez(tmp_path / "own.npz", x_train=np.ones((3, 2), bool), x_test=np.zeros((2, 2), bool))
    x_train, x_test = data.binary("own", tmp_path, seed=0)
    assert (x_train.sum(), x_test.sum(), x_train.dtype) == (6, 0, np.float32)
    rows = np.arange(8671)[:, None]
    np.savez(tmp_path / "all.npz", x=rows)
    x_train, x_test = data.binary("all", tmp_path, seed=3)
    assert (len(x_train), len(x_test), len(np.intersect1d(x_train, x_test))) == (4100, 2307, 0)
