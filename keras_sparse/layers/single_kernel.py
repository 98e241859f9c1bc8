"""What the layers with one sparse kernel and a bias have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from .. import constraints, initializers
from ..compute.dispatch import check_requested
from ..kernel import SparseKernel
from ..topology.densities import DensityRule
from ..topology.patterns import Pattern
from .sparse_layer import (
    SparseLayer,
    checked_capacity,
    checked_density,
    checked_pattern,
    checked_regularizer,
    kernel_seed,
    saved_density,
)


class SingleKernelLayer(SparseLayer):
    """Arguments, kernel and bias; a subclass has shapes and the product.

    The arguments are those of `SparseDense`.
    """

    kernel: Any  # a SparseKernel

    def __init__(
        self,
        *,
        density: float | DensityRule | None,
        pattern: Pattern | None,
        capacity: int | None,
        compute: str,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.density = checked_density(density)
        self.pattern = checked_pattern(pattern, self.name)
        self.capacity = checked_capacity(capacity, self.name)
        self.compute = check_requested(compute)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.check(kernel_initializer, self.name)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = checked_regularizer(kernel_regularizer, self.name)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.check(kernel_constraint, self.name)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.seed = seed
        self._kernel_seed = kernel_seed(seed)
        # tf.sparse does not compile under XLA; the generic path of other backends does.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def _make_weights(
        self,
        shape: tuple[int, int],
        make: Callable[..., SparseKernel] | None = None,
        dims: Sequence[int] | None = None,
    ) -> Any:
        """Create the bias, and return the kernel that `make` makes of arguments like those of `SparseKernel`.

        `dims` as in `_add_kernel`.
        """
        kernel = self._add_kernel(
            shape,
            density=self.density,
            pattern=self.pattern,
            capacity=self.capacity,
            seed=self._kernel_seed,
            make=make,
            dims=dims,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(shape[1],),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        return kernel

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "density": saved_density(self.density),
            "pattern": keras.saving.serialize_keras_object(self.pattern),
            "capacity": self.capacity,
            "compute": self.compute,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "seed": self.seed,
        }
