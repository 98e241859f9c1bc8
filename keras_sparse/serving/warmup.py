"""Warm-up requests: what TensorFlow Serving asks a model before it takes requests, so that the first ones are quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PLACE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST = 1000
"""TensorFlow Serving refuses a file of more requests."""


def write(folder: Path, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Write requests into a SavedModel, as TFRecords of `tensorflow.serving.PredictionLog`.

    Args:
        folder: of the SavedModel.
        requests: (signature, inputs by name), at most 1,000.

    Raises:
        ValueError: too many requests.
    """
    import tensorflow as tf

    if len(requests) > MOST:
        raise ValueError(f"TensorFlow Serving takes at most {MOST} warm-up requests, got {len(requests)}.")
    path = folder / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(prediction_log(signature, inputs))


def prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    """Return a serialized `PredictionLog` of one request to a signature.

    The messages of TensorFlow Serving come with a package of many dependencies; these few need strings only:
    PredictionLog.predict_log = 6, PredictLog.request = 1, PredictRequest.model_spec = 1 and .inputs = 2 (a map of
    TensorProto), ModelSpec.signature_name = 3.

    Args:
        signature: name of the signature.
        inputs: arrays by name.
    """
    import tensorflow as tf

    request = _field(1, _field(3, signature.encode()))
    for name, array in inputs.items():
        request += _field(2, _field(1, name.encode()) + _field(2, tf.make_tensor_proto(array).SerializeToString()))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
