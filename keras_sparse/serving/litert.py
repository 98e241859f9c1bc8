"""LiteRT (formerly TensorFlow Lite): built-in operations, zeros of the kernels left out of the file."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..compute import delivery
from . import litert_zeros, saved_model
from .alone import by_name, fixed
from .endpoints import DEFAULT, Endpoint

CALIBRATION = 200
"""Examples that an int8 conversion looks at."""


def convert(
    model: keras.Model,
    endpoint: Endpoint,
    plan: delivery.Plan,
    *,
    quantize: str | None = None,
    representative: Any = None,
) -> bytes:
    """Return a LiteRT file of one endpoint, the zeros of its weights left out (but of int8 ones).

    It takes any batch size; with loops in it, as recurrent layers have if they are not unrolled, batch 1.

    Args:
        model: what the endpoint belongs to.
        endpoint: what the file answers.
        plan: what becomes of the sparse kernels, with the way "constant".
        quantize: None, "float16" (weights) or "int8" (weights and activations; inputs and outputs stay as they are).
        representative: inputs as the endpoint takes them, [n, ...]; for int8.

    Raises:
        ValueError: LiteRT cannot express the model, or not in int8.
    """
    if _loops(endpoint, plan):
        if quantize == "int8":  # the converter would bring the process down
            raise ValueError(
                "LiteRT cannot compute loops in int8. Build the recurrent layers with unroll=True (for sequences of a "
                "fixed length), or take quantize='float16'."
            )
        endpoint = fixed(endpoint)  # the lists in a loop need sizes
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        saved_model.write(model, [endpoint._replace(name=DEFAULT)], folder, plan)
        try:
            return litert_zeros.compress(_converted(folder, endpoint, quantize, representative))
        except Exception as error:  # the converter has no common class of them
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:400]
            hint = "quantize='float16' has fewer limits" if quantize == "int8" else "export a SavedModel"
            how = f" in {quantize}" if quantize else ""
            raise ValueError(f"LiteRT cannot compute this model{how}; {hint}. It says: {reason}") from error


def interpreter(content: bytes) -> Any:
    """Return a LiteRT interpreter of a file, with one thread: that of `ai_edge_litert`, else TensorFlow's own."""
    try:
        from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TensorFlow's is going to leave it
        return Interpreter(model_content=content, num_threads=1)


def runner(content: bytes, inputs: dict[str, Any]) -> Callable[[], Any]:
    """Return a function that runs a file on one set of inputs and returns the output."""
    loaded = interpreter(content)
    signature = loaded.get_signature_runner(DEFAULT)
    signature(**inputs)  # allocates
    details, outputs = signature.get_input_details(), signature.get_output_details()
    for name, detail in details.items():
        loaded.set_tensor(detail["index"], np.ascontiguousarray(inputs[name]))
    [output] = outputs.values()

    def run() -> Any:
        loaded.invoke()
        return loaded.get_tensor(output["index"])

    return run


def answer(content: bytes, inputs: dict[str, Any]) -> Any:
    """Return what a file answers to inputs by name, sample by sample: some files take one at a time."""
    signature = interpreter(content).get_signature_runner(DEFAULT)
    samples = len(next(iter(inputs.values())))
    rows = [signature(**{name: array[i : i + 1] for name, array in inputs.items()}) for i in range(samples)]
    return np.concatenate([next(iter(row.values())) for row in rows])


def _loops(endpoint: Endpoint, plan: delivery.Plan) -> bool:
    """Return whether the graph of an endpoint has loops."""
    import tensorflow as tf

    def named(spec: Any) -> Any:
        if isinstance(spec, dict):
            return {name: named(part) for name, part in spec.items()}
        return [named(part) for part in spec] if isinstance(spec, list) else tf.TensorSpec(spec.shape, spec.dtype)

    with delivery.delivering(plan):
        graph = tf.function(endpoint.call, autograph=False).get_concrete_function(named(endpoint.specs)).graph
    inner = [function.graph for function in getattr(graph, "_functions", {}).values() if hasattr(function, "graph")]
    return any(op.type in ("While", "StatelessWhile") for part in [graph, *inner] for op in part.get_operations())


def _converted(folder: Path, endpoint: Endpoint, quantize: str | None, representative: Any) -> bytes:
    import tensorflow as tf

    converter: Any = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[DEFAULT])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if quantize is not None else []
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif quantize == "int8":
        arrays = by_name(endpoint, representative)

        def batches() -> Iterator[dict[str, Any]]:
            for i in range(min(CALIBRATION, len(next(iter(arrays.values()))))):
                yield {name: array[i : i + 1] for name, array in arrays.items()}

        converter.representative_dataset = batches
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())
