"""A training run killed at fifty moments drawn at random, and one that was let alone, end in the same bits."""

import json
import multiprocessing
import os
import random
import signal
import time

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.compute.exporting import read

EPOCHS, KILLS = 240, 50


def learn(folder):
    """Train to the end, from wherever an earlier process was killed; the last act is to write what came out."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(160, 8, 8, 3)).astype("float32"), rng.integers(0, 10, 160)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            ks.SparseConv2D(8, 3, density=0.3, activation="relu", strides=2, name="maps"),
            keras.layers.Flatten(),
            ks.SparseDense(64, density=0.15, activation="relu", name="wide"),
            keras.layers.Dropout(0.3),
            ks.SparseDense(10, density=0.4, name="last"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.002), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    by_epoch = ks.Rewire(ks.SET(0.3), layers=["maps", "last"])
    by_step = ks.Rewire(ks.SNFS(0.2), every=7, layers=["wide"])
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=3, min_delta=0.01, factor=0.9)
    backup = ks.Backup(folder / "backup", include=[plateau], delete_at_end=False)
    (folder / "begun").write_text(str(os.getpid()))
    model.fit(x, y, epochs=EPOCHS, batch_size=16, verbose=0, callbacks=[by_epoch, by_step, plateau, backup])
    variables = [*model.variables, *model.optimizer.variables]
    arrays = {f"variable_{i}": np.array(read(variable)) for i, variable in enumerate(variables)}
    history = json.dumps([by_epoch.history, by_step.history])
    np.savez(folder / "half.npz", history=np.array(history), **arrays)
    (folder / "half.npz").rename(folder / "result.npz")


def begin(processes, folder):
    process = processes.Process(target=learn, args=(folder,))
    process.start()
    return process


def epochs_done(folder):
    return max((int(file.stem.partition("-")[2]) for file in (folder / "backup").glob("epoch-*.npz")), default=0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="kills need POSIX")
def test_fifty_kills_change_nothing(tmp_path):
    """At moments drawn at random: in the middle of starting, restoring, steps, updates and of writing a backup."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["keras_sparse"]
    )  # no operation runs there, so its children start afresh, but fast
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    process = begin(processes, whole)
    process.join()
    assert process.exitcode == 0
    rng = random.Random(11)
    lives, halves, reached = 0, 0, []
    while lives < KILLS:
        (killed / "begun").unlink(missing_ok=True)
        process = begin(processes, killed)
        goal = max(epochs_done(killed) + 1, round(EPOCHS * (lives + 1) / (KILLS + 1)))
        kind = rng.choice(["starting", "training", "training", "writing", "writing"])
        if kind == "starting":
            time.sleep(rng.uniform(0, 1))
        else:
            # On to where this life is to end, so that the kills are spread over all of the training.
            wait_for(lambda goal=goal: (killed / "begun").exists() and epochs_done(killed) >= goal, process)
            if kind == "training":
                time.sleep(rng.uniform(0, 0.1))
            else:
                wait_for(lambda: list((killed / "backup").glob(".epoch-*.tmp.npz")), process)
                time.sleep(rng.uniform(0, 0.002))
        assert process.is_alive(), f"life {lives} ended by itself, with {process.exitcode}"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        lives += 1
        halves += bool(list((killed / "backup").glob(".epoch-*.tmp.npz")))
        reached.append(epochs_done(killed))
        if reached[-1]:
            with np.load(killed / "backup" / f"epoch-{reached[-1]:06d}.npz") as file:
                assert all(file[name] is not None for name in file.files)
    process = begin(processes, killed)
    process.join()
    assert process.exitcode == 0
    print(f"\n{lives} kills, {halves} of them amid a backup, after epochs {reached}")
    assert halves
    assert len(set(reached)) > KILLS / 2
    with np.load(whole / "result.npz") as expected, np.load(killed / "result.npz") as got:
        assert expected.files == got.files
        assert json.loads(str(expected["history"])) == json.loads(str(got["history"]))
        for name in expected.files:
            np.testing.assert_array_equal(expected[name], got[name], err_msg=name)


def wait_for(happened, process):
    while not happened():
        assert process.is_alive(), f"ended by itself, with {process.exitcode}"
        time.sleep(0.0005)
