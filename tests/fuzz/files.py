"""Files made from sound ones by a few random changes: bytes, members of archives, numbers in JSON and in HDF5."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator

HOSTILE: list[Any] = [
    None, True, -1, 0, 1, 2, 3, 10**6, 10**12, 2**31, 2**63, 2**70, -(2**63), 0.5, -0.5, 1e308, float("nan"),
    float("inf"), "", "x", "../../etc/passwd", "\u0000", "</script>", "1e9", [], [1], [[1]], [10**12, 10**12], {},
    {"a": 1}, {"class_name": "Lambda", "config": {}}, {"class_name": "__lambda__", "config": {"value": "gA=="}},
    {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None},
    {"module": "builtins", "class_name": "eval", "config": {"value": "1/0"}, "registered_name": None},
]  # fmt: skip
INTEGERS = [-(2**63), -(2**31), -2, -1, 0, 1, 2, 15, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1]


def pick(rng: Random, options: Any) -> Any:
    """Return one of the options."""
    return options[int(rng.integers(len(options)))]


def damaged(content: bytes, rng: Random) -> bytes:
    """Return bytes that were cut, overwritten, swapped or added to."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 9))
        kind = rng.integers(5)
        if kind == 0:
            del data[place:]
        elif kind == 1:
            data[place : place + length] = rng.bytes(length)
        elif kind == 2:
            data[place:place] = rng.bytes(length)
        elif kind == 3:
            data[place : place + length] = pick(rng, [b"\xff", b"\x00"]) * length
        else:
            del data[place : place + length]
    return bytes(data)


def json_changed(content: bytes, rng: Random) -> bytes:
    """Return JSON with some entries replaced, removed or repeated; now and then nested without end."""
    if rng.random() < 0.03:
        return b"[" * 200_000
    value = json.loads(content)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(value))
        if not places:
            break
        holder, key = pick(rng, places)
        kind = rng.integers(5)
        if kind == 0 and isinstance(holder, dict):
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(pick(rng, HOSTILE))
    return json.dumps(value).encode()


def zip_changed(content: bytes, rng: Random, change: Callable[[str, bytes], bytes]) -> bytes:
    """Return an archive with one member changed, lost, doubled or compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as written:
        names = archive.namelist()
        chosen, kind = pick(rng, names), rng.integers(12)
        for name in names:
            data = archive.read(name)
            if name == chosen and kind == 0:
                continue
            if name == chosen and kind > 2:
                data = change(name, data)
            compression = zipfile.ZIP_DEFLATED if name == chosen and kind == 1 else zipfile.ZIP_STORED
            written.writestr(name, data, compression)
            if name == chosen and kind == 2:
                written.writestr(pick(rng, ["../../escaped", "/tmp/escaped", f"{name}x"]), data)
    return out.getvalue()


def hdf5_changed(content: bytes, rng: Random) -> bytes:
    """Return an HDF5 file with one data set changed: numbers, length, type, or a claim of 10**12 entries."""
    import h5py

    if rng.random() < 0.3:
        return damaged(content, rng)
    held = io.BytesIO(content)
    with h5py.File(held, "r+") as file:
        sets: list[str] = []
        file.visititems(lambda name, item: sets.append(name) if isinstance(item, h5py.Dataset) else None)
        name = pick(rng, sets)
        array = file[name][()]
        kind = rng.integers(6)
        del file[name]
        if kind == 0:
            file.create_dataset(name, shape=(10**12,), dtype=array.dtype, chunks=(1024,), compression="gzip")
        elif kind == 1:
            file[name] = array_changed(np.asarray(array), rng)
        elif kind == 2:
            file[name] = np.asarray(array).astype(
                pick(rng, ["int8", "uint64", "float16", "float64", "complex64", "S3"])
            )
        elif kind == 3:
            file.create_group(name)
        elif kind == 4:
            file[name] = h5py.ExternalLink("/etc/hostname", "/")
    return held.getvalue()


def array_changed(array: np.ndarray, rng: Random) -> np.ndarray:
    """Return an array with hostile numbers in some places, or another shape."""
    array = array.copy()
    kind = rng.integers(6)
    if kind == 0:
        return array.reshape(-1)[: int(rng.integers(array.size + 1))]
    if kind == 1:
        return np.concatenate([array.reshape(-1)] * int(rng.integers(2, 4)))
    if kind == 2:
        return array[None]
    flat = array.reshape(-1)
    if flat.size and array.dtype.kind in "iuf":
        for _ in range(int(rng.integers(1, 4))):
            number = pick(rng, INTEGERS) if array.dtype.kind in "iu" else pick(rng, [np.nan, np.inf, -1e38, 0.0])
            with np.errstate(all="ignore"):
                flat[int(rng.integers(flat.size))] = np.array(number).astype(array.dtype)
    return array


def _places(value: Any) -> Any:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries):
        yield value, key
        yield from _places(entry)
