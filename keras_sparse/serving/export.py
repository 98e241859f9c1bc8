"""`ks.export`: a model as a SavedModel, a LiteRT or an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import keras
import numpy as np

from ..compute.delivery import Plan, Way
from ..files import atomic, check_free
from . import litert, onnx_file, saved_model, warmup
from .alone import by_name, sample
from .choice import LayerForm, choose
from .endpoints import Endpoint, endpoints, numeric

FORMATS = ("saved_model", "litert", "onnx")
PREFER = ("speed", "size")
QUANTIZE = ("float16", "int8")
_WARMUPS = 8  # requests made of examples
_TOLERANCE = {None: 1e-3, "float16": 3e-2}  # relative to the largest answer
_CHECKED = 4  # random inputs


class Exported(NamedTuple):
    """What `export` wrote.

    Attributes:
        path: the file, or the SavedModel's folder.
        format: "saved_model", "litert" or "onnx".
        bytes: size of the file, or of all files in the folder.
        layers: the form of each sparse layer, and why.
    """

    path: Path
    format: str
    bytes: int
    layers: list[LayerForm]


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    format: str = "saved_model",  # noqa: A002 - Keras' name
    prefer: str = "speed",
    quantize: str | None = None,
    examples: Any = None,
    versioned: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write a model for serving: stock operations only, zeros left out of the file.

    Every sparse layer is exported in the form that suits it, sparse or dense. In both, the file holds the connections
    that exist. A dense matrix is laid out when the file is loaded: by the initializer of a SavedModel, by LiteRT, and
    by ONNX Runtime's constant folding. So a sparse model is as fast as the dense one of its shape, from a small file,
    and faster where the sparse form is.

    A SavedModel has the signatures `serving_default`, which takes what the model takes, and, where the model came from
    a search, `features`, which takes preprocessed floats. LiteRT and ONNX files hold the first, or `features` where the
    model takes text. All call their answer `output_0`. A SavedModel also holds warm-up requests for TensorFlow Serving.

    Not for `tf.lite.TFLiteConverter` and other converters of SavedModels: give those what `model.export` writes.

    Args:
        model: a built model; a subclassed one must have one input.
        path: the folder of a SavedModel, or a file.
        format: "saved_model", "litert" or "onnx" (the last with `pip install keras-sparse[onnx]`).
        prefer: "speed" measures both forms of every layer here, at batch 1 and in the format, and takes the quicker.
            "size" takes the form with the fewest bytes in the file and, among equals, in memory.
        quantize: None, or for LiteRT "float16" (weights) or "int8" (weights and activations; inputs and outputs keep
            their type).
        examples: inputs as the model takes them, [n, ...]: what an int8 conversion measures the activations on, a few
            hundred that are like what will be asked; the first are the warm-up requests (default: one of zeros).
        versioned: write `path`/1, or the next free number, as TensorFlow Serving finds models; never over another.
        overwrite: replace `path` if it has content.

    Returns:
        What was written.

    Raises:
        ValueError: arguments that do not fit together, a package that is missing, or a model that the format cannot
            express.
        FileExistsError: `path` has content and may not be replaced.
        OSError: it cannot be written, because the disk is full, say; what was there still is.

    Example:
        >>> import keras, keras_sparse as ks, tempfile
        >>> model = keras.Sequential([keras.Input((64,)), ks.SparseDense(10, density=0.1)])
        >>> written = ks.export(model, tempfile.mkdtemp() + "/digits", prefer="size", versioned=True)
        >>> written.path.name, [layer.form for layer in written.layers]
        ('1', ['sparse'])
    """
    _check(format, prefer, quantize, examples, versioned)
    target = Path(path)
    signatures = endpoints(model)
    if format == "saved_model":
        if not versioned:
            check_free(target, overwrite=overwrite)
        forms, layers = choose(model, prefer, "load", _saved_model_runner)
        target = saved_model.write_folder(
            model, signatures, target, Plan("load", forms), _requests(signatures, examples),
            versioned=versioned, overwrite=overwrite,
        )  # fmt: skip
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        return Exported(target, format, size, layers)
    check_free(target, overwrite=overwrite)
    if target.is_dir():
        raise FileExistsError(f"{target} is a folder; {format} is one file. Choose another path.")
    way: Way = "constant"
    endpoint = numeric(model)
    if format == "onnx":
        onnx_file.check()
        forms, layers = choose(model, prefer, way, _onnx_runner)
        content = onnx_file.convert(endpoint, Plan(way, forms))
    else:
        examples = _as_endpoint(model, endpoint, examples)
        forms, layers = choose(model, prefer, way, _litert_runner)
        content = litert.convert(model, endpoint, Plan(way, forms), quantize=quantize, representative=examples)
    _check_answers(endpoint, content, format, quantize)
    with atomic(target) as temporary:
        temporary.write_bytes(content)
    return Exported(target, format, len(content), layers)


def _check(format_: str, prefer: str, quantize: str | None, examples: Any, versioned: bool) -> None:
    for name, value, known in (("format", format_, FORMATS), ("prefer", prefer, PREFER)):
        if value not in known:
            raise ValueError(f"`{name}` must be one of {', '.join(map(repr, known))}; got {value!r}.")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"ks.export needs the TensorFlow backend, not {keras.backend.backend()}.")
    if quantize not in (None, *QUANTIZE):
        raise ValueError(f"`quantize` must be None, 'float16' or 'int8'; got {quantize!r}.")
    if quantize is not None and format_ != "litert":
        raise ValueError(f"`quantize` is for format='litert'; {format_} is written in the model's own precision.")
    if quantize == "int8" and examples is None:
        raise ValueError("quantize='int8' needs `examples`: a few hundred inputs like those the model will see.")
    if versioned and format_ != "saved_model":
        raise ValueError("`versioned` is TensorFlow Serving's layout of SavedModels; leave it out for one file.")


def _requests(signatures: list[Endpoint], examples: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return warm-up requests: the first examples one by one, and one of zeros to each other signature."""
    default, *others = signatures
    requests = []
    if examples is not None:
        arrays = by_name(default, examples)
        count = min(_WARMUPS, len(next(iter(arrays.values()))))
        requests = [(default.name, {name: array[i : i + 1] for name, array in arrays.items()}) for i in range(count)]
    for signature in others if requests else signatures:
        zeros = {
            name: array if array.dtype == object else np.zeros_like(array)
            for name, array in by_name(signature, sample(signature, 1)).items()
        }
        requests.append((signature.name, zeros))
    return requests[: warmup.MOST]


def _as_endpoint(model: Any, endpoint: Endpoint, examples: Any) -> Any:
    """Return examples as an endpoint takes them: preprocessed, for `features`."""
    if examples is None or endpoint.name == "serving_default":
        return examples
    preprocess = next(layer for layer in model.layers if layer.name == "preprocess")
    return np.asarray(preprocess.predict(examples, verbose=0))


def _check_answers(endpoint: Endpoint, content: bytes, format_: str, quantize: str | None) -> None:
    """Raise ValueError if a file cannot be run or answers otherwise than the model: better no file than a wrong one."""
    inputs = sample(endpoint, _CHECKED)
    named = by_name(endpoint, inputs)
    try:
        got = onnx_file.runner(content, named)() if format_ == "onnx" else litert.answer(content, named)
    except onnx_file.MissingError:
        return
    except RuntimeError as error:
        raise ValueError(f"The {format_} file cannot be run, so it was not written. It says: {error}") from error
    if quantize == "int8":  # what it costs depends on the examples, and is judged by who gave them
        return
    expected = np.asarray(keras.ops.convert_to_numpy(endpoint.call(_tensors(inputs))), "float32")
    room = _TOLERANCE[quantize] * max(1.0, float(np.abs(expected).max(initial=0.0)))
    if got.shape != expected.shape or not np.allclose(got, expected, atol=room, rtol=0, equal_nan=True):
        raise ValueError(
            f"The {format_} file answers otherwise than the model, so it was not written. This is a fault of the "
            "converter for one of the model's layers; export a SavedModel."
        )


def _tensors(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: _tensors(part) for name, part in inputs.items()}
    return [_tensors(part) for part in inputs] if isinstance(inputs, list) else keras.ops.convert_to_tensor(inputs)


def _saved_model_runner(model: keras.Model, endpoint: Endpoint, plan: Plan, inputs: Any) -> Callable[[], Any]:
    import tensorflow as tf

    from ..compute.delivery import delivering

    del model
    x = tf.convert_to_tensor(inputs)
    with delivering(plan):
        function = tf.function(endpoint.call, autograph=False).get_concrete_function(tf.TensorSpec(x.shape, x.dtype))
    for loaded in plan.loaded:
        loaded.fill()
    return lambda: cast(Any, function(x)).numpy()


def _litert_runner(model: keras.Model, endpoint: Endpoint, plan: Plan, inputs: Any) -> Callable[[], Any]:
    return litert.runner(litert.convert(model, endpoint, plan), by_name(endpoint, inputs))


def _onnx_runner(model: keras.Model, endpoint: Endpoint, plan: Plan, inputs: Any) -> Callable[[], Any]:
    del model
    return onnx_file.runner(onnx_file.convert(endpoint, plan), by_name(endpoint, inputs))
