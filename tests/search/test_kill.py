"""Runs killed by the system, in real processes."""

import json
import os
import signal
import subprocess
import sys

import pytest

RUN = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
import numpy as np
from sklearn.datasets import load_digits
from keras_sparse.search import MLPSpace, search
from keras_sparse.search.data import Dataset

folder, die, resume = sys.argv[1], sys.argv[2], sys.argv[3] == "resume"
x, y = load_digits(return_X_y=True)
parts = {f"{v}_{p}": a[i * 150 : (i + 1) * 150] for i, p in enumerate(("train", "val", "test"))
         for v, a in (("x", x), ("y", y.astype("int64")))}
data = Dataset(name="digits", task="classification", classes=list(range(10)), **parts)
space = MLPSpace(hidden_layers=(1, 2), units=(16, 32), batch_sizes=(16, 32), input_density=(0.1, 0.3))

def progress(p):
    at = f"{p.event}:{p.trial}:{p.epoch}"
    if at == die:
        print("dying", flush=True)
        import time
        if os.environ["HOW"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

search(data, output=folder, space=space, max_trials=8, epochs=3, seed=1, complexity_weight=1.0, resume=resume,
       on_progress=progress)
"""


def start(folder, die="never", resume="resume", how="kill", hash_seed="0"):
    command = [sys.executable, "-c", RUN, str(folder), die, resume]
    environment = {**os.environ, "HOW": how, "PYTHONHASHSEED": hash_seed, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False)


def records_of(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "trials").glob("[0-9]*.json"))}


def result_of(folder):
    return json.loads((folder / "results.json").read_text().replace(str(folder), "RUN"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = start(folder, resume="new")
    assert done.returncode == 0, done.stderr
    assert len(records_of(folder)) == 8
    return folder


def test_killed_and_interrupted_anywhere_and_resumed(whole, tmp_path):
    """It ends as the whole run with that seed: every number, every file name, the picture; under any hash seed."""
    folder = tmp_path / "run"
    for die, how, finished in (("epoch:2:2", "kill", 2), ("epoch:7:1", "interrupt", 7), ("finish:None:0", "kill", 8)):
        killed = start(folder, die, how=how, hash_seed="12345")
        assert killed.stdout == "dying\n", killed.stderr
        assert killed.returncode == -signal.SIGKILL or (how == "interrupt" and "KeyboardInterrupt" in killed.stderr)
        assert len(records_of(folder)) == finished
        assert not (folder / "results.json").exists()
    last = start(folder, hash_seed="6789")
    assert last.returncode == 0, last.stderr
    assert records_of(folder) == records_of(whole)
    assert result_of(folder) == result_of(whole)
    assert (folder / "search.png").read_bytes() == (whole / "search.png").read_bytes()
    assert not [path for path in folder.rglob(".*") if path.is_file()]
