"""What the layers with one sparse kernel and a bias have in common."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Self, cast

import keras
import numpy as np

from .. import constraints, initializers
from ..compute.dispatch import check_requested
from ..kernel import SparseKernel
from ..topology.densities import DensityRule, check_density
from ..topology.patterns import Pattern, Random, initial_count


class SparseLayer(keras.layers.Layer):
    """Arguments, kernel, bias, files and configuration; a subclass has shapes and the product.

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
        self.density = None if density is None else check_density(density)
        self.pattern = Random() if pattern is None else pattern
        if isinstance(self.pattern, type) or not isinstance(self.pattern, Pattern):
            raise ValueError(f"{self.name}: `pattern` must be a pattern such as ks.Random(); got {pattern!r}.")
        if capacity is not None and (isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1):
            raise ValueError(f"{self.name}: `capacity` must be a positive number of connections; got {capacity!r}.")
        self.capacity = capacity
        self.compute = check_requested(compute)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.check(kernel_initializer, self.name)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        if isinstance(self.kernel_regularizer, keras.regularizers.OrthogonalRegularizer):
            raise ValueError(
                f"{self.name}: OrthogonalRegularizer needs a matrix; a sparse kernel takes L1, L2 or L1L2."
            )
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.check(kernel_constraint, self.name)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.seed = seed
        # Drawn here, as Keras' seeded layers do: reproducible after keras.utils.set_random_seed.
        self._kernel_seed = random.randint(1, 2**31 - 1) if seed is None else _check_seed(seed)  # noqa: S311
        self._built_capacity: int | None = None
        # tf.sparse does not compile under XLA; the generic path of other backends does.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def _make_weights(self, shape: tuple[int, int], make: Callable[..., SparseKernel]) -> Any:
        """Return the kernel that `make` makes of arguments like those of `SparseKernel`, and create the bias."""
        capacity, pattern = self.capacity, self.pattern
        connections = initial_count(pattern, shape, self.density)
        if self._built_capacity is not None:
            capacity = self._built_capacity
            if capacity < connections:  # of a network that has shrunk; its connections come from the file
                connections, pattern = capacity, Random()
        kernel = make(
            connections=connections,
            pattern=pattern,
            seed=self._kernel_seed,
            capacity=capacity,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            compute=self.compute,
        )
        kernel.pattern = self.pattern
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

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Write the connections and the bias."""
        if not self.built:
            return
        self.kernel.save(store)
        if self.bias is not None:
            store["bias"] = self.bias

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote; everything is checked before anything changes.

        Raises:
            ValueError: when the file does not fit the layer.
        """
        if not self.built:
            raise ValueError(f"{self.name}: build the layer, by calling it once, before its weights are loaded.")
        load_kernel = self.kernel.loader(store)
        if self.bias is not None:
            if "bias" not in store.keys():  # noqa: SIM118 - Keras' stores have keys() but no __contains__
                raise ValueError(f"{self.name}: the file holds no bias for this layer.")
            bias, count = np.asarray(store["bias"]), self.kernel.shape[1]
            if bias.shape != (count,) or bias.dtype.kind not in "fV":
                raise ValueError(f"{self.name}: expected {count} biases, got {bias.dtype} {bias.shape}.")
            load_kernel()
            self.bias.assign(bias)
        else:
            load_kernel()

    def get_build_config(self) -> dict[str, Any]:
        """Return the input shape and the kernel's storage layout."""
        config = cast(dict[str, Any], dict(super().get_build_config() or {}))
        if self.built:
            config["layout"] = self.kernel.build_layout()
        return config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build with the capacity that the saved layer had."""
        if "layout" in config:
            self._built_capacity = int(config["layout"]["capacity"])
        super().build_from_config({key: value for key, value in config.items() if key != "layout"})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        saved = keras.saving.serialize_keras_object
        density = saved(self.density) if isinstance(self.density, DensityRule) else self.density
        return {
            **super().get_config(),
            "density": density,
            "pattern": saved(self.pattern),
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

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the layer that `get_config` described."""
        config = dict(config)
        for key in ("density", "pattern"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**62:
        raise ValueError(f"`seed` must be an integer in [0, 2**62); got {seed!r}.")
    return seed
