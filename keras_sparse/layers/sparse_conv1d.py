"""`SparseConv1D`: keras.layers.Conv1D with a kernel that stores only its connections."""

from __future__ import annotations

from typing import Any

import keras

from ..topology.densities import DensityRule
from ..topology.patterns import Pattern
from .sparse_conv import Sizes, SparseConv


@keras.saving.register_keras_serializable("keras_sparse")
class SparseConv1D(SparseConv):
    """A convolution over sequences whose kernel stores, multiplies and updates only the connections that exist.

    The kernel is a matrix [width · channels / groups, filters]: its input kx · channels / groups + c is channel c of
    the filter's group, kx steps after the window's start.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: length of the window.
        padding: "valid", the default, "same" or "causal": an output depends on inputs up to its own time only.
        **others: as in `SparseConv2D`.

    Input shape:
        (batch, steps, channels), or (batch, channels, steps) with channels first.

    Output shape:
        (batch, new steps, filters), or (batch, filters, new steps).

    Raises:
        ValueError: as `SparseConv2D`.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.SparseConv1D(32, 5, density=0.2, padding="causal", seed=1)
        >>> layer(keras.ops.ones((8, 100, 16))).shape, layer.kernel.shape, len(layer.kernel.connectivity)
        (TensorShape([8, 100, 32]), (80, 32), 512)
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        *,
        density: float | DensityRule | None = None,
        pattern: Pattern | None = None,
        capacity: int | None = None,
        compute: str = "auto",
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
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
            filters,
            kernel_size,
            density=density,
            pattern=pattern,
            capacity=capacity,
            compute=compute,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
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
