"""A disk that fills while a file is written: one clear error, and the old file is as good as before."""

import subprocess
import sys
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras_sparse_cli.main import main

import keras_sparse as ks

resource = pytest.importorskip("resource", reason="limits of files are POSIX")
FULL = "File too large|No space left"


@contextmanager
def full_disk(room):
    """No file grows beyond `room` bytes: writes fail as on a full disk, in Python and in native code."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def network(units=256):
    model = keras.Sequential([keras.Input((64,)), ks.SparseDense(units, density=0.3), ks.SparseDense(10, density=0.3)])
    model.compile("adam", "mse")
    return model


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def predict(model, x):
    return model.predict(x, verbose=0)


X = np.random.default_rng(0).normal(size=(5, 64)).astype("float32")


@pytest.mark.parametrize("room", [0, 100, 20_000, 45_000])
def test_a_keras_file(room, tmp_path):
    old = network()
    ks.save_model(old, tmp_path / "model.keras")
    assert (tmp_path / "model.keras").stat().st_size > 45_000
    with full_disk(room), pytest.raises(OSError, match=FULL):
        ks.save_model(network(300), tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    np.testing.assert_array_equal(predict(ks.load_model(tmp_path / "model.keras"), X), predict(old, X))


def test_a_keras_file_is_called_so(tmp_path):
    with pytest.raises(ValueError, match=r'ends in ".keras"; got'):
        ks.save_model(network(), tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


def test_a_backup(tmp_path):
    def run(epochs):
        keras.utils.set_random_seed(1)
        model = network()
        rewire, y = ks.Rewire(ks.SET(0.3)), np.zeros((5, 10), "float32")
        backup = ks.Backup(tmp_path, delete_at_end=False)
        history = model.fit(X, y, epochs=epochs, verbose=0, callbacks=[rewire, backup])
        return model, history.epoch

    run(2)
    [file] = tmp_path.iterdir()
    before = contents(tmp_path)
    with full_disk(file.stat().st_size // 2), pytest.raises(OSError, match=FULL):
        run(3)
    assert contents(tmp_path) == before
    model, epochs = run(3)
    assert epochs == [2]
    for path in tmp_path.iterdir():
        path.unlink()
    np.testing.assert_array_equal(predict(run(3)[0], X), predict(model, X))


@pytest.mark.parametrize("form", ["saved_model", "litert", "onnx"])
def test_an_export(form, tmp_path):
    if form == "onnx":
        pytest.importorskip("tf2onnx")
    target = tmp_path / "served"
    ks.export(network(), target, format=form, prefer="size")
    before = contents(tmp_path)
    with full_disk(5_000), pytest.raises(OSError, match=FULL):
        ks.export(network(300), target, format=form, prefer="size", overwrite=True)
    assert contents(tmp_path) == before
    if form == "saved_model":
        assert tf.saved_model.load(target).signatures["serving_default"] is not None


def test_commands_say_it_in_a_line(tmp_path):
    def ksparse(*arguments):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stderr.splitlines()[-1:]

    run, served = tmp_path / "run", tmp_path / "served"
    train = ("train", "digits", "--layers", 200, "--density", 0.5, "--epochs", 1, "--output", run)
    with full_disk(5_000):
        code, [line] = ksparse(*train)
    assert code == 1
    assert "File too large" in line
    assert not list(run.rglob("*.keras"))
    assert ksparse(*train, "--overwrite")[0] == 0
    assert ksparse("export", run, served)[0] == 0
    before = contents(served)
    with full_disk(5_000):
        code, [line] = ksparse("export", run, served, "--overwrite")
    assert (code, line) == (1, "Error: The SavedModel cannot be written: File too large.")
    assert contents(served) == before


MOUNTED = """
import errno, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, keras_sparse as ks
folder = sys.argv[1]
model = keras.Sequential([keras.Input((64,)), ks.SparseDense(300, density=0.5), ks.SparseDense(10, density=0.3)])
model.compile("adam", "mse")
small = keras.Sequential([keras.Input((64,)), ks.SparseDense(10, density=0.3)])
written = {
    "model.keras": lambda model: ks.save_model(model, folder + "/model.keras"),
    "served": lambda model: ks.export(model, folder + "/served", prefer="size", overwrite=True),
    "lite": lambda model: ks.export(model, folder + "/lite", format="litert", prefer="size", overwrite=True),
}
for name, write in written.items():
    write(small)
filled = os.open(folder + "/filling", os.O_WRONLY | os.O_CREAT)
room = os.statvfs(folder)
os.write(filled, b"x" * (room.f_bavail * room.f_frsize - 20_000))
before = {path: open(os.path.join(at, path), "rb").read() for at, _, paths in os.walk(folder) for path in paths}
for name, write in written.items():
    try:
        write(model)
    except OSError as error:
        assert "No space left on device" in str(error), error
    else:
        raise SystemExit(name + " was written to a full disk")
after = {path: open(os.path.join(at, path), "rb").read() for at, _, paths in os.walk(folder) for path in paths}
assert before == after, set(after) ^ set(before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk, as Linux does")
def test_a_small_disk(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a disk here")
    try:
        done = subprocess.run([sys.executable, "-c", MOUNTED, str(tmp_path)], capture_output=True, text=True)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert done.returncode == 0, done.stderr
