"""Weights of an ONNX file without their zeros: numbers and the gaps between them, laid out when the file is loaded.

ONNX Runtime folds what depends on constants only, so the graph that it runs is that of the dense file. ONNX' own
sparse initializers take eight bytes for a position; a gap takes one or two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 1024  # numbers; below, the nodes cost more than they save
_NODES = 600  # bytes that they take in the file, about


def compress(model: Any) -> int:
    """Replace the initializers of an `onnx.ModelProto` that are smaller without zeros; return how many."""
    from onnx import helper, numpy_helper

    graph, nodes, found = model.graph, [], 0
    kept, added = [], []
    outputs = {output.name for output in graph.output}
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        packed = None if tensor.name in outputs or array.dtype.kind != "f" else without_zeros(array)
        if packed is None:
            kept.append(tensor)
            continue
        found += 1
        values, gaps = packed
        name, flat = tensor.name, f"{tensor.name}/flat"
        for part, content in (
            ("values", values),
            ("gaps", gaps),
            ("size", np.array([array.size], np.int64)),
            ("shape", np.array(array.shape, np.int64)),
            ("axis", np.array(0, np.int64)),
        ):
            added.append(numpy_helper.from_array(content, f"{name}/{part}"))
        zero = helper.make_tensor(f"{name}/zero", tensor.data_type, [1], [0.0])
        int64 = helper.np_dtype_to_tensor_dtype(np.dtype(np.int64))
        nodes += [
            helper.make_node("Cast", [f"{name}/gaps"], [f"{name}/wide"], to=int64),
            helper.make_node("CumSum", [f"{name}/wide", f"{name}/axis"], [f"{name}/places"]),
            helper.make_node("ConstantOfShape", [f"{name}/size"], [f"{name}/zeros"], value=zero),
            helper.make_node("ScatterElements", [f"{name}/zeros", f"{name}/places", f"{name}/values"], [flat], axis=0),
            helper.make_node("Reshape", [flat, f"{name}/shape"], [name]),
        ]
    if not found:
        return 0
    rest = list(graph.node)
    del graph.initializer[:]
    graph.initializer.extend([*kept, *added])
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return found


def without_zeros(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return (values, gaps) of an array, or None where they are no smaller.

    The place of `values[i]` in the flattened array is the sum of `gaps[:i + 1]`. Where a gap is too long for its type,
    zeros among the values divide it.
    """
    places = np.flatnonzero(array)
    if array.size < _LEAST or len(places) == 0:
        return None
    flat = array.ravel()
    found = min((_gaps(places, kind) for kind in (np.uint8, np.uint16)), key=lambda g: len(g) * _cost(array, g))
    if len(found) * _cost(array, found) + _NODES >= array.nbytes:
        return None
    return flat[np.cumsum(found, dtype=np.int64)], found


def _cost(array: NDArray[Any], gaps: NDArray[Any]) -> int:
    return array.itemsize + gaps.itemsize


def _gaps(places: NDArray[np.int64], kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    most = int(np.iinfo(kind).max)
    gaps = np.diff(places, prepend=0)
    steps = np.maximum(gaps - 1, 0) // most  # full steps before the last one, which is at most `most`
    ends = np.cumsum(steps + 1) - 1
    out = np.full(int(ends[-1]) + 1, most, kind)
    out[ends] = (gaps - steps * most).astype(kind)
    return out
