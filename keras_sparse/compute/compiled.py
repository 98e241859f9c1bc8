"""Functions that are called often, outside of `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` as a graph, with TensorFlow; as it is, elsewhere.

    Args:
        function: takes and returns tensors; variables are read anew at every call.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False)
