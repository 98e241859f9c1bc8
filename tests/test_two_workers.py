"""The example of several workers: two processes that must stay equal, and what starts and stops them."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "two_workers.py"
POLICIES = ("set", "rigl", "deep-r")
LOAD = f"""
import importlib.util, json, os, sys, time
spec = importlib.util.spec_from_file_location("two_workers", {str(SCRIPT)!r})
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
"""
INDEX = "import json, os, sys, time\nindex = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("two_workers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run all policies one after the other on two workers, once: most of the time is TensorFlow's start."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.distribute needs the TensorFlow backend")
    folder = tmp_path_factory.mktemp("two_workers")
    options = ["--steps", "40", "--every", "10", "--timeout", "200", "--output", str(folder)]
    command = [sys.executable, str(SCRIPT), "--policy", *POLICIES, *options]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, folder


@pytest.mark.parametrize("policy", POLICIES)
def test_workers_end_with_the_same_topologies_weights_and_slots(run, policy):
    first, second = (np.load(run[1] / f"{policy}-{worker}.npz") for worker in range(2))
    assert first["topologies"].shape == (4, 2)  # updates, kernels
    assert len({tuple(row) for row in first["topologies"]}) > 1, "no update changed anything"
    assert set(first) == set(second)
    for name in first:
        assert np.array_equal(first[name], second[name])


@pytest.mark.parametrize("policy", POLICIES)
def test_every_update_shows_the_same_fingerprints_and_the_loss_falls(run, policy):
    lines = [line for line in run[0].stdout.splitlines() if line.startswith(f"{policy}: ")]
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", "\n".join(lines))]
    assert len(losses) == 4
    assert losses[-1] < 0.9 * losses[0]
    marks = [re.findall(r"worker \d ([\da-f-]+)", line) for line in lines[:-1]]
    assert all(len(each) == 2 and each[0] == each[1] for each in marks)
    assert float(re.search(r"test accuracy ([\d.]+)", lines[-1])[1]) > 0.3  # by chance: 0.1


def test_kernels_without_a_seed_start_alike_on_all_workers(run):
    # Every worker drew another topology; all have the first one's, and know it.
    assert "exchanged without" not in run[0].stderr


def test_one_that_fails_stops_the_others(example, capfd):
    start = time.monotonic()
    command = [sys.executable, "-c", INDEX + "sys.exit(3) if index else time.sleep(60)"]
    assert example.run_here(command, 2, 50) == 1
    assert time.monotonic() - start < 40
    assert "Worker 1 ended with exit code 3; the others are stopped." in capfd.readouterr().err


def test_workers_that_take_too_long_are_stopped(example, capfd):
    assert example.run_here([sys.executable, "-c", "import time; time.sleep(60)"], 2, 0.2) == 1
    assert "did not finish in 0.2 seconds" in capfd.readouterr().err


def test_workers_end_with_whoever_started_them(tmp_path):
    worker = LOAD + INDEX + f"open({str(tmp_path)!r} + f'/{{index}}', 'w').write(str(os.getpid()))\n"
    worker += "example.leave_at_end_of_input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", LOAD + f"example.run_here([sys.executable, '-c', {worker!r}], 2, 60)"]
    )
    wait_until(lambda: len([path for path in tmp_path.iterdir() if path.read_text()]) == 2)
    pids = [int(path.read_text()) for path in tmp_path.iterdir()]
    assert all(alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid):
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
