"""What is fuzzed. A target is a function of a random generator; it may raise what it says, and nothing else."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from files import INTEGERS, Random, array_changed, damaged, hdf5_changed, json_changed, pick, zip_changed
from keras_sparse.search.data import load as load_data
from keras_sparse.search.manifest import RunManifest
from keras_sparse.search.records import Records
from keras_sparse.search.report.collect import collect
from keras_sparse.search.report.page import page
from keras_sparse.search.result import load_result

import keras_sparse as ks
from keras_sparse.compute.native.library import load

ALLOWED = (ValueError, OSError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.UnimplementedError)
SEARCH_ERRORS = ("SearchError", "DataError", "RunDirectoryError")


def network() -> Any:
    """Return a small model with a layer of every kind that reads sparse kernels from files."""
    images = keras.Input((6, 6, 3))
    x = ks.SparseConv2D(5, 3, density=0.3, capacity=60)(images)
    x = keras.layers.Reshape((4, 20))(x)
    x = ks.SparseLSTM(6, density=0.3, recurrent_density=0.4)(x)
    x = ks.SparseDense(300, density=0.05, pattern=ks.FromMask(np.arange(1800).reshape(6, 300) % 20 == 0))(x)
    x = ks.SparseDense(8, density=0.1, capacity=500)(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Dense(3)(x))


@cache
def keras_file() -> bytes:
    """Return a sound .keras file."""
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model = network()
        model.compile("adam", "mse")
        model.save(f"{folder}/m.keras")
        return Path(folder, "m.keras").read_bytes()


def keras_files(rng: Random) -> None:
    """A .keras file is loaded as a network that works, or refused by ValueError."""

    def change(name: str, data: bytes) -> bytes:
        if name.endswith(".json"):
            return json_changed(data, rng)
        return hdf5_changed(data, rng) if name.endswith(".h5") else damaged(data, rng)

    content = keras_file()
    content = damaged(content, rng) if rng.random() < 0.2 else zip_changed(content, rng, change)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.keras")
        path.write_bytes(content)
        model = ks.load_model(path)
    ks.inspect(model)
    if len(model.inputs) == 1 and model.input_shape == (None, 6, 6, 3):
        for junction in ks.inspect(model).junctions:
            assert 0 <= junction.connections <= junction.shape[0] * junction.shape[1]


def trained(folder: str) -> None:
    """Train a small model for two epochs, or what is left of them, with a backup in a folder."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), ks.SparseDense(9, density=0.3), ks.SparseDense(3, density=0.5)])
    model.compile("adam", "mse", run_eagerly=True)
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    backup = ks.Backup(folder, include=[stopping], delete_at_end=False)
    x, y = np.ones((8, 6), "float32"), np.ones((8, 3), "float32")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3)), stopping, backup])


@cache
def backup() -> tuple[str, bytes]:
    """Return (name, content) of a sound backup."""
    with tempfile.TemporaryDirectory() as folder:
        trained(folder)
        [path] = Path(folder).glob("epoch-*.npz")
        return path.name, path.read_bytes()


def backups(rng: Random) -> None:
    """A backup is resumed from, or refused by ValueError."""

    def change(name: str, data: bytes) -> bytes:
        if rng.random() < 0.3:
            return damaged(data, rng)
        array = np.load(io.BytesIO(data), allow_pickle=False)
        if name == "meta.npy":
            array = np.array(json_changed(str(array).encode(), rng).decode())
        else:
            array = array_changed(array, rng)
        out = io.BytesIO()
        np.save(out, array, allow_pickle=False)
        return out.getvalue()

    with tempfile.TemporaryDirectory() as folder:
        name, content = backup()
        path = Path(folder, name)
        path.write_bytes(damaged(content, rng) if rng.random() < 0.2 else zip_changed(content, rng, change))
        trained(folder)


def data_files(rng: Random) -> None:
    """A data file is read as numbers, or refused by one error."""
    suffix = pick(rng, [".npz", ".csv", ".parquet"])
    rows = 40
    table = {"a": np.arange(rows) / 3, "b": ["x", "y"] * (rows // 2), "c": np.arange(rows) % 2}
    out = io.BytesIO()
    if suffix == ".npz":
        shape = pick(rng, [(rows, 3), (rows, 4, 2)])
        arrays = {"x": np.ones(shape, "float32"), "y": np.arange(rows) % 2, "length": np.full(rows, 2)}
        name = pick(rng, list(arrays))
        if rng.random() < 0.5:
            arrays[name] = array_changed(arrays[name], rng)
        np.savez(out, allow_pickle=False, **arrays)
    else:
        import pandas

        frame = pandas.DataFrame(table)
        if rng.random() < 0.5:
            frame = frame.astype(object)
            frame.iloc[int(rng.integers(rows)), int(rng.integers(3))] = pick(rng, [None, np.nan, "1e999", 10**30, ""])
            frame = frame.astype(str) if suffix == ".parquet" else frame
        (frame.to_parquet if suffix == ".parquet" else frame.to_csv)(out, index=False)
    content = out.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"d{suffix}")
        path.write_bytes(damaged(content, rng) if rng.random() < 0.7 else content)
        data = load_data(str(path))
        assert np.isfinite(np.asarray(data.y_train, float)).all() if data.task == "regression" else data.classes


def run_directories(rng: Random) -> None:
    """A run directory is read, with what is damaged left out, or refused by one error; its page stays harmless."""
    record = {
        "schema": 1, "trial": 0, "status": "completed", "seed": 1, "hyperparameters": {"width": 3, "act": "relu"},
        "metric": "accuracy", "objective": 0.5, "prediction_loss": 0.4, "complexity": 0.1, "val_metric": 0.9,
        "test_metric": None, "connections": 100, "density": 0.1, "parameters": 120, "best_epoch": 2,
        "curve": {"loss": [1.0, 0.5], "connections": [100, 100]}, "network": "trials/0000.keras", "error": None,
        "worker": None, "direction": "max", "measures": {"bytes": 10}, "infeasible": None, "stopped_early": None,
        "pending": [],
    }  # fmt: skip
    manifest = {
        "schema": 1, "data": {"name": "d", "input_shape": [8, 8]}, "space": {"kind": "mlp"}, "options": {},
        "seed": 1, "max_trials": 3, "versions": {"keras": "3"}, "measured": {},
    }  # fmt: skip
    result = {"best": {"model": "m"}, "pareto_front": [{"model": "m"}], "trials": [{"model": None}]}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "trials").mkdir()
        files = {"run.json": manifest, "results.json": result}
        files |= {f"trials/{n:04d}.json": {**record, "trial": n} for n in range(3)}
        changed = {pick(rng, list(files)), pick(rng, list(files))}
        for name, value in files.items():
            content = json.dumps(value).encode()
            if name in changed:
                content = damaged(content, rng) if rng.random() < 0.3 else json_changed(content, rng)
            (directory / name).write_bytes(content)
        for needed in ("best.keras", "pareto.json", "search.png", "saved_model/saved_model.pb"):
            (directory / needed).parent.mkdir(exist_ok=True)
            (directory / needed).write_bytes(b"")
        (directory / "trials" / "0001.keras").write_bytes(damaged(keras_file(), rng))
        for read in (_page, load_result, RunManifest.read, lambda d: Records(d).read_all()):
            try:
                read(directory)
            except Exception as error:
                if not _allowed(error):
                    raise


def _page(directory: Path) -> None:
    text = page(collect(directory))
    assert text.count("<script") == text.count("</script") == 2


def native_ops(rng: Random) -> None:
    """A native operation computes, or says that its index is broken or its sizes do not fit; it never crashes."""
    library = load()
    if library is None:
        return
    keras.utils.clear_session()
    batch, n_in, n_out = (int(rng.integers(1, high)) for high in (9, 40, 300))
    layer, x = pick(
        rng,
        [
            lambda: (ks.SparseDense(n_out, density=0.3, activation="relu", compute="native"), (batch, n_in)),
            lambda: (ks.SparseConv2D(n_out % 20 + 1, 2, density=0.4, compute="native"), (batch, 5, 4, n_in % 7 + 1)),
            lambda: (ks.SparseLSTM(n_out % 20 + 1, density=0.4, compute="native"), (batch, 4, n_in)),
            lambda: (ks.SparseGRU(n_out % 20 + 1, density=0.4, compute="native"), (batch, 4, n_in)),
            lambda: (ks.SparseSimpleRNN(n_out % 20 + 1, density=0.4, compute="native"), (batch, 4, n_in)),
        ],
    )()
    x = tf.constant(rng.normal(size=x).astype("float32"))
    layer(x)
    kernels = [value for value in vars(layer).values() if hasattr(value, "index_variables")]
    for kernel in kernels:
        for variable in kernel.index_variables[:2]:
            array = variable.numpy()
            for _ in range(int(rng.integers(0, 4))):
                array[int(rng.integers(array.size))] = pick(rng, INTEGERS)
            variable.assign(array)
    if rng.random() < 0.5:
        x = tf.constant(array_changed(x.numpy(), rng))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x))
    tape.gradient(y, [x, *layer.trainable_weights])


def near(rng: Random) -> int:
    """Return 0, or now and then 1 or -1."""
    return int(rng.integers(-1, 2)) if rng.random() < 0.15 else 0


def raw_ops(rng: Random) -> None:
    """The operations themselves, with sizes that do not belong to their inputs."""
    library = load()
    if library is None:
        return
    n_in, n_out, capacity = (int(rng.integers(1, 50)) for _ in range(3))
    sizes = {"n_in": n_in, "n_out": n_out, "capacity": capacity, "block": n_out, "id_bits": 16}
    for name in sizes:
        if rng.random() < 0.06:
            sizes[name] = pick(rng, INTEGERS)
    words = -(-capacity // 4) + near(rng)
    rows = np.minimum(np.arange(n_in + 1), capacity)  # an output each, the same one
    ids = np.zeros(max(0, words), np.int64)
    if rng.random() < 0.5:
        rows = array_changed(rows, rng)
    if rng.random() < 0.3:
        ids = array_changed(ids, rng)
    x = rng.normal(size=(int(rng.integers(0, 4)), max(0, n_in + near(rng)))).astype("float32")
    y = rng.normal(size=(len(x), max(0, n_out + near(rng)))).astype("float32")
    values = np.ones(max(0, capacity + near(rng)), "float32")
    flags = {"relu": bool(rng.integers(2)), "with_bias": bool(rng.integers(2))}
    pairs = rng.integers(-1, 50, (5, 2))
    bias = np.ones(n_out if flags["with_bias"] else 0, "float32")
    operations = library.ops
    pick(
        rng,
        [
            lambda: operations.keras_sparse_mat_mul(
                x,
                values,
                bias,
                ids,
                rows,
                transpose=bool(rng.integers(2)),
                **flags,
                **sizes,
            ),
            lambda: operations.keras_sparse_outer(x, y, y, ids, rows, **flags, **sizes),
            lambda: operations.keras_sparse_gradients(x, y, y, values, ids, rows, **flags, **sizes),
            lambda: operations.keras_sparse_to_dense(values, ids, rows, T="float32", **sizes),
            lambda: operations.keras_sparse_from_dense(np.ones((n_in, n_out), "float32"), ids, rows, **sizes),
            lambda: operations.keras_sparse_entries_mat_mul(
                pairs, np.ones(5, "float32"), np.array([pick(rng, [3, 0, -1, 2**40])]), values, ids, rows, **sizes
            ),
        ],
    )()


TARGETS: dict[str, Callable[[Random], None]] = {
    "keras_files": keras_files,
    "backups": backups,
    "data_files": data_files,
    "run_directories": run_directories,
    "native_ops": native_ops,
    "raw_ops": raw_ops,
}


def run(target: str, seed: int) -> str | None:
    """Run one case; return how it was refused, or None.

    Raises:
        Exception: what no target may raise.
    """
    try:
        TARGETS[target](np.random.default_rng(seed))
    except Exception as error:
        if not _allowed(error):
            raise
        return f"{type(error).__name__}: {error}"
    return None


def _allowed(error: Exception) -> bool:
    return isinstance(error, ALLOWED) or any(kind.__name__ in SEARCH_ERRORS for kind in type(error).__mro__)
