import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from keras_sparse_cli.main import main

from keras_sparse import doctor
from keras_sparse.compute.native import library


@pytest.fixture(scope="module")
def diagnosis():
    return doctor.diagnose()


def test_everything_is_well_here(diagnosis):
    assert diagnosis.healthy, str(diagnosis)
    assert [check.name for check in diagnosis.checks] == [name for name, _ in doctor._tests()]
    assert diagnosis.versions["keras"] != "missing"
    assert diagnosis.kernels["available"] == (library.load() is not None)


def test_it_prints_and_is_json(diagnosis):
    text = str(diagnosis)
    for part in ("Versions", "Native kernels", "Compute paths", "Self-test", diagnosis.paths[0].reason):
        assert part in text
    assert json.loads(json.dumps(diagnosis.to_dict()))["healthy"]


def test_a_path_that_computes_wrongly_is_found(monkeypatch):
    monkeypatch.setattr(type(doctor._layer()[0].kernel), "matmul", lambda kernel, x, **_: x @ kernel.to_dense() * 1.01)
    check = doctor._run("products", doctor._products)
    assert not check.passed


def test_what_raises_is_a_failed_check(monkeypatch):
    def broken():
        raise RuntimeError("no such luck")

    monkeypatch.setattr(doctor, "_tests", lambda: iter([("luck", broken)]))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "FAILED  luck: RuntimeError: no such luck" in result.stdout
    assert "The self-test failed: luck" in result.stderr


def test_why_there_are_no_kernels():
    code = "from keras_sparse.doctor import _kernels; print(_kernels())"
    environment = os.environ | {library.INSTRUCTION_SET: "none"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "'available': False" in run.stdout
    assert library.INSTRUCTION_SET in run.stdout
