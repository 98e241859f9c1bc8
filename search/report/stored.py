"""The junctions in a .keras file, read without Keras: no layer is built, nothing is drawn, nothing is run.

So a report can look at a network while another one trains in the same process, and at files it should not trust. What
is read is Keras' own format (config.json and model.weights.h5, where a layer lies under its class name in snake case)
and what `KernelStorage.save` puts into it.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keras_sparse.kernel_state import join
from keras_sparse.topology.layout import STATE_SIZE, VERSION, Layout

MOST_BYTES: Final = 1 << 29
"""Files whose weights are larger are not read for a report."""

Int64 = NDArray[np.int64]

_MOST_UNITS: Final = 1 << 26
_PARTS = ("ids", "rows", "state")
_DENSE = re.compile(r"Dense|Conv")
_RECURRENT = re.compile(r"LSTM|GRU|RNN")


@dataclass(frozen=True, eq=False)
class StoredJunction:
    """One weight matrix in a file.

    Args:
        name: Of its layer, with the part of the layer where there are several.
        shape: (n_in, n_out).
        connections: Number of weights that exist.
        bytes: Of values and index.
        sparse: Whether it is a sparse kernel.
        in_degrees: Connections into each output, [n_out].
        out_degrees: Connections out of each input, [n_in].
    """

    name: str
    shape: tuple[int, int]
    connections: int
    bytes: int
    sparse: bool
    in_degrees: Int64
    out_degrees: Int64


@dataclass(frozen=True)
class _Layer:
    """A layer of the configuration: its name and class, and its units or filters."""

    name: str
    kind: str
    units: int | None


def junctions(path: Path) -> list[StoredJunction]:
    """The sparse and dense junctions of a saved model, in the order of its layers.

    Args:
        path: A .keras file.

    Raises:
        ValueError: The file is too large for a report, or what it holds is no topology.
        Exception: Whatever zipfile and h5py raise for a damaged file.
    """
    import h5py

    with zipfile.ZipFile(path) as archive:
        config = json.loads(_member(archive, "config.json"))
        weights = _member(archive, "model.weights.h5")
    layers = dict(_layers(config, "", 0))
    found: list[tuple[int, str, str, StoredJunction]] = []
    with h5py.File(io.BytesIO(weights), "r") as file:
        groups: list[str] = []
        file.visititems(lambda name, item: groups.append(name) if isinstance(item, h5py.Group) else None)
        for group in groups:
            if group.rpartition("/")[2] == "vars":
                inside = group.removesuffix("vars").rstrip("/")
                place, layer, rest = _owner(inside, layers)
                found += [(place, inside, key, kernel) for key, kernel in _of_group(file[group], layer, rest)]
    several = {(place, inside): sum(entry[:2] == (place, inside) for entry in found) for place, inside, *_ in found}
    ordered = sorted(found, key=lambda entry: entry[:3])
    return [
        junction if several[place, inside] == 1 else replace(junction, name=f"{junction.name}/{key}")
        for place, inside, key, junction in ordered
    ]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MOST_BYTES:
        raise ValueError(f"{name} has {size:,} bytes; a report reads at most {MOST_BYTES:,}")
    with archive.open(name) as stream:
        return stream.read(MOST_BYTES)


def _layers(config: Any, prefix: str, depth: int) -> Iterator[tuple[str, _Layer]]:
    """(path in the weights, layer) of a model's layers, nested models included."""
    inner = config.get("config") if isinstance(config, dict) else None
    listed = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(listed, list) or depth > 20:
        return
    used: dict[str, int] = {}
    for entry in listed:
        kind = str(entry.get("class_name"))
        snake = _snake(kind)
        count = used.get(snake, -1) + 1
        used[snake] = count
        path = f"{prefix}layers/{snake}" + (f"_{count}" if count else "")
        own = entry.get("config") if isinstance(entry.get("config"), dict) else {}
        yield path, _Layer(str(own.get("name", snake)), kind, _units(own))
        yield from _layers(entry, f"{path}/", depth + 1)


def _units(config: dict[str, Any]) -> int | None:
    """Units or filters, of the layer or, where it wraps one, of that."""
    for key in ("units", "filters"):
        if isinstance(config.get(key), int):
            return config[key]
    for key in ("layer", "cell", "forward_layer"):
        inner = config.get(key)
        if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
            return _units(inner["config"])
    return None


def _snake(name: str) -> str:
    """A class name as Keras writes it into a path."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _owner(path: str, layers: dict[str, _Layer]) -> tuple[int, _Layer, str]:
    """(place in the network, layer, what of the layer) of a path; of an unknown one a layer of that name."""
    for place, (prefix, layer) in reversed(list(enumerate(layers.items()))):
        if path == prefix or (path.startswith(f"{prefix}/") and not path.startswith(f"{prefix}/layers/")):
            return place, layer, path[len(prefix) + 1 :]
    return len(layers), _Layer(path or "model", "", None), ""


def _of_group(group: Any, layer: _Layer, rest: str) -> Iterator[tuple[str, StoredJunction]]:
    """(key, junction) of each kernel among the variables of one layer, or of a part of it."""
    name = "/".join([layer.name, *(part for part in rest.split("/") if part not in ("", "cell"))])
    keys = sorted(group)
    for key in keys:
        if all(f"{key}_{part}" in group for part in _PARTS):
            yield key, _sparse(group, key, name, layer)
    if any(key.endswith("_state") for key in keys):
        return
    # A dense layer's variables have numbers for names, kernels first.
    recurrent = bool(_RECURRENT.search(layer.kind)) or rest.endswith("cell")
    if recurrent or _DENSE.search(layer.kind):
        for key, title in (("0", "kernel"), *((("1", "recurrent_kernel"),) if recurrent else ())):
            if key in group and len(group[key].shape) > 1:
                yield title, _dense(group[key], name)


def _sparse(group: Any, key: str, name: str, layer: _Layer) -> StoredJunction:
    values, ids, rows, state = (_array(group[entry]) for entry in (key, *(f"{key}_{part}" for part in _PARTS)))
    if state.shape != (STATE_SIZE,) or state.dtype.kind not in "iu" or int(state[0]) != VERSION:
        raise ValueError(f"{name} has a storage layout this version does not know")
    block, bits, capacity = int(state[1]), int(state[2]), join(int(state[9]), int(state[10]))
    if block < 1 or bits not in (16, 32) or ids.ndim != 1 or rows.ndim != 1 or ids.dtype.kind != "u":
        raise ValueError(f"{name} holds no sparse kernel")
    bias = group["bias"].shape if "bias" in group else ()
    outputs = [prod(bias), *bias[-1:], *(gates * layer.units for gates in (1, 3, 4) if layer.units)]
    layout = _layout(len(rows) - 1, capacity, block, bits, outputs)
    connectivity = layout.decode(ids, rows.astype(np.int64))
    size = values.dtype.itemsize * capacity + layout.index_bytes + 8 * STATE_SIZE
    return StoredJunction(
        name, layout.shape, len(connectivity), size, True, connectivity.in_degrees, connectivity.out_degrees
    )


def _layout(rows: int, capacity: int, block: int, bits: int, outputs: list[int]) -> Layout:
    """The storage of a kernel with so many rows, one per input and block of outputs.

    A file does not say n_out, but a layout is a function of the shape and the capacity: of the numbers of outputs that
    the layer suggests, and the block itself, the one that gives this layout.

    Raises:
        ValueError: None does.
    """
    for n_out in [*outputs, block]:
        blocks = -(-n_out // block)
        if 0 < n_out <= _MOST_UNITS and rows > 0 and rows % blocks == 0:
            layout = Layout.of((rows // blocks, n_out), capacity)
            if (layout.block, layout.id_bits) == (block, bits) and capacity <= prod(layout.shape):
                return layout
    raise ValueError("the number of outputs of a kernel cannot be told from the file")


def _dense(matrix: Any, name: str) -> StoredJunction:
    shape = (prod(matrix.shape[:-1]), int(matrix.shape[-1]))
    size = prod(shape)
    if not 0 < size <= MOST_BYTES:
        raise ValueError(f"{name} has a matrix of shape {matrix.shape}")
    into, out = np.full(shape[1], shape[0], np.int64), np.full(shape[0], shape[1], np.int64)
    return StoredJunction(name, shape, size, size * matrix.dtype.itemsize, False, into, out)


def _array(dataset: Any) -> NDArray[Any]:
    """A data set, unless it claims more than a file of this size can hold."""
    if dataset.size * dataset.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"{dataset.name} claims {dataset.size:,} entries")
    return np.asarray(dataset)
