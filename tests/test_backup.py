import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_sparse as ks

SCRIPT = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, keras_sparse as ks
folder, slow = sys.argv[1], float(sys.argv[2])
keras.utils.set_random_seed(3)
rng = np.random.default_rng(0)
x = rng.normal(size=(300, 12)).astype("float32")
y = np.argmax(x @ rng.normal(size=(12, 3)), axis=1)
model = keras.Sequential([
    keras.Input((12,)),
    ks.SparseDense(16, density=0.3, activation="relu"),
    keras.layers.Dropout(0.4),
    ks.SparseDense(3, density=0.6),
])
model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
rewire = ks.Rewire(ks.SET(0.3))
plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.05, factor=0.7)
callbacks = [rewire, plateau, ks.Backup(folder + "/backup", include=[plateau], delete_at_end=False)]
if slow:
    callbacks.append(keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: print("epoch", epoch, flush=True),
        on_train_batch_end=lambda batch, logs: time.sleep(slow)))
model.fit(x, y, epochs=8, batch_size=32, verbose=0, callbacks=callbacks)
import json
arrays = {f"v{i}": np.array(v) for i, v in enumerate([*model.variables, *model.optimizer.variables])}
np.savez(folder + "/result.npz", history=np.array(json.dumps(rewire.history)), **arrays)
"""


def start(folder, slow=0.0):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(slow)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(folder):
    with np.load(folder / "result.npz") as file:
        return {name: file[name] for name in file.files}


def test_a_killed_and_resumed_run_ends_bit_identical(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    killed = tmp_path / "killed"
    for epoch in (2, 5):
        run = start(killed, slow=0.03)
        for line in run.stdout:
            if line.strip() == f"epoch {epoch}":
                break
        time.sleep(0.1)  # in the middle of the epoch
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not (killed / "result.npz").exists()
        assert len(list((killed / "backup").glob("epoch-*.npz"))) == 1
    last = start(killed)
    assert last.wait() == 0, last.stderr.read()
    expected, got = result(tmp_path / "whole"), result(killed)
    assert expected.keys() == got.keys()
    histories = [json.loads(str(r.pop("history"))) for r in (expected, got)]
    assert histories[0] == histories[1]
    for name in expected:
        assert np.array_equal(expected[name], got[name]), name


def model(units=8):
    model = keras.Sequential([keras.Input((12,)), ks.SparseDense(units, density=0.5), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_the_file_goes_at_the_end_and_the_next_fit_starts_at_zero(problem, tmp_path):
    net = model()
    backup = ks.Backup(tmp_path)
    net.fit(*problem, epochs=2, verbose=0, callbacks=[backup])
    assert list(tmp_path.iterdir()) == []
    history = net.fit(*problem, epochs=3, verbose=0, callbacks=[backup])
    assert len(history.epoch) == 3


def test_a_finished_run_is_not_trained_again(problem, tmp_path):
    first = model()
    first.fit(*problem, epochs=2, verbose=0, callbacks=[ks.Backup(tmp_path, delete_at_end=False)])
    again = model()
    history = again.fit(*problem, epochs=2, verbose=0, callbacks=[ks.Backup(tmp_path, delete_at_end=False)])
    assert history.epoch == []
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights()))
    assert len(again.fit(*problem, epochs=1, verbose=0).epoch) == 1


def test_a_backup_of_another_model_is_refused(problem, tmp_path):
    model().fit(*problem, epochs=1, verbose=0, callbacks=[ks.Backup(tmp_path, delete_at_end=False)])
    other = model(units=9)
    before = other.get_weights()
    with pytest.raises(
        ValueError, match=r"backup of another model.*\[\[48\], 'float32'\] there, \[\[54\], 'float32'\] here"
    ):
        other.fit(*problem, epochs=2, verbose=0, callbacks=[ks.Backup(tmp_path)])
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights()))


def test_backup_comes_last_and_the_model_is_built_first(problem, tmp_path):
    with pytest.raises(ValueError, match="List Backup after Rewire"):
        model().fit(*problem, verbose=0, callbacks=[ks.Backup(tmp_path), ks.Rewire(ks.SET())])
    plateau = keras.callbacks.ReduceLROnPlateau("loss")
    with pytest.raises(ValueError, match="List Backup after ReduceLROnPlateau"):
        model().fit(*problem, verbose=0, callbacks=[ks.Backup(tmp_path, include=[plateau]), plateau])
    lazy = keras.Sequential([ks.SparseDense(3)])
    lazy.compile("sgd", "mse")
    with pytest.raises(ValueError, match="needs a built model"):
        lazy.fit(*problem, verbose=0, callbacks=[ks.Backup(tmp_path)])


def test_a_run_that_was_stopped_early_stays_stopped(problem, tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise RuntimeError("killed")

    def run(*more):
        net = model()
        stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10.0)
        callbacks = [*more, stop, ks.Backup(tmp_path, include=[stop])]
        return net, net.fit(*problem, epochs=9, verbose=0, callbacks=callbacks)

    with pytest.raises(RuntimeError, match="killed"):
        run(Killed())
    [file] = tmp_path.iterdir()
    (tmp_path / f".{file.stem}.99.tmp.npz").write_bytes(b"half")
    _, history = run()
    assert history.epoch == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_backup_is_refused_and_kept(problem, tmp_path):
    model().fit(*problem, epochs=1, verbose=0, callbacks=[ks.Backup(tmp_path, delete_at_end=False)])
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"cannot be read.*Remove it to train from the beginning"):
        model().fit(*problem, epochs=2, verbose=0, callbacks=[ks.Backup(tmp_path)])
    assert file.exists()


def test_a_failed_write_leaves_the_old_file(problem, tmp_path, monkeypatch):
    backup = ks.Backup(tmp_path, delete_at_end=False)
    model().fit(*problem, epochs=1, verbose=0, callbacks=[backup])
    [old] = tmp_path.iterdir()
    content = old.read_bytes()

    def full_disk(file, **arrays):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        model().fit(*problem, epochs=3, verbose=0, callbacks=[backup])
    assert [f.name for f in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == content


def test_half_precision_variables_come_back(problem, tmp_path):
    def half():
        net = keras.Sequential([keras.Input((12,)), ks.SparseDense(3, density=0.5, dtype="bfloat16")])
        net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return net

    first = half()
    first.fit(*problem, epochs=1, verbose=0, callbacks=[ks.Backup(tmp_path, delete_at_end=False)])
    again = half()
    again.fit(*problem, epochs=1, verbose=0, callbacks=[ks.Backup(tmp_path)])
    assert np.array_equal(first.layers[0].kernel.to_dense(), again.layers[0].kernel.to_dense())


assert os.name == "posix", "SIGKILL is POSIX"
