"""A tensor of a SavedModel that is not in its files: it is made once, when the model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import tensorflow as tf

Tensor = Any
_numbers = count()


class Loaded(tf.saved_model.experimental.TrackableResource):
    """Made of other variables of the SavedModel by its initializer, which every loader runs after it restored them.

    Args:
        make: returns the tensor; stock operations on tracked variables only.
        dtype: of the tensor.
        shape: of the tensor.
        name: tells people what it is.
    """

    def __init__(self, make: Callable[[], Tensor], dtype: str, shape: tuple[int, ...], name: str) -> None:
        super().__init__()
        self._make, self._dtype, self._shape = make, tf.as_dtype(dtype), shape
        self._shared_name = f"{name}_{next(_numbers)}"  # equal names would share one tensor
        with tf.init_scope():
            _ = self.resource_handle  # created outside of the function that is being traced

    def _create_resource(self) -> Tensor:
        # A resource variable without `tf.Variable`, whose value would be written to the file.
        return tf.raw_ops.VarHandleOp(dtype=self._dtype, shape=self._shape, shared_name=self._shared_name)

    def _initialize(self) -> None:
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=self._make())

    def fill(self) -> None:
        """Make the tensor, in this process."""
        self._initialize()

    def release(self) -> None:
        """Give the memory back; not when the object goes, for a loaded signature may outlive the loaded model."""
        tf.raw_ops.DestroyResourceOp(resource=self.resource_handle, ignore_lookup_error=True)

    def read(self) -> Tensor:
        """Return the tensor."""
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=self._dtype)
        value.set_shape(self._shape)
        return value
