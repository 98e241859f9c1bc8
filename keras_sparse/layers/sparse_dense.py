"""`SparseDense`: keras.layers.Dense with a kernel that stores only its connections."""

from __future__ import annotations

from typing import Any

import keras

from ..topology.densities import DensityRule
from ..topology.patterns import Pattern
from .single_kernel import SingleKernelLayer
from .sparse_layer import checked_units

Tensor = Any
DENSE_ONLY = ("lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size")
"""Arguments of Keras' dense layers that sparse ones have no use for."""


@keras.saving.register_keras_serializable("keras_sparse")
class SparseDense(SingleKernelLayer):
    """A densely written, sparsely connected layer: `activation(x @ kernel + bias)`.

    Only the connections that exist are stored, multiplied and updated: K = max(1, round(density · n_in · n_out))
    weights instead of n_in · n_out. `ks.Rewire` moves them while the network trains.

    Args:
        units: number of output units, a positive integer.
        density: fraction of the n_in · n_out positions that hold a connection, in (0, 1], or a rule:
            `ks.ErdosRenyi(epsilon=20)`, `ks.ERK(epsilon)`. Default: what the pattern says (`ks.FromMask`,
            `ks.FromSciPy`, `ks.NM`), else 0.1.
        pattern: where connections start: `ks.Random()`, the default, `ks.Structured()`, `ks.ClashFree()`,
            `ks.Local((28, 28))`, `ks.Block((4, 4))`, `ks.NM(2, 4)`, `ks.FromMask(mask)` or `ks.FromSciPy(matrix)`.
        capacity: number of connections there is room for, at least K; default K.
        compute: "auto" (measured choice), "native" (own CPU kernels), "stock" (tf.sparse, or torch.sparse), "dense"
            (builds the matrix at each product, up to 64 MiB) or "generic" (`keras.ops`). `ks.inspect` shows the choice
            and why. "native" gives way, as "auto" does, where the kernels cannot run: on GPUs, in float64, in exported
            models, on Keras' other backends and where the package was installed without a compiler.
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
        super().__init__(
            density=density,
            pattern=pattern,
            capacity=capacity,
            compute=compute,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            seed=seed,
            **kwargs,
        )
        self.units = checked_units(units, self.name)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the bias for inputs of `input_shape`."""
        n_in = input_shape[-1]
        if n_in is None:
            raise ValueError(
                f"{self.name}: the last dimension of the inputs must be known to build the kernel; got {input_shape}."
            )
        self.kernel = self._make_weights((n_in, self.units))
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

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units}
