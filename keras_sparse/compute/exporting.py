"""Telling that a model is being exported, where only stock ops and no custom gradients may be traced."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

_stock_ops: ContextVar[bool] = ContextVar("keras_sparse_stock_ops", default=False)
_EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.save.")
_CONVERTERS = ("keras.src.export.litert.", "keras.src.export.onnx.", "keras.src.export.openvino.")


@contextmanager
def stock_ops() -> Iterator[None]:
    """Trace sparse layers with stock TensorFlow ops and a fixed topology inside this context.

    `model.export(path)` needs no help; this is for exporters that Keras Sparse cannot recognise, such as a
    converter that traces the model itself.

    Example:
        >>> import keras_sparse as ks, tensorflow as tf
        >>> layer = ks.SparseDense(2, density=0.5)
        >>> layer.build((None, 4))
        >>> with ks.stock_ops():
        ...     graph = tf.function(layer).get_concrete_function(tf.TensorSpec([None, 4]))
        >>> sorted({op.type for op in graph.graph.get_operations()} & {"MatMul", "ScatterNd"})
        ['MatMul', 'ScatterNd']
    """
    token = _stock_ops.set(True)
    try:
        yield
    finally:
        _stock_ops.reset(token)


def exporting() -> bool:
    """Return whether the caller is traced for an export: inside `stock_ops`, Keras' export or a SavedModel's save.

    Keras has no flag for it, but at trace time its exporter stands on the Python stack.
    """
    return _stock_ops.get() or _called_by(_EXPORTERS)


def converting() -> bool:
    """Return whether Keras traces the caller for a format whose converter wants weights as constants."""
    return _called_by(_CONVERTERS)


def _called_by(modules: tuple[str, ...]) -> bool:
    frame = sys._getframe(1)
    while frame is not None:
        if f"{frame.f_globals.get('__name__')}.".startswith(modules):
            return True
        frame = frame.f_back
    return False


def read(variable: Any) -> NDArray[Any]:
    """Return a Keras variable's value as NumPy, also while a graph is being traced."""
    if keras.backend.backend() != "tensorflow":
        return np.asarray(keras.ops.convert_to_numpy(variable))
    import tensorflow as tf

    with tf.init_scope():
        return variable.numpy()


def itemsize(dtype: str) -> int:
    """Return the bytes of a number of a Keras dtype, such as "bfloat16" or "float8_e4m3fn"; bool takes one."""
    bits = re.search(r"\d+", dtype)
    return max(8, int(bits[0])) // 8 if bits else 1


def variable(form: Callable[..., Any], inputs: NDArray[Any], outputs: NDArray[Any], shape: tuple[int, int]) -> Any:
    """Return an untrained TensorFlow variable that holds `form(inputs, outputs, shape)`."""
    import tensorflow as tf

    with tf.init_scope():
        return tf.Variable(form(tf.constant(inputs), tf.constant(outputs), shape), trainable=False)
