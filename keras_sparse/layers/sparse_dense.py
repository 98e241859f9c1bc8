"""`SparseDense`: keras.layers.Dense with a kernel that stores only its connections."""

from __future__ import annotations

import random
from typing import Any, cast

import keras
import numpy as np

from .. import constraints, initializers
from ..compute.dispatch import check_requested
from ..kernel import SparseKernel
from ..topology.densities import DensityRule, check_density
from ..topology.patterns import Pattern, Random, initial_count

Tensor = Any
DENSE_ONLY = ("lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size")
"""Arguments of Keras' dense layers that sparse ones have no use for."""


@keras.saving.register_keras_serializable("keras_sparse")
class SparseDense(keras.layers.Layer):
    """A densely written, sparsely connected layer: `activation(x @ kernel + bias)`.

    Only the connections that exist are stored, multiplied and updated: K = max(1, round(density · n_in · n_out))
    weights instead of n_in · n_out. `ks.Rewire` moves them while the network trains.

    Args:
        units: number of output units, a positive integer.
        density: fraction of the n_in · n_out positions that hold a connection, in (0, 1], or a rule:
            `ks.ErdosRenyi(epsilon=20)`, `ks.ERK(epsilon)`. Default: what the pattern says (`ks.FromMask`,
            `ks.FromSciPy`, `ks.NM`), else 0.1.
        pattern: where connections start: `ks.Random()`, the default, `ks.Structured()`, `ks.ClashFree()`,
            `ks.Block((4, 4))`, `ks.NM(2, 4)`, `ks.FromMask(mask)` or `ks.FromSciPy(matrix)`.
        capacity: number of connections there is room for, at least K; default K.
        compute: "auto" (measured choice), "native" (own CPU kernels), "stock" (tf.sparse), "dense" (builds the matrix
            at each product, up to 64 MiB) or "generic" (`keras.ops`). `ks.inspect` shows the choice and why. "native"
            gives way, as "auto" does, where the kernels cannot run: on GPUs, in float64, in exported models and where
            the package was installed without a compiler.
        activation: as in `Dense`; default none.
        use_bias: whether the layer adds a bias vector; default True.
        kernel_initializer: any initializer of scalars. Variance-scaling ones ("glorot_uniform", the default,
            "he_normal", …) use the in-degree of a connection's output as fan-in and the out-degree of its input
            as fan-out.
        bias_initializer: as in `Dense`; default "zeros".
        kernel_regularizer: sees the vector of values; L1, L2 and L1L2 mean what they mean on a matrix.
        bias_regularizer: as in `Dense`.
        activity_regularizer: as in `Dense`.
        kernel_constraint: norm constraints with axis=0 act per output unit over its connections; elementwise ones on
            every value.
        bias_constraint: as in `Dense`.
        seed: of connections and initial values; default drawn from Keras' global seed
            (`keras.utils.set_random_seed`).
        **kwargs: `name`, `dtype` (also a policy such as "mixed_float16"), `trainable`.

    Input shape:
        (batch, ..., n_in), rank 2 or more.

    Output shape:
        (batch, ..., units).

    Raises:
        ValueError: for a density outside (0, 1] or one that the pattern cannot have, an initializer, regularizer or
            constraint that needs a matrix, a capacity below K, and inputs of rank 1 or unknown last dimension.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.SparseDense(100, density=0.05, activation="relu", seed=1)
        >>> layer(keras.ops.ones((8, 784))).shape, len(layer.kernel.connectivity)
        (TensorShape([8, 100]), 3920)
    """

    def __init__(
        self,
        units: int,
        *,
        density: float | DensityRule | None = None,
        pattern: Pattern | None = None,
        capacity: int | None = None,
        compute: str = "auto",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(f"{self.name}: `units` must be a positive integer; got {units!r}.")
        self.units = units
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
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the bias for inputs of `input_shape`."""
        n_in = input_shape[-1]
        if n_in is None:
            raise ValueError(
                f"{self.name}: the last dimension of the inputs must be known to build the kernel; got {input_shape}."
            )
        capacity, pattern = self.capacity, self.pattern
        connections = initial_count(pattern, (n_in, self.units), self.density)
        if self._built_capacity is not None:
            capacity = self._built_capacity
            if capacity < connections:  # of a network that has shrunk; its connections come from the file
                connections, pattern = capacity, Random()
        self.kernel = SparseKernel(
            self,
            (n_in, self.units),
            connections=connections,
            pattern=pattern,
            seed=self._kernel_seed,
            capacity=capacity,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            compute=self.compute,
        )
        self.kernel.pattern = self.pattern
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: n_in})
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return `activation(inputs @ kernel + bias)`."""
        relu = self.activation is keras.activations.relu
        outputs = self.kernel.matmul(inputs, bias=self.bias, relu=relu)
        return outputs if relu or self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `input_shape` with the last dimension replaced by `units`."""
        return (*input_shape[:-1], self.units)

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
            bias = np.asarray(store["bias"])
            if bias.shape != (self.units,) or bias.dtype.kind not in "fV":
                raise ValueError(f"{self.name}: expected {self.units} biases, got {bias.dtype} {bias.shape}.")
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
            "units": self.units,
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
    def from_config(cls, config: dict[str, Any]) -> SparseDense:
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
