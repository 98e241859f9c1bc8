"""Run directories made by hand: records as a search writes them, and networks that were never trained."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_sparse as ks


def write_record(folder, trial, *, val_metric=0.9, connections=100, hyperparameters=None, measures=None, **changes):
    """One completed trial; `changes` are fields of its record."""
    record = {
        "schema": 1,
        "trial": trial,
        "status": "completed",
        "seed": 7 + trial,
        "hyperparameters": {"units": 32} if hyperparameters is None else hyperparameters,
        "metric": "accuracy",
        "objective": float(np.log10(max(1e-9, 1.001 - val_metric + connections / 1e5))),
        "prediction_loss": 1 - val_metric,
        "complexity": connections / 1e4,
        "val_metric": val_metric,
        "test_metric": val_metric - 0.01,
        "connections": connections,
        "density": connections / 1e4,
        "parameters": connections + 10,
        "best_epoch": 2,
        "curve": {
            "loss": [1.0, 0.5, 0.4], "val_loss": [1.1, None, 0.7], "val_metric": [0.5, val_metric, 0.6],
            "connections": [connections] * 3,
        },
        "network": f"trials/{trial:04d}.keras",
        "error": None,
        "worker": None,
        **({} if measures is None else {"measures": measures}),
        **changes,
    }  # fmt: skip
    (folder / "trials").mkdir(parents=True, exist_ok=True)
    (folder / f"trials/{trial:04d}.json").write_text(json.dumps(record))


def write_manifest(folder, *, name="digits", options=None, **data):
    folder.mkdir(parents=True, exist_ok=True)
    described = {"name": name, "task": "classification", "n_train": 100, "n_val": 50, "n_test": 50, **data}
    manifest = {
        "schema": 1, "data": described, "space": {}, "options": options or {"epochs": 3}, "seed": 1,
        "max_trials": 40, "versions": {"keras": "3"},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest))


def write_network(path, *, n_in=64, units=16):
    layers = [ks.SparseDense(units, density=0.2, name="hidden_1"), ks.SparseDense(10, density=0.5, name="output")]
    network = keras.Sequential([keras.Input((n_in,)), *layers])
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)
    return network


def write_run(folder, trials=30, *, networks=True, seed=0, name="digits"):
    """A run of a space of two widths and a choice; trials 3, 13, … failed. Returns the folder."""
    rng = np.random.default_rng(seed)
    write_manifest(folder, name=name, n_features=64, input_shape=[64])
    for trial in range(trials):
        layers = int(rng.integers(1, 3))
        values = {"layers": layers, "units_1": int(rng.integers(16, 512)), "rate": float(10 ** rng.uniform(-4, -1))}
        values |= {"policy": str(rng.choice(["set", "rigl"])), "batch_size": 32}
        values |= {"units_2": int(rng.integers(16, 512))} if layers == 2 else {}
        if trial % 10 == 3:
            _write_failed(folder, trial, values)
            continue
        connections = int(values["units_1"] * rng.uniform(5, 20))
        write_record(
            folder, trial, hyperparameters=values, connections=connections,
            val_metric=float(0.98 - 40 / connections - 0.05 * abs(np.log10(values["rate"]) + 2.5)),
        )  # fmt: skip
        if networks and not (folder / f"trials/{trial:04d}.keras").exists():
            if trial == 0:
                write_network(folder / "trials/0000.keras")
            else:
                (folder / f"trials/{trial:04d}.keras").write_bytes((folder / "trials/0000.keras").read_bytes())
    return folder


def _write_failed(folder, trial, values):
    record = {
        "schema": 1, "trial": trial, "status": "failed", "seed": 1, "hyperparameters": values, "metric": "accuracy",
        "error": "ValueError: no",
    }  # fmt: skip
    (folder / "trials").mkdir(parents=True, exist_ok=True)
    (folder / f"trials/{trial:04d}.json").write_text(json.dumps(record))


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run of 30 trials; do not write into it."""
    folder = write_run(tmp_path_factory.mktemp("report") / "run")
    (folder / "results.json").write_text("{}")
    return folder


@pytest.fixture(scope="session")
def make():
    """Writes parts of run directories: `record`, `manifest`, `network`, `run`."""
    return SimpleNamespace(record=write_record, manifest=write_manifest, network=write_network, run=write_run)
