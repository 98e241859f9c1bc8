"""ONNX: standard operations, zeros of the kernels left out of the file."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from ..compute import delivery
from ..muted import muted
from . import onnx_zeros
from .alone import Alone
from .endpoints import Endpoint

OPSET = 18
_FALSE_ALARM = "Issue encountered when serializing"  # of tables: "probably safe to ignore"; answers are checked
_MISSING = "ONNX needs packages that are not installed: {}. Install them with: pip install 'keras-sparse[onnx]'."


class MissingError(ValueError):
    """A package of the extra `onnx` is not installed."""


def check() -> None:
    """Raise MissingError if a package that writes ONNX is missing."""
    missing = []
    for package in ("onnx", "tf2onnx"):
        try:
            __import__(package)
        except ImportError:
            missing.append(package)
    if missing:
        raise MissingError(_MISSING.format(", ".join(missing)))


def convert(endpoint: Endpoint, plan: delivery.Plan) -> bytes:
    """Return an ONNX file of one endpoint: any batch size, output `output_0`.

    Args:
        endpoint: what the file answers.
        plan: what becomes of the sparse kernels, with the way "constant".

    Raises:
        ValueError: a package is missing, or ONNX cannot express the model.
        OSError: there is no room for temporary files.
    """
    check()
    import onnx

    with (
        tempfile.TemporaryDirectory() as folder,
        delivery.delivering(plan),
        warnings.catch_warnings(),
        muted(_FALSE_ALARM),
    ):
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        try:
            with redirect_stdout(io.StringIO()):
                Alone(endpoint.call).export(
                    str(path), format="onnx", verbose=False, input_signature=[endpoint.specs], opset_version=OPSET
                )
        except OSError:  # the disk is full: no fault of the model
            raise
        except Exception as error:  # tf2onnx raises whatever it meets
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ValueError(
                f"ONNX has no operation for a part of this model; export a SavedModel. It says: {reason[:400]}"
            ) from error
        if not path.exists():
            raise ValueError("tf2onnx wrote no file: ONNX has no operation for a part of this model.")
        model = onnx.load(path)
    _name_outputs(model)
    _name_skipped(model)
    onnx_zeros.compress(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def session(content: bytes) -> Any:
    """Return an ONNX Runtime session of a file, with one thread.

    Raises:
        MissingError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingError(_MISSING.format("onnxruntime")) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def runner(content: bytes, inputs: dict[str, Any]) -> Callable[[], Any]:
    """Return a function that runs a file on one set of inputs and returns the output."""
    loaded = session(content)
    return lambda: loaded.run(None, inputs)[0]


def _name_outputs(model: Any) -> None:
    """Call the outputs output_0, output_1 …, as SavedModels do, not by the nodes that compute them."""
    for number, output in enumerate(model.graph.output):
        old, output.name = output.name, f"output_{number}"
        for node in model.graph.node:
            node.input[:] = [output.name if name == old else name for name in node.input]
            node.output[:] = [output.name if name == old else name for name in node.output]


def _name_skipped(model: Any) -> None:
    """Name the outputs of `Unique` that nobody takes: ONNX Runtime 1.25 and before fails to fold it."""
    for node in model.graph.node:
        if node.op_type == "Unique":
            node.output[:] = [name or f"{node.output[0]}/skipped_{i}" for i, name in enumerate(node.output)]
