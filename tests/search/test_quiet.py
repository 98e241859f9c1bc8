"""Workers stop while one of them measures."""

import os
import subprocess
import sys
import threading
import time

import pytest
from keras_sparse.search.quiet import FOLDER, Quiet

pytest.importorskip("fcntl")

HOLDER = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("quiet", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["quiet"] = module
spec.loader.exec_module(module)
with module.Quiet(sys.argv[2]).working():
    print("working", flush=True)
    time.sleep(60)
"""


def test_measuring_waits_for_the_end_of_an_epoch_and_keeps_the_next_from_beginning(tmp_path):
    trainer, measurer, done = Quiet(str(tmp_path)), Quiet(str(tmp_path)), []

    def measure():
        with measurer.working(), measurer.alone():
            done.append("begin")
            time.sleep(0.3)
            done.append("end")

    with trainer.working():
        thread = threading.Thread(target=measure)
        thread.start()
        time.sleep(0.2)
        assert done == []  # an epoch is being trained
        trainer.pause()
        assert done == ["begin", "end"]
        thread.join(timeout=10)
        assert not thread.is_alive()
        trainer.pause()


def test_nobody_waits_for_ever(tmp_path):
    """Trainers that never pause at the same time do not keep a measurement from its turn."""
    trainers, over, turns = [Quiet(str(tmp_path)) for _ in range(4)], threading.Event(), []

    def train(quiet, delay):
        time.sleep(delay)
        with quiet.working():
            while not over.is_set():
                time.sleep(0.04)
                quiet.pause()

    threads = [threading.Thread(target=train, args=(quiet, 0.01 * i)) for i, quiet in enumerate(trainers)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    measurer = Quiet(str(tmp_path))
    for _ in range(3):
        with measurer.alone():
            turns.append(1)
    over.set()
    for thread in threads:
        thread.join(timeout=10)
    assert len(turns) == 3


def test_a_killed_worker_lets_go(tmp_path):
    import keras_sparse.search.quiet as module

    command = [sys.executable, "-c", HOLDER, module.__file__, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "working\n"
        entered = threading.Event()

        def measure():
            with Quiet(str(tmp_path)).alone():
                entered.set()

        thread = threading.Thread(target=measure)
        thread.start()
        assert not entered.wait(0.3)
        holder.kill()
        assert entered.wait(10)
        thread.join()


def test_it_does_nothing_alone_or_where_no_time_is_measured(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for quiet in (Quiet(None), Quiet.of_environment(False), Quiet(os.devnull)):
        with quiet.working(), quiet.alone():
            quiet.pause()
    assert not list(tmp_path.iterdir())
    with Quiet.of_environment(True).working():
        assert {path.name for path in tmp_path.iterdir()} == {"gate", "room"}
