"""A saved network as the report shows it: its junctions, their degrees, and which inputs it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .stored import StoredJunction, junctions

BARS: Final = 40
"""Most bars of a degree distribution; neighbouring degrees are joined beyond."""
INPUTS: Final = 1024
"""Most numbers of an input map; neighbouring inputs are averaged beyond."""
PIXELS: Final = 64
"""Most rows and columns of a picture; neighbouring pixels are averaged beyond."""

Json = dict[str, Any]


def describe(path: Path, picture: tuple[int, ...] | None = None) -> Json:
    """The network in a .keras file.

    Args:
        path: The file.
        picture: (height, width[, channels]) of the inputs, if they are pictures.

    Returns:
        {"junctions": [{"name", "shape", "connections", "density", "bytes", "sparse", "in", "out"}], "input_map"}, or
        {"problem"} with a sentence if the file cannot be read. "in" and "out" are degree distributions: {"width",
        "bars": [[lowest degree, units], …], "mean"}. "input_map": {"junction", "kind": "picture" or "vector", "shape",
        "each": inputs per number, "values": mean connections of an input}.
    """
    try:
        status = path.stat()
        return _describe(path, status.st_mtime_ns, status.st_size, picture)
    except FileNotFoundError:
        return {"problem": "Its file is missing."}
    except Exception as error:  # a damaged file: whatever its parsers raise, the other networks are shown
        return {"problem": f"Its file cannot be read ({type(error).__name__}: {str(error)[:200]})."}


@lru_cache(maxsize=512)
def _describe(path: Path, modified: int, size: int, picture: tuple[int, ...] | None) -> Json:
    """`describe`, remembered as long as the file is the same; a live report asks again and again."""
    del modified, size
    found = junctions(path)
    if not found:
        return {"problem": "No sparse and no dense junction was found in its file."}
    return {"junctions": [_row(junction) for junction in found], "input_map": _input_map(found[0], picture)}


def _row(junction: StoredJunction) -> Json:
    n_in, n_out = junction.shape
    return {
        "name": junction.name,
        "shape": [n_in, n_out],
        "connections": junction.connections,
        "density": junction.connections / (n_in * n_out),
        "bytes": junction.bytes,
        "sparse": junction.sparse,
        "in": distribution(junction.in_degrees),
        "out": distribution(junction.out_degrees),
    }


def distribution(degrees: NDArray[np.int64]) -> Json:
    """How many units have which degree, in at most `BARS` bars of equal width."""
    low, high = int(degrees.min()), int(degrees.max())
    width = -(-(high - low + 1) // BARS)
    counts = np.bincount((degrees - low) // width)
    bars = [[low + width * place, int(count)] for place, count in enumerate(counts)]
    return {"width": width, "bars": bars, "mean": float(degrees.mean())}


def _input_map(first: StoredJunction, picture: tuple[int, ...] | None) -> Json:
    degrees = first.out_degrees.astype(np.float64)
    found: Json = {"junction": first.name, "inputs": len(degrees)}
    if picture is not None and int(np.prod(picture)) == len(degrees):
        image = degrees.reshape(picture)
        image = image if image.ndim == 2 else image.sum(2)
        step = -(-max(image.shape) // PIXELS)
        image = _averaged(_averaged(image, step).T, step).T
        return found | {"kind": "picture", "shape": list(image.shape), "each": step, "values": _rounded(image.ravel())}
    step = -(-len(degrees) // INPUTS)
    values = _averaged(degrees, step)
    return found | {"kind": "vector", "shape": [len(values)], "each": step, "values": _rounded(values)}


def _averaged(values: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Means of `step` neighbours along the first axis; the last one of what is left."""
    starts = np.arange(0, len(values), step)
    sizes = np.diff(np.append(starts, len(values)))
    sums = np.add.reduceat(values, starts, axis=0)
    return sums / sizes.reshape(-1, *[1] * (values.ndim - 1))


def _rounded(values: NDArray[np.float64]) -> Sequence[float]:
    return [int(value) if value == int(value) else round(float(value), 3) for value in values]
