"""Searches on several real processes, some of which are killed."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from keras_sparse.search import MLPSpace, Records, search
from keras_sparse.search.data import Dataset
from keras_sparse.search.distributed.chief import Chief
from keras_sparse.search.distributed.local import LocalWorkers, share
from keras_sparse.search.distributed.roles import Role, WorkersError
from keras_sparse.search.errors import ResumeMismatchError, RunDirectoryError
from keras_sparse.search.preparation import prepare
from keras_sparse.search.progress import Reporter
from keras_sparse.search.settings import Settings
from keras_sparse_cli.main import main
from sklearn.datasets import load_digits

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes end")

SPACE = MLPSpace(hidden_layers=(1, 1), units=(16, 32), batch_sizes=(16, 32), input_density=(0.1, 0.3))
OPTIONS = {"space": SPACE, "max_trials": 6, "epochs": 4, "seed": 1, "objective": "pareto"}
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("KERASTUNER")},
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"),
    "KERAS_SPARSE_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

# Finds everything it needs in this file, as a user's script would; __main__ has a space of its own.
SCRIPT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_distributed_processes as here
from keras_sparse.search import MLPSpace, search
from keras_sparse.search.distributed.local import LocalWorkers

class Mine(MLPSpace):
    pass

killed, started = [], []
start = LocalWorkers._start

def noted(self, name):
    started.append(start(self, name))
    print(started[-1].popen.pid, flush=True)
    return started[-1]

LocalWorkers._start = noted

def progress(event):
    if event.event == "workers":
        print(event.note, flush=True)
    owner = next((name for name, trial in here.owners().items() if trial == event.trial), None)
    if event.event == "epoch" and owner and not killed:
        killed.append(owner)
        print("killing the worker of", event.trial, flush=True)
        next(process for process in started if process.name == owner).popen.kill()
    if event.event == "result":
        print("result", event.record.trial, flush=True)
        if event.done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    here.remember_chief()
    search(here.digits(), output=sys.argv[2], workers=2, on_progress=progress,
           **{**here.OPTIONS, "space": Mine(**vars(here.SPACE))})
"""

_chiefs = []


def remember_chief():
    from keras_sparse.search.distributed.chief import Chief

    create = Chief.__init__

    def noted(self, *arguments, **options):
        _chiefs.append(self)
        create(self, *arguments, **options)

    Chief.__init__ = noted


def owners():
    """Which worker runs which trial."""
    return {name: worker.trial for name, worker in _chiefs[0]._workers.items()}


def digits():
    x, y = load_digits(return_X_y=True)
    parts = {
        f"{v}_{p}": a[i * 150 : (i + 1) * 150]
        for i, p in enumerate(("train", "val", "test"))
        for v, a in (("x", x), ("y", y.astype("int64")))
    }
    return Dataset(name="digits", task="classification", classes=list(range(10)), **parts)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def records_of(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "trials").glob("[0-9]*.json"))}


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".plan"]


def test_a_worker_and_then_the_chief_are_killed(tmp_path):
    """A search goes on without a worker; alone it is resumed; and what a worker found can be repeated."""
    script, folder = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(Path(__file__).parent), str(folder)]
    killed = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=400, check=False)
    lines = killed.stdout.splitlines()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    pids = [int(line) for line in lines if line.isdecimal()]
    assert len(pids) == 3, killed.stdout
    wait_for(lambda: not any(map(is_alive, pids)), seconds=20)
    lost = int(next(line for line in lines if line.startswith("killing")).split()[-1])
    assert sum(line.endswith(f"was killed by SIGKILL; trial {lost} is run again.") for line in lines) == 1
    before = records_of(folder)
    assert len(before) == sum(line.startswith("result") for line in lines) >= 3
    plans = {path.stem: json.loads(path.read_text()) for path in (folder / "trials").glob("[0-9]*.plan")}

    result = search(digits(), output=folder, resume=True, **OPTIONS)
    assert [trial["trial"] for trial in result.trials] == list(range(6))
    after = records_of(folder)
    assert {name: after[name] for name in before} == before
    found = Records(folder).read_all()
    for name, plan in plans.items():
        assert found[int(name)].hyperparameters == plan["hyperparameters"]
        assert found[int(name)].pending == plan["pending"]
    assert not leftovers(folder)
    assert len({json.dumps(record.hyperparameters, sort_keys=True) for record in found.values()}) == 6
    trained = [record for record in found.values() if record.worker and record.completed]
    assert trained
    assert {record.threads for record in trained} == {1}

    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import json, test_distributed_processes as here; from keras_sparse.search import repeat\n"
        "again = repeat(here.digits(), sys.argv[2], int(sys.argv[3]))\n"
        "print(json.dumps(again.to_dict()))"
    )
    record = max(trained, key=lambda record: record.trial)
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder), str(record.trial)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "numbers may differ" not in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(record.to_dict()))


class Command:
    """`ksparse search` in a process, as a chief, a worker or neither."""

    def __init__(self, folder, data, name, *options, port=None, timeout="4"):
        role = {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
        role["KERAS_SPARSE_WORKER_TIMEOUT"] = timeout
        self.err, self.out = folder / f"{name}.err", folder / f"{name}.out"
        command = ["search", data, "--max-trials", "5", "--epochs", "2", "--format", "json"]
        with self.err.open("w") as err, self.out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keras_sparse_cli", *command, "--output", str(folder / "run"), *options],
                env=ENVIRONMENT | (role if port else {}),
                stdout=out,
                stderr=err,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def says(self, text):
        return text in self.err.read_text()

    def wait(self):
        return self.process.wait(timeout=300)


@pytest.fixture
def table(tmp_path):
    x, y = load_digits(return_X_y=True)
    np.savez(tmp_path / "some.npz", x=x[:400], y=y[:400])
    return str(tmp_path / "some.npz")


@pytest.fixture
def start(tmp_path, table):
    """Starts commands, and ends what is left of them."""
    commands = []

    def begin(name, *options, **more):
        commands.append(Command(tmp_path, table, name, *options, **more))
        return commands[-1]

    yield begin
    for command in commands:
        command.process.kill()
        command.process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_commands_with_the_environment_variables(start, tmp_path):
    """A worker dies, the chief dies, another chief and another worker end the search."""
    port = free_port()
    first, dying, staying = (start(name, port=port) for name in ("chief", "dying", "staying"))
    wait_for(lambda: first.says("Worker dying has joined."))
    dying.process.kill()
    wait_for(lambda: first.says("Worker dying was not heard of for 4 seconds; trial"))
    wait_for(lambda: len(records_of(tmp_path / "run")) >= 2)
    first.process.kill()
    first.wait()
    before = records_of(tmp_path / "run")
    second = start("chief2", "--resume", "--max-trials", "6", port=port)
    assert staying.wait() == 1
    assert staying.says("Another chief has taken over") or staying.says("No chief has answered at 127.0.0.1")
    assert "Traceback" not in staying.err.read_text()
    last = start("last", port=port)
    assert (last.wait(), second.wait()) == (0, 0), last.err.read_text() + second.err.read_text()
    after = records_of(tmp_path / "run")
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    found = json.loads(second.out.read_text())
    assert json.loads(last.out.read_text()) == found
    assert [trial["trial"] for trial in found["trials"]] == list(range(6))
    assert {record.worker for record in Records(tmp_path / "run").read_all().values()} <= {"dying", "staying", "last"}
    assert not leftovers(tmp_path / "run")


def children(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_ctrl_c_ends_everything(start, tmp_path):
    command = start("alone", "--workers", "2", "--max-trials", "50")
    wait_for(lambda: command.says("has joined"))
    pids = children(command.process.pid)
    assert len(pids) == 2
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 1
    assert not any(map(is_alive, pids))
    assert command.says("Interrupted. Nothing finished is lost")
    assert "Traceback" not in command.err.read_text()
    assert not list((tmp_path / "run").rglob(".*"))


class Deaf:
    """A chief nobody works for."""

    host, port, results = "127.0.0.1", 1, 0

    def __init__(self):
        self.lost = []

    def has_met(self, worker):
        return False

    def lose(self, worker, why):
        self.lost.append((worker, why))

    def dismiss(self, worker):
        pass


def test_workers_that_cannot_start_end_the_search_and_say_why():
    with LocalWorkers(1, Deaf(), json.dumps, {"wrong": 1}, timeout=60.0) as workers:
        with pytest.raises(WorkersError, match=r"(?s)local-1 ended with exit code 1.*missing 1 required") as caught:
            wait_for(workers.check, seconds=100)
        pid = workers._processes[0].popen.pid
    assert caught.value.exit_code == 1
    assert not is_alive(pid)


def test_arguments_that_cannot_be_handed_over():
    with pytest.raises(WorkersError, match="cannot be handed the arguments"):
        LocalWorkers(1, Deaf(), json.dumps, {"obj": lambda: 1}, timeout=60.0)


def test_threads_are_divided(monkeypatch):
    monkeypatch.setattr("keras_sparse.search.distributed.local.threads", lambda: 5)
    assert [share(workers) for workers in (1, 2, 3, 5, 9)] == [5, 2, 1, 1, 1]


def test_wrong_variables_are_wrong_usage(monkeypatch, table, tmp_path):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    result = CliRunner().invoke(main, ["search", table, "--output", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "KERASTUNER_TUNER_ID is not" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_worker_with_other_data_or_another_folder_is_refused(tmp_path, monkeypatch):
    prepared = prepare(digits(), SPACE, None, Settings("pareto"))
    folder = tmp_path / "run"
    folder.mkdir()
    manifest = prepared.manifest(epochs=4, patience=5, seed=1, max_trials=6)
    manifest.write(folder)
    other = replace(digits(), y_val=digits().y_val[::-1])
    with Chief(prepared.tuner(folder, manifest, Reporter(None)), timeout=5.0) as chief:
        for name, value in Role("worker", "a", "127.0.0.1", chief.port, 5.0).environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ResumeMismatchError, match=r"(?s)something else than this worker.*data\.fingerprint"):
            search(other, output=folder, **OPTIONS)
        with pytest.raises(ResumeMismatchError, match=r"space\.units: \[16, 32\] -> \[16, 64\]"):
            search(digits(), output=folder, **{**OPTIONS, "space": replace(SPACE, units=(16, 64))})
        with pytest.raises(RunDirectoryError, match="one folder that all machines share"):
            search(digits(), output=tmp_path / "elsewhere", **OPTIONS)
    assert not (tmp_path / "elsewhere").exists()
    assert not list((folder / "trials").iterdir())


@pytest.mark.slow
def test_a_script_without_a_guard_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=400, check=False)
    assert done.returncode == 1
    assert 'under `if __name__ == "__main__":`' in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments(start, tmp_path, seed):
    """Workers and chiefs of a search die until it has ended; nothing is lost, done twice or left behind."""
    draw, folder, number, kept = random.Random(seed), tmp_path / "run", 0, {}
    options = ["--workers", "2", "--resume", "--max-trials", "12", "--objective", "pareto", "--epochs", "6"]
    while not (folder / "results.json").exists():
        number += 1
        command = start(f"chief{number}", *options)
        pids = set()
        for _ in range(draw.randint(1, 4)):
            time.sleep(draw.uniform(3, 15))
            found = children(command.process.pid)
            pids |= set(found)
            if number < 8 and found and command.process.poll() is None:
                os.kill(draw.choice(found), signal.SIGKILL)
        if number < 8:
            command.process.kill()
        command.wait()
        wait_for(lambda: not any(map(is_alive, pids)), seconds=20)  # noqa: B023
        now = records_of(folder)
        assert {name: now[name] for name in kept} == kept
        kept = now
    found = Records(folder).read_all()
    assert list(found) == list(range(12))
    assert len({json.dumps(record.hyperparameters, sort_keys=True) for record in found.values()}) == 12
    for index, record in found.items():
        assert all(other < index for other in record.pending)
        assert record.completed or "WorkerDied" in record.error
    assert not leftovers(folder)
