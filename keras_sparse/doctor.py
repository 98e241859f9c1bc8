"""`diagnose`: what is installed, which compute path is taken here and why, and whether it computes what it should."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .compute import paths
from .compute.exporting import stock_ops
from .compute.native import library
from .inspection import JunctionReport, inspect
from .layers.sparse_conv2d import SparseConv2D
from .layers.sparse_dense import SparseDense
from .rewiring.rewire import Rewire
from .rewiring.set import SET

_PACKAGES = ("keras-sparse", "keras", "tensorflow", "numpy", "keras-tuner", "scipy")
_TOLERANCE = 1e-4  # of float32 sums over some hundred connections


@dataclass(frozen=True)
class Check:
    """One part of the self-test.

    Attributes:
        name: what was tried.
        passed: whether it came out as it should.
        detail: the figure it was judged by, or what went wrong.
        seconds: it took.
    """

    name: str
    passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found; prints as text.

    Attributes:
        versions: of Python and packages, by name; "missing" for those that are not installed.
        machine: facts by name.
        kernels: the native kernels: "available", "instruction_set", "instruction_sets", "threads", "obstacle".
        paths: the compute path that "auto" takes here, for some typical junctions.
        checks: the self-test.
    """

    versions: dict[str, str]
    machine: dict[str, str]
    kernels: dict[str, Any]
    paths: list[JunctionReport]
    checks: list[Check]

    @property
    def healthy(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return asdict(self) | {"healthy": self.healthy}

    def __str__(self) -> str:
        lines = ["Versions"]
        lines += [f"  {name:14} {version}" for name, version in self.versions.items()]
        lines += ["", "Machine"]
        lines += [f"  {name:14} {fact}" for name, fact in self.machine.items()]
        lines += ["", "Native kernels"]
        if self.kernels["available"]:
            others = ", ".join(self.kernels["instruction_sets"])
            lines.append(f"  in use: {self.kernels['instruction_set']} (this processor has {others})")
            lines.append(f"  threads: {self.kernels['threads']}")
        else:
            lines.append(f"  none: {self.kernels['obstacle']}")
        lines += ["", "Compute paths"]
        for junction in self.paths:
            size = f"{junction.shape[0]} x {junction.shape[1]}, density {junction.density:.2g}"
            lines.append(f"  {size:30} {junction.compute:7} {junction.reason}")
        lines += ["", "Self-test"]
        for check in self.checks:
            word = "ok" if check.passed else "FAILED"
            lines.append(f"  {word:7} {check.name}: {check.detail} ({check.seconds:.1f} s)")
        return "\n".join(lines)


def diagnose() -> Diagnosis:
    """Look at the installation and try it; some seconds.

    Returns:
        A `Diagnosis`; `print` shows it as text. A failed check is reported there, not raised.
    """
    return Diagnosis(_versions(), _machine(), _kernels(), _paths(), [_run(*test) for test in _tests()])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    backend = keras.backend.backend()
    for name in (*_PACKAGES, *([] if backend in _PACKAGES else [backend])):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _machine() -> dict[str, str]:
    facts = {"system": platform.platform(), "processor": platform.machine()}
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts["processors"] = f"{usable} usable of {os.cpu_count()}"
    facts["Keras backend"] = keras.backend.backend()
    facts["computes on"] = paths.device()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        facts["GPUs"] = ", ".join(device.name for device in tf.config.list_physical_devices("GPU")) or "none seen"
    return facts


def _kernels() -> dict[str, Any]:
    if keras.backend.backend() != "tensorflow":
        return {"available": False, "obstacle": f"they are TensorFlow ops; the backend is {keras.backend.backend()}."}
    found = library.load()
    if found is None:
        return {"available": False, "obstacle": library.obstacle()}
    return {
        "available": True,
        "instruction_set": found.instruction_set,
        "instruction_sets": found.instruction_sets,
        "threads": found.threads,
        "obstacle": "",
    }


def _paths() -> list[JunctionReport]:
    """Return what "auto" takes for a sparse layer, a nearly full one, and a convolution."""
    model = keras.Sequential([keras.Input((16, 16, 32)), SparseConv2D(32, 3, density=0.1), keras.layers.Flatten()])
    model.add(SparseDense(100, density=0.05))
    model.add(SparseDense(1000, density=0.8))
    return inspect(model).junctions


def _tests() -> Iterator[tuple[str, Callable[[], tuple[bool, str]]]]:
    yield "products and gradients", _products
    yield "rewiring keeps weights and optimizer state", _rewiring
    yield "a saved model loads", _saving
    if keras.backend.backend() == "tensorflow":
        yield "a graph of stock operations", _stock


def _run(name: str, test: Callable[[], tuple[bool, str]]) -> Check:
    begin = time.perf_counter()
    try:
        passed, detail = test()
    except Exception as error:  # whatever is broken here, the others are still tried
        passed, detail = False, f"{type(error).__name__}: {error}"
    return Check(name, passed, detail, time.perf_counter() - begin)


def _layer() -> tuple[SparseDense, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(33, 300)).astype("float32")
    layer = SparseDense(200, density=0.1, seed=1)
    layer.build(x.shape)
    return layer, x


def _products() -> tuple[bool, str]:
    """Compare with sums in float64."""
    layer, x = _layer()
    kernel = layer.kernel
    dy = np.random.default_rng(1).normal(size=(33, 200)).astype("float32")
    matrix, links = np.asarray(kernel.to_dense(), np.float64), kernel.connectivity
    gradient = (x.astype(np.float64).T @ dy)[links.inputs, links.outputs]
    pairs = [
        (kernel.matmul(x), x @ matrix),
        (kernel.matmul(dy, transpose=True), dy @ matrix.T),
        (kernel.outer(x, dy)[: len(kernel)], gradient),
    ]
    worst = max(float(np.max(np.abs(_array(ours) - right))) for ours, right in pairs)
    return worst < _TOLERANCE, f"{kernel.choice().path} path, largest difference to float64 {worst:.1e}"


def _rewiring() -> tuple[bool, str]:
    """Train, then rewire: the count stays, and what is not removed keeps its weight."""
    layer, x = _layer()
    model: Any = keras.Sequential([keras.Input((300,)), layer])
    model.compile("adam", "mse")
    y = np.random.default_rng(2).normal(size=(33, 200)).astype("float32")
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    before = {(i, o): v for i, o, v in _entries(layer)}
    entry = Rewire(SET(0.3)).attach(model).update()[0]
    kept = sum(before.get((i, o)) == v for i, o, v in _entries(layer))
    right = len(layer.kernel) == len(before) == entry["connections"] and kept >= len(before) - entry["removed"]
    return right and losses[-1] < losses[0], (
        f"{entry['removed']} of {len(before)} connections moved, loss {losses[0]:.3f} to {losses[-1]:.3f}"
    )


def _entries(layer: SparseDense) -> Iterator[tuple[int, int, float]]:
    links = layer.kernel.connectivity
    values = layer.kernel.host_values()
    return zip(links.inputs.tolist(), links.outputs.tolist(), values.tolist(), strict=True)


def _saving() -> tuple[bool, str]:
    layer, x = _layer()
    model = keras.Sequential([keras.Input((300,)), layer])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        size = path.stat().st_size
        again: Any = keras.models.load_model(path)
    same = np.array_equal(_array(model(x)), _array(again(x)))
    return same, f"{size:,} bytes for {len(layer.kernel):,} connections"


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _stock() -> tuple[bool, str]:
    """Trace the layer as an export does, and compare with float64."""
    import tensorflow as tf

    layer, x = _layer()
    with stock_ops():
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec([None, x.shape[1]], tf.float32))
    foreign = [op.type for op in graph.graph.get_operations() if op.type.startswith("KerasSparse")]
    worst = float(np.max(np.abs(graph(tf.constant(x)).numpy() - x @ np.asarray(layer.kernel.to_dense(), np.float64))))
    return worst < _TOLERANCE and not foreign, f"largest difference to float64 {worst:.1e}"
