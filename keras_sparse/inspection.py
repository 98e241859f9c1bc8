"""`inspect`: what a model consists of, junction by junction, and how it will be computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import keras

from .compute.exporting import itemsize
from .junctions import kernels as sparse_kernels
from .junctions import layers


@dataclass(frozen=True)
class JunctionReport:
    """One weight matrix of a model, sparse or dense.

    Attributes:
        name: of the layer (and kernel).
        shape: (n_in, n_out).
        connections: number of weights that exist.
        density: connections / (n_in · n_out).
        bytes: of values and index, without optimizer state.
        compute: the compute path; "keras" for dense layers.
        reason: why that path.
    """

    name: str
    shape: tuple[int, int]
    connections: int
    density: float
    bytes: int
    compute: str
    reason: str


@dataclass(frozen=True)
class Inspection:
    """A model's junctions and totals; prints as a table.

    Attributes:
        junctions: one report per weight matrix.
        connections: Σ K.
        density: Σ K / Σ n_in · n_out, dense layers counted fully.
        parameters: connections + biases + other trainable weights.
        bytes: of all the model's weights and indices, without optimizer state.
    """

    junctions: list[JunctionReport]
    connections: int
    density: float
    parameters: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [("junction", "shape", "connections", "density", "bytes", "compute", "reason")]
        for j in self.junctions:
            size = (f"{j.connections:,}", f"{j.density:.4g}", f"{j.bytes:,}")
            rows.append((j.name, f"{j.shape[0]} x {j.shape[1]}", *size, j.compute, j.reason))
        rows.append(("total", "", f"{self.connections:,}", f"{self.density:.4g}", f"{self.bytes:,}", "", ""))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        align = ["<", "<", ">", ">", ">", "<", "<"]
        form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(align, widths, strict=True))
        lines = [form.format(*row) for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in [*lines, f"parameters: {self.parameters:,}"])


def inspect(model: keras.Model) -> Inspection:
    """Report the junctions of `model`: connections, density, bytes and compute path.

    Args:
        model: a built model, nested or not.

    Returns:
        An `Inspection`; `print` shows it as a table.

    Raises:
        ValueError: when the model is not built, so that it has no weights yet.

    Example:
        >>> import keras, keras_sparse as ks
        >>> model = keras.Sequential([keras.Input((64,)), ks.SparseDense(32, density=0.1), keras.layers.Dense(10)])
        >>> report = ks.inspect(model)
        >>> report.connections, round(report.density, 3)
        (525, 0.222)
    """
    if not model.built:
        raise ValueError(
            f"{model.name} is not built, so it has no weights to inspect: call it once, or give it an Input."
        )
    reports: list[JunctionReport] = []
    kernels: set[int] = set()
    total = 0
    for layer in layers(model):
        for variable, report in _junctions(layer):
            if id(variable) not in kernels:
                kernels.add(id(variable))
                reports.append(report)
                total += report.bytes
    index = {id(v) for layer in layers(model) for k in sparse_kernels(layer) for v in k.index_variables}
    others = [v for v in model.weights if id(v) not in kernels | index]
    connections = sum(report.connections for report in reports)
    positions = sum(prod(report.shape) for report in reports)
    return Inspection(
        junctions=reports,
        connections=connections,
        density=connections / positions if positions else 0.0,
        parameters=connections + sum(prod(v.shape) for v in others if v.trainable),
        bytes=total + sum(_bytes(v) for v in others),
    )


def _junctions(layer: keras.layers.Layer) -> Iterator[tuple[keras.Variable, JunctionReport]]:
    sparse = sparse_kernels(layer)
    for kernel in sparse:
        name = layer.name if len(sparse) == 1 else f"{layer.name}/{kernel.name}"
        choice = kernel.choice()
        yield (
            kernel.values,
            JunctionReport(name, kernel.shape, len(kernel), kernel.density, kernel.bytes, choice.path, choice.reason),
        )
    ours = [
        v
        for v in layer._trainable_variables + layer._non_trainable_variables
        if len(v.shape) > 1 and "kernel" in v.name
    ]
    for variable in ours:
        shape = (prod(variable.shape[:-1]), int(variable.shape[-1]))
        name = layer.name if len(ours) == 1 else f"{layer.name}/{variable.name}"
        yield variable, JunctionReport(name, shape, prod(shape), 1.0, _bytes(variable), "keras", "a dense layer")


def _bytes(variable: keras.Variable) -> int:
    return prod(variable.shape) * itemsize(str(variable.dtype))
