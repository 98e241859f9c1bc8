"""What all layers with sparse kernels have in common: their arguments, their kernels, their part of a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, cast

import keras
import numpy as np

from ..junctions import kernels
from ..kernel import SparseKernel
from ..topology.densities import DensityRule, check_density
from ..topology.patterns import Pattern, Random, initial_count


class SparseLayer(keras.layers.Layer):
    """Mixin before a Keras layer that keeps its kernels as attributes, and a bias, or None, as `bias`."""

    compute: str
    bias: keras.Variable | None

    def _add_kernel(
        self,
        shape: tuple[int, int],
        *,
        density: float | DensityRule | None,
        pattern: Pattern,
        capacity: int | None,
        seed: int,
        name: str = "kernel",
        make: Callable[..., SparseKernel] | None = None,
        dims: Sequence[int] | None = None,
        **options: Any,
    ) -> Any:
        """Return a new kernel that `make` makes, by default a `SparseKernel`; other options as for that.

        `dims` are those that Keras' kernel has, which rules of density go by; default `shape`.
        """
        if self.quantization_mode is not None:
            raise ValueError(f"{_not_quantized(self)} Give it a floating-point dtype policy such as 'mixed_bfloat16'.")
        connections = initial_count(pattern, shape if dims is None else dims, density)
        first = pattern
        built: int | None = getattr(self, "_built_capacities", {}).get(name)
        if built is not None:
            capacity = built
            if built < connections:  # of a network that has shrunk; its connections come from the file
                connections, first = built, Random()
        kernel = (make or partial(SparseKernel, self, shape))(
            connections=connections,
            pattern=first,
            seed=seed,
            capacity=capacity,
            compute=self.compute,
            name=name,
            **options,
        )
        kernel.pattern = pattern
        return kernel

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None) -> None:
        """Refuse: `keras.Model.quantize` leaves sparse layers as they are, with this as a warning.

        Raises:
            NotImplementedError: always.
        """
        del type_check, config
        raise NotImplementedError(
            f"{_not_quantized(self)} It stays as it is, others become {mode}. Export the model, and quantize that: "
            "`ksparse export MODEL PATH --format litert --quantize int8 --examples DATA`."
        )

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Write the connections and the bias."""
        if not self.built:
            return
        for kernel in kernels(self):
            kernel.save(store)
        if self.bias is not None:
            store["bias"] = self.bias

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote; everything is checked before anything changes.

        Raises:
            ValueError: when the file does not fit the layer.
        """
        if not self.built:
            raise ValueError(f"{self.name}: build the layer, by calling it once, before its weights are loaded.")
        loads = [kernel.loader(store) for kernel in kernels(self)]
        bias = None
        if self.bias is not None:
            if "bias" not in store.keys():  # noqa: SIM118 - Keras' stores have keys() but no __contains__
                raise ValueError(f"{self.name}: the file holds no bias for this layer.")
            bias = np.asarray(store["bias"])
            if bias.shape != tuple(self.bias.shape) or bias.dtype.kind not in "fV":
                raise ValueError(
                    f"{self.name}: expected biases of shape {tuple(self.bias.shape)}, got {bias.dtype} {bias.shape}."
                )
        for load in loads:
            load()
        if self.bias is not None:
            self.bias.assign(bias)

    def get_build_config(self) -> dict[str, Any]:
        """Return the input shape and the kernels' storage layouts."""
        config = cast(dict[str, Any], dict(super().get_build_config() or {}))
        return {**config, **self.layouts()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build with the capacities that the saved layer had."""
        super().build_from_config(self.expect(config))

    def layouts(self) -> dict[str, Any]:
        """Return the kernels' storage layouts, for a build configuration."""
        return {_layout_key(kernel.name): kernel.build_layout() for kernel in kernels(self)} if self.built else {}

    def expect(self, config: dict[str, Any]) -> dict[str, Any]:
        """Note the capacities that a build configuration announces; return the rest of it."""
        layouts = {key: value for key, value in config.items() if key.endswith("layout")}
        self._built_capacities = {
            name: _announced(layouts[_layout_key(name)], self.name)
            for name in ("kernel", "recurrent_kernel")
            if _layout_key(name) in layouts
        }
        return {key: value for key, value in config.items() if key not in layouts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the layer that `get_config` described."""
        return cls(**restored(config))


def _not_quantized(layer: keras.layers.Layer) -> str:
    return f"{layer.name}: {type(layer).__name__} cannot be quantized, since its connections are trained and rewired."


def _announced(layout: Any, layer: str) -> int:
    """Return the capacity in a build configuration, which may come from a file."""
    capacity = layout.get("capacity") if isinstance(layout, dict) else None
    if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
        raise ValueError(f"{layer}: the saved configuration has no storage layout but {layout!r}; the file is damaged.")
    return capacity


def _layout_key(kernel: str) -> str:
    """Return the name of a kernel's layout in build configurations."""
    return kernel.removesuffix("kernel") + "layout"


def restored(config: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's configuration with densities and patterns as objects."""
    rules = {key: value for key, value in config.items() if key.endswith(("density", "pattern"))}
    objects = {
        key: keras.saving.deserialize_keras_object(rule) for key, rule in rules.items() if isinstance(rule, dict)
    }
    return {**config, **objects}


def saved_density(density: float | DensityRule | None) -> Any:
    """Return a density as JSON data."""
    return keras.saving.serialize_keras_object(density) if isinstance(density, DensityRule) else density


def checked_units(units: Any, layer: str) -> int:
    """Return `units`, or raise ValueError if that is no positive integer."""
    if isinstance(units, bool) or not isinstance(units, int) or units < 1:
        raise ValueError(f"{layer}: `units` must be a positive integer; got {units!r}.")
    return units


def checked_density(density: Any) -> float | DensityRule | None:
    """Return `density`, or raise ValueError if that is none."""
    return None if density is None else check_density(density)


def checked_pattern(pattern: Any, layer: str, argument: str = "pattern") -> Pattern:
    """Return `pattern`, by default a random one, or raise ValueError if that is none."""
    chosen = Random() if pattern is None else pattern
    if isinstance(chosen, type) or not isinstance(chosen, Pattern):
        raise ValueError(f"{layer}: `{argument}` must be a pattern such as ks.Random(); got {pattern!r}.")
    return chosen


def checked_capacity(capacity: Any, layer: str, argument: str = "capacity") -> int | None:
    """Return `capacity`, or raise ValueError if that is neither None nor a positive integer."""
    if capacity is not None and (isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1):
        raise ValueError(f"{layer}: `{argument}` must be a positive number of connections; got {capacity!r}.")
    return capacity


def checked_regularizer(regularizer: Any, layer: str) -> Any:
    """Return Keras' regularizer, or raise ValueError if it needs a matrix."""
    regularizer = keras.regularizers.get(regularizer)
    if isinstance(regularizer, keras.regularizers.OrthogonalRegularizer):
        raise ValueError(f"{layer}: OrthogonalRegularizer needs a matrix; a sparse kernel takes L1, L2 or L1L2.")
    return regularizer


def kernel_seed(seed: Any) -> int:
    """Return `seed`, or one drawn from Keras' global seed, or raise ValueError if that is none.

    Call it in the constructor, as Keras' seeded layers do: reproducible after `keras.utils.set_random_seed`.
    """
    if seed is None:
        return random.randint(1, 2**31 - 1)  # noqa: S311
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**62:
        raise ValueError(f"`seed` must be an integer in [0, 2**62); got {seed!r}.")
    return seed
