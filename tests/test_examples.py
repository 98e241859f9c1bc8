"""Every example runs: quickly here, and as it stands among the slow tests, where what it finds is looked at, too."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples"
ELSEWHERE = {"serving_client", "two_workers"}  # have tests of their own
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ELSEWHERE)
QUICK = {
    "gene_expression": ["--epochs", "12"],
    "small_classifier": ["--epochs", "2"],
    "sequences": ["--epochs", "2", "--units", "16"],
    "rbm": ["--epochs", "10", "--temperatures", "100"],
}


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """Return what an example prints, run in this process."""
    monkeypatch.chdir(tmp_path)

    def run(name, *options):
        script = str(FOLDER / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [script, *options])
        runpy.run_path(script, run_name="__main__")
        text = capsys.readouterr().out
        assert text.strip()
        return text

    return run


def printed_by_itself(name, folder):
    script = str(FOLDER / f"{name}.py")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stderr
    return run.stdout


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in {text}"
    return float(found[1])


def check_genes(text, recovered, accuracy):
    assert number(r"important: sparse ([\d.]+)", text) > recovered
    assert number(r"test accuracy: sparse ([\d.]+)", text) > accuracy
    assert number(r"informative ([\d.]+), others", text) > number(r"others ([\d.]+)", text)
    assert number(r"(\d+) of 5000 genes have", text) < 2500


def check_classifier(text, accuracy):
    assert number(r"classifier.tflite: ([\d.]+) KB", text) < 50
    assert number(r"LiteRT ([\d.]+)", text) > accuracy
    assert number(r"difference of a probability: ([\d.e-]+)", text) < 0.01


def check_rbm(text):
    assert number(r"test digit: ([-\d.]+) ", text) > number(r"independent pixels ([-\d.]+)", text)
    assert len(re.findall(r"^[#.]{8}(?:   [#.]{8}){7}$", text, re.MULTILINE)) == 8


@pytest.mark.parametrize("name", EXAMPLES)
def test_runs(name, printed):
    text = printed(name, *QUICK.get(name, ()))
    if name == "gene_expression":
        check_genes(text, recovered=0.1, accuracy=0.3)
    elif name == "small_classifier":
        check_classifier(text, accuracy=0.5)
    elif name == "sequences":
        assert number(r"recurrent_kernel: ([\d.]+) of all positions", text) >= 0.1
    elif name == "rbm":
        check_rbm(text)


@pytest.mark.slow
def test_what_they_find(tmp_path):
    check_genes(printed_by_itself("gene_expression", tmp_path), recovered=0.6, accuracy=0.9)
    check_classifier(printed_by_itself("small_classifier", tmp_path), accuracy=0.92)
    assert number(r"test accuracy ([\d.]+)", printed_by_itself("sequences", tmp_path)) > 0.9
    check_rbm(printed_by_itself("rbm", tmp_path))


def test_data_of_ones_own(tmp_path, printed):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 300)).astype("float32"), np.arange(40) % 2
    np.savez(tmp_path / "genes.npz", x=x, y=y + 3)  # any two labels
    text = printed("gene_expression", "--data", "genes.npz", "--epochs", "2")
    assert "300 genes, 2 classes" in text
    assert "by chance" not in text  # nobody knows which genes matter
    np.savez(tmp_path / "sequences.npz", x=rng.normal(size=(40, 7, 3)), y=y)  # all of one length
    assert "test accuracy" in printed("sequences", "--data", "sequences.npz", "--epochs", "1", "--units", "8")


def test_there_are_some():
    assert {"sparse_digits", "own_policy", "gene_expression", "small_classifier", "sequences", "rbm"} <= set(EXAMPLES)
    listed = (FOLDER / "README.md").read_text("utf-8")
    for name in (*EXAMPLES, *ELSEWHERE):
        assert f"`{name}.py`" in listed
