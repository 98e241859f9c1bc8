import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras_sparse_cli.main import main

import keras_sparse as ks


def ksparse(*arguments):
    """Run the command in this process; return (exit code, stdout, stderr)."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def table(tmp_path):
    """A small table with a category, in two classes."""
    rng = np.random.default_rng(0)
    lines = ["height,colour,weight in kg,kind"]
    for i in range(120):
        height, colour = rng.normal(), ["red", "blue"][i % 2]
        lines.append(f"{height:.3f},{colour},{rng.normal():.3f},{'yes' if height > 0 else 'no'}")
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_help_does_not_import_keras():
    code = (
        "import sys\nfrom keras_sparse_cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    for arguments in (["--help"], ["search", "--help"], ["--version"]):
        run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert run.stdout.splitlines()[-1] == "set()"


class TestSearch:
    KEYS = {
        "status", "objective", "complexity", "metric", "val_metric", "val_accuracy", "test_metric", "density",
        "connections", "parameters", "measures", "hyperparameters", "classes", "model", "saved_model",
    }  # fmt: skip

    def test_the_whole_front_within_limits(self, table, tmp_path):
        config = tmp_path / "search.toml"
        config.write_text('objective = "pareto"\ncomplexity = "bytes"\nmax-connections = 60\n')
        common = ("search", table, "--config", config, "--max-trials", 3, "--epochs", 1, "--format", "json")
        code, stdout, stderr = ksparse(*common, "--output", tmp_path / "run")
        assert code == 0, stderr
        found = json.loads(stdout)
        assert all(trial["connections"] <= 60 for trial in found["trials"])
        sizes = [entry["measures"]["bytes"] for entry in found["pareto_front"]]
        assert sizes == sorted(sizes)
        code, _, stderr = ksparse(*common, "--max-connections", 3, "--output", tmp_path / "none")
        assert code == 1
        assert "but at most 3 are allowed" in stderr

    def test_from_a_table_to_a_served_model(self, table, tmp_path):
        out = tmp_path / "run"
        arguments = ("search", table, "--max-trials", 3, "--epochs", 3, "--seed", 1, "--output", out)
        code, stdout, stderr = ksparse(*arguments, "--format", "json")
        assert code == 0, stderr
        found = json.loads(stdout)
        assert set(found) == {"best", "pareto_front", "trials"}
        assert len(found["trials"]) == 3
        assert all(set(entry) >= self.KEYS for entry in [found["best"], *found["trials"], *found["pareto_front"]])
        best = found["best"]
        assert best["classes"] == ["no", "yes"]
        assert best["columns"] == {"height": "height", "colour": "colour", "weight_in_kg": "weight in kg"}
        assert best["objective"] == min(t["objective"] for t in found["trials"])
        for name in ("run.json", "best.keras", "saved_model/saved_model.pb", "pareto.json", "search.png"):
            assert (out / name).is_file(), name
        assert len(list((out / "trials").glob("*.json"))) == 3
        assert stderr.count("val accuracy") == 3

        model = keras.models.load_model(best["model"])
        served = tf.saved_model.load(best["saved_model"]).signatures["serving_default"]
        raw = {"height": [1.0, -2.0], "weight_in_kg": [0.0, 0.0], "colour": ["red", "green"]}
        inputs = {name: tf.constant(column) for name, column in raw.items()}
        np.testing.assert_allclose(served(**inputs)["output_0"], model(inputs), atol=1e-5)

        code, again, _ = ksparse(*arguments, "--format", "json", "--resume")
        assert (code, json.loads(again)) == (0, found)
        code, reported, _ = ksparse("report", out, "--format", "json")
        assert (code, json.loads(reported)) == (0, found)
        code, printed, _ = ksparse("report", out)
        assert code == 0
        assert "Best network" in printed
        assert str(out) in printed
        (out / "report.html").unlink()
        code, again, stderr = ksparse("report", out, "--html", tmp_path / "page.html")
        assert (code, again) == (0, printed)
        assert f"The page is {tmp_path / 'page.html'}" in stderr
        assert not (out / "report.html").exists()
        (out / "report.html").mkdir()  # where the page cannot be written, the result is shown all the same
        code, again, stderr = ksparse("report", out)
        assert (code, again) == (0, printed)
        assert "Name another place with --html" in stderr
        (out / "report.html").rmdir()
        results = (out / "results.json").read_text()
        (out / "results.json").unlink()
        code, again, stderr = ksparse("report", out)
        assert (code, again) == (1, "")
        assert "holds no finished search" in stderr
        assert f"shown in {out / 'report.html'}" in stderr
        (out / "results.json").write_text(results)
        (tmp_path / "tuner").mkdir()  # as a SparseTuner alone leaves it
        (out / "trials").rename(tmp_path / "tuner/trials")
        code, _, stderr = ksparse("report", tmp_path / "tuner")
        assert code == 1
        assert "no winner to show. Its trials so far are shown in" in stderr
        assert "--resume" not in stderr
        (tmp_path / "tuner/trials").rename(out / "trials")

        before = (out / "results.json").read_bytes()
        code, _, stderr = ksparse(*arguments)
        assert code == 2
        assert "is not empty" in stderr
        code, _, stderr = ksparse(*arguments, "--epochs", 4, "--resume")
        assert code == 2
        assert "epochs: 3 -> 4" in stderr
        assert (out / "results.json").read_bytes() == before

    def test_regression(self, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(150, 4))
        np.savez(tmp_path / "r.npz", x=x, y=1000 + 50 * x[:, 0])
        code, stdout, stderr = ksparse(
            "search", tmp_path / "r.npz", "--max-trials", 2, "--epochs", 4, "--output", tmp_path / "o",
            "--format", "json", "--serve", "--serve-port", 0,
        )  # fmt: skip
        assert code == 0, stderr
        assert "The report is served at http://127.0.0.1:" in stderr
        best = json.loads(stdout)["best"]
        assert best["metric"] == "mse"
        assert best["val_accuracy"] is None
        assert best["classes"] is None
        model = keras.models.load_model(best["model"])
        assert np.abs(model.predict(x, verbose=0).mean() - 1000) < 100  # in the target's own unit

    def test_config_gives_defaults_and_the_command_line_wins(self, table, tmp_path):
        config = tmp_path / "c.toml"
        config.write_text(
            f'max-trials = 1\nepochs = 2\noutput = "{tmp_path / "o"}"\nformat = "json"\n'
            "[space]\nhidden_layers = [1, 1]\nunits = [7, 9]\n"
        )
        code, stdout, stderr = ksparse("search", table, "--config", config, "--epochs", 1)
        assert code == 0, stderr
        [trial] = json.loads(stdout)["trials"]
        assert trial["hyperparameters"]["units_1"] in (7, 9)
        assert json.loads((tmp_path / "o" / "run.json").read_text())["options"]["epochs"] == 1

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("max_trial = 3", "unknown entry 'max_trial'. Known: "),
            ("max-trials = [", "is not valid TOML"),
            ("max-trials = 0", "0 is not in the range"),
            ("space = 3", "must be a table of ranges"),
        ],
    )
    def test_a_wrong_config(self, text, message, table, tmp_path):
        config = tmp_path / "c.toml"
        config.write_text(text)
        code, _, stderr = ksparse("search", table, "--config", config, "--output", tmp_path / "o")
        assert code == 2
        assert message in stderr
        assert not (tmp_path / "o").exists()

    def test_an_unknown_field_of_the_space(self, table, tmp_path):
        config = tmp_path / "c.toml"
        config.write_text("[space]\nwidths = [3]")
        code, _, stderr = ksparse("search", table, "--config", config, "--output", tmp_path / "o")
        assert code == 1
        assert "A space has no field widths; it has activation, " in stderr

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("a,b\n1,2\n3\n", "line 3"),
            ("a,b\n1,x\n,y\n" + "2,x\n" * 20, "column 'a'"),
            ("a,b\n" + "1,x\n" * 30, "class"),
        ],
    )
    def test_bad_files_end_with_one_message(self, content, message, tmp_path):
        path = tmp_path / "bad.csv"
        path.write_text(content)
        code, stdout, stderr = ksparse("search", path, "--output", tmp_path / "o")
        assert code == 1
        assert stdout == ""
        assert message in stderr
        assert stderr.startswith("Error: ")
        assert not (tmp_path / "o").exists()

    def test_bad_calls(self, table):
        for arguments, message in (
            (("search",), "Missing argument 'DATA'"),
            (("search", table, "--max-trials", 0), "--max-trials"),
            (("search", table, "--max-bytes", 0), "--max-bytes"),
            (("search", table, "--objective", "best"), "--objective"),
            (("search", table, "--complexity", "size"), "--complexity"),
            (("search", table, "--complexity-weight", -1), "--complexity-weight"),
            (("search", table, "--network", "transformer"), "--network"),
            (("serch",), "No such command"),
        ):
            code, _, stderr = ksparse(*arguments)
            assert code == 2
            assert message in stderr

    def test_ctrl_c_leaves_a_run_that_resumes(self, tmp_path):
        command = [
            sys.executable, "-m", "keras_sparse_cli", "search", "digits", "--max-trials", "3", "--epochs", "4",
            "--output", str(tmp_path / "o"), "--format", "json",
        ]  # fmt: skip
        run = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A shell's background jobs ignore SIGINT, and their children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        for line in run.stderr:
            if "trial   0" in line:
                run.send_signal(signal.SIGINT)
                break
        rest = run.stderr.read()
        assert run.wait() == 1
        assert "--resume" in rest
        assert "Traceback" not in rest
        assert run.stdout.read() == ""
        again = subprocess.run([*command, "--resume"], capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert len(json.loads(again.stdout)["trials"]) == 3
        assert "Resuming: 1 of 3" in again.stderr


class TestOthers:
    def test_train_inspect_export(self, table, tmp_path):
        code, stdout, stderr = ksparse(
            "train", table, "--layers", "20,10", "--density", 0.5, "--epochs", 3, "--output", tmp_path / "t",
            "--format", "json",
        )  # fmt: skip
        assert code == 0, stderr
        result = json.loads(stdout)
        assert json.loads((tmp_path / "t" / "results.json").read_text()) == result
        assert result["density"] == pytest.approx(0.5, abs=0.03)
        assert result["columns"] == {"height": "height", "colour": "colour", "weight_in_kg": "weight in kg"}
        assert stderr.count("epoch ") == 3
        code, stdout, _ = ksparse("inspect", result["model"], "--format", "json")
        report = json.loads(stdout)
        assert code == 0
        assert report["connections"] == result["connections"]
        assert [j["name"] for j in report["junctions"]] == ["hidden_1", "hidden_2", "output"]
        code, _, stderr = ksparse("export", result["model"], tmp_path / "served")
        assert code == 0
        assert (
            "serving_default takes, for every example, height float32, colour string, weight_in_kg float32\n" in stderr
        )
        assert (
            "features takes, for every example, features float32[5], which the model's layer 'preprocess' makes of"
            in stderr
        )
        assert tf.saved_model.load(str(tmp_path / "served")).signatures.keys() == {"serving_default", "features"}
        code, _, stderr = ksparse("export", result["model"], tmp_path / "served")
        assert code == 2
        assert "--overwrite" in stderr

    def test_static_training_and_erdos_renyi(self, tmp_path):
        code, stdout, stderr = ksparse(
            "train", "digits", "--layers", 30, "--epsilon", 2, "--policy", "static", "--epochs", 1, "--format", "json",
            "--output", tmp_path / "t",
        )  # fmt: skip
        assert code == 0, stderr
        assert json.loads(stdout)["connections"] == 2 * (64 + 30) + 2 * (30 + 10)

    def test_bad_calls(self, table, tmp_path):
        not_a_model = tmp_path / "m.keras"
        not_a_model.write_bytes(b"no model")
        for arguments, expected, message in (
            (("train", table, "--layers", "a"), 2, "separated by commas"),
            (("train", table, "--density", 0.1, "--epsilon", 3), 2, "give one"),
            (("train", table, "--density", 1.5), 2, "--density"),
            (("inspect", tmp_path / "absent.keras"), 2, "does not exist"),
            (("inspect", not_a_model), 1, "cannot be loaded as a Keras model"),
            (("export", not_a_model, tmp_path / "x"), 1, "cannot be loaded as a Keras model"),
            (("report", tmp_path), 1, "holds no finished search"),
        ):
            code, _, stderr = ksparse(*arguments)
            assert code == expected, stderr
            assert message in stderr

    def test_any_keras_model_can_be_inspected_and_exported(self, tmp_path):
        model = keras.Sequential([keras.Input((6,)), ks.SparseDense(4, density=0.5), keras.layers.Dense(2)])
        model.save(tmp_path / "m.keras")
        code, stdout, _ = ksparse("inspect", tmp_path / "m.keras")
        assert code == 0
        assert "sparse_dense" in stdout
        assert ksparse("export", tmp_path / "m.keras", tmp_path / "s")[0] == 0
        x = np.ones((2, 6), "float32")
        served = tf.saved_model.load(str(tmp_path / "s")).signatures["serving_default"]
        [answer] = served(tf.constant(x)).values()
        np.testing.assert_allclose(answer, model.predict(x, verbose=0), atol=1e-5)


def test_the_policies_are_those_of_the_library():
    from keras_sparse_cli.train import POLICIES

    from keras_sparse.rewiring.named import NAMES

    assert tuple(POLICIES) == NAMES
