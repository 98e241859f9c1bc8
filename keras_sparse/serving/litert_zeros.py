"""Weights of a LiteRT file without their zeros: as sparse tensors, laid out once when the interpreter starts.

The converter's own `EXPERIMENTAL_SPARSITY` stores very sparse matrices in blocks, and half-precision kernels then read
them wrongly (nan, TensorFlow 2.21). Here every row is a list of columns, which all runtimes lay out (DENSIFY). int8
weights stay as they are: LiteRT 2.3 does not run int8 kernels on tensors that it has laid out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 256  # numbers; below, the operation costs more than it saves
_OPERATION = 150  # bytes that it takes in the file, about


def compress(content: bytes) -> bytes:
    """Return a LiteRT file with those weights sparse that are smaller so."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    types = {schema.TensorType.FLOAT32: np.dtype("<f4"), schema.TensorType.FLOAT16: np.dtype("<f2")}
    shared = _shared(model)
    found = 0
    for graph in model.subgraphs:
        fixed = {*graph.inputs, *graph.outputs}
        for index in range(len(graph.tensors)):
            tensor = graph.tensors[index]
            data = model.buffers[tensor.buffer].data
            if tensor.type not in types or data is None or tensor.sparsity is not None or tensor.shape is None:
                continue
            if index in fixed or tensor.buffer in shared or len(tensor.shape) < 2:
                continue
            array = np.frombuffer(bytes(data), types[tensor.type]).reshape(tensor.shape)
            packed = _packed(array)
            if packed is None:
                continue
            values, sizes, columns = packed
            model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
            graph.tensors.append(_whole(schema, tensor))
            tensor.sparsity = _sparsity(schema, tensor.shape, sizes, columns)
            whole = len(graph.tensors) - 1
            for operator in graph.operators:
                operator.inputs = np.where(np.equal(operator.inputs, index), whole, operator.inputs).astype(np.int32)
            graph.operators.insert(0, _densify(schema, model, index, whole))
            found += 1
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if found else content


def _shared(model: Any) -> set[int]:
    """Return the buffers that several tensors have."""
    buffers = [tensor.buffer for graph in model.subgraphs for tensor in graph.tensors]
    numbers, counts = np.unique(buffers, return_counts=True)
    return {0, *numbers[counts > 1].tolist()}


def _packed(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Return (values, row pointers, columns) of an array as rows along its last axis; None if that is no smaller."""
    rows = array.reshape(-1, array.shape[-1])
    places = np.nonzero(rows)
    sizes = np.concatenate([[0], np.cumsum(np.bincount(places[0], minlength=len(rows)))])
    sizes, columns = _small(sizes), _small(places[1])
    values = rows[places]
    after = values.nbytes + sizes.nbytes + columns.nbytes + _OPERATION
    return (values, sizes, columns) if array.size >= _LEAST and len(values) and after < array.nbytes else None


def _small(numbers: NDArray[Any]) -> NDArray[Any]:
    most = int(numbers.max(initial=0))
    return numbers.astype(np.uint8 if most < 2**8 else np.uint16 if most < 2**16 else np.int32)


def _whole(schema: Any, tensor: Any) -> Any:
    """Return the tensor that the laid-out numbers of `tensor` go to."""
    whole = schema.TensorT()
    whole.shape, whole.type, whole.buffer = tensor.shape, tensor.type, 0
    whole.name, whole.hasRank = tensor.name + b"/whole", True
    return whole


def _sparsity(schema: Any, shape: Any, sizes: NDArray[Any], columns: NDArray[Any]) -> Any:
    dimensions = []
    for length in shape[:-1]:
        dimension = schema.DimensionMetadataT()
        dimension.format, dimension.denseSize = schema.DimensionType.DENSE, int(length)
        dimensions.append(dimension)
    last = schema.DimensionMetadataT()
    last.format = schema.DimensionType.SPARSE_CSR
    last.arraySegmentsType, last.arraySegments = _vector(schema, sizes)
    last.arrayIndicesType, last.arrayIndices = _vector(schema, columns)
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = np.arange(len(shape), dtype=np.int32)
    sparsity.dimMetadata = [*dimensions, last]
    return sparsity


def _vector(schema: Any, numbers: NDArray[Any]) -> tuple[int, Any]:
    name = {1: "Uint8Vector", 2: "Uint16Vector", 4: "Int32Vector"}[numbers.itemsize]
    vector = getattr(schema, f"{name}T")()
    vector.values = numbers
    return getattr(schema.SparseIndexVector, name), vector


def _densify(schema: Any, model: Any, source: int, target: int) -> Any:
    code = schema.BuiltinOperator.DENSIFY
    codes = [known.builtinCode for known in model.operatorCodes]
    if code not in codes:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.version = code, 1
        entry.deprecatedBuiltinCode = min(code, 127)
        model.operatorCodes.append(entry)
        codes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = codes.index(code)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.DensifyOptions
    operator.builtinOptions = schema.DensifyOptionsT()
    return operator
