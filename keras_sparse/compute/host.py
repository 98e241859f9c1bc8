"""Variables seen from the host, without copies and without Keras' overhead: for rewiring at every step."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from .exporting import read


class View(NamedTuple):
    """A variable's value, read-only.

    Attributes:
        array: the value; it stays as it is whatever becomes of the variable.
        shared: whether it is the variable's own memory. While such a view is held the memory is not used anew, so a
            later view at the same address has the same content.
    """

    array: NDArray[Any]
    shared: bool

    def same(self, other: View) -> bool:
        """Return whether both were certainly read from an unchanged variable."""
        return self.shared and other.shared and self.array.ctypes.data == other.array.ctypes.data


def view(variable: Any) -> View:
    """Return the value of a Keras variable."""
    backend = keras.backend.backend()
    if backend == "jax":
        return _frozen(np.asarray(variable.value), shared=True)  # arrays of JAX never change
    if backend == "tensorflow":
        import tensorflow as tf

        plain = _plain(variable)
        if tf.executing_eagerly() and plain is not None:
            # The memory of the variable: who writes to it while it is referred to here gets other memory.
            tensor = tf.raw_ops.ReadVariableOp(resource=plain.handle, dtype=plain.dtype)
            return _frozen(np.asarray(tensor), shared="CPU" in tensor.backing_device)
    array = read(variable)
    return _frozen(array.copy() if backend == "torch" else array, shared=False)  # there it is the variable's memory


def write(variable: Any, array: NDArray[Any]) -> None:
    """Assign `array`, of the variable's shape, to a Keras variable."""
    plain = _plain(variable) if keras.backend.backend() == "tensorflow" else None
    if plain is None:
        variable.assign(array)
        return
    import tensorflow as tf

    array = np.asarray(array, plain.dtype.as_numpy_dtype)
    assert array.shape == tuple(plain.shape)
    tf.raw_ops.AssignVariableOp(resource=plain.handle, value=array)


def _plain(variable: Any) -> Any:
    """Return the TensorFlow variable behind a Keras variable, unless it is several (one per replica)."""
    value = getattr(variable, "value", None)
    return None if value is None or hasattr(value, "values") or not hasattr(value, "handle") else value


def _frozen(array: NDArray[Any], *, shared: bool) -> View:
    array = array.view()
    array.setflags(write=False)
    return View(array, shared)
