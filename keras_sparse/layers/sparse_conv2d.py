"""`SparseConv2D`: keras.layers.Conv2D with a kernel that stores only its connections."""

from __future__ import annotations

from typing import Any

import keras

from ..topology.densities import DensityRule
from ..topology.patterns import Pattern
from .sparse_conv import Sizes, SparseConv


@keras.saving.register_keras_serializable("keras_sparse")
class SparseConv2D(SparseConv):
    """A convolution over images whose kernel stores, multiplies and updates only the connections that exist.

    The kernel is a matrix [height · width · channels / groups, filters]: its input (ky · width + kx) · channels /
    groups + c is channel c of the filter's group, ky rows below and kx columns to the right of the window's corner. Any
    of its positions may hold a connection: K = max(1, round(density · positions)) weights. `ks.Rewire` moves them while
    the network trains.

    Args:
        filters: number of output channels, a positive integer.
        kernel_size: height and width of the window; one integer for both.
        density: fraction of the kernel's positions that hold a connection, in (0, 1], or a rule such as `ks.ERK(1.0)`.
            Default: what the pattern says, else 0.1.
        pattern: where connections start, as in `SparseDense`; default `ks.Random()`.
        capacity: number of connections there is room for, at least K; default K.
        compute: "auto" (measured choice), "native" (own CPU kernels), "stock" (a tf.sparse product for every place in
            the window), "dense" (the backend's convolution with the whole kernel, built at each call, up to 64 MiB) or
            "generic" (`keras.ops`). `ks.inspect` shows the choice and why. "native" gives way, as "auto" does, where
            the kernels cannot run: on GPUs, in float64, in exported models and where the package was installed
            without a compiler.
        strides: of the window, down and to the right; default 1.
        padding: "valid", the default, or "same".
        data_format: "channels_last" or "channels_first"; default `keras.config.image_data_format()`. Images are
            computed with channels last whatever this is.
        dilation_rate: distance between the rows and columns the window looks at; default 1. Not above 1 together
            with strides above 1.
        groups: channels and filters are divided into so many; a filter sees the channels of its group. Default 1.
        activation: as in `Conv2D`; default none.
        use_bias: whether the layer adds a bias to each filter; default True.
        kernel_initializer: any initializer of scalars. Variance-scaling ones ("glorot_uniform", the default,
            "he_normal", …) use the number of connections into a filter as fan-in and the number out of a kernel's input
            as fan-out.
        bias_initializer: as in `Conv2D`; default "zeros".
        kernel_regularizer: sees the vector of values; L1, L2 and L1L2 mean what they mean on a dense kernel.
        bias_regularizer: as in `Conv2D`.
        activity_regularizer: as in `Conv2D`.
        kernel_constraint: norm constraints with axis=0 act per filter over its connections; elementwise ones on every
            value.
        bias_constraint: as in `Conv2D`.
        seed: of connections and initial values; default drawn from Keras' global seed.
        **kwargs: `name`, `dtype` (also a policy such as "mixed_float16"), `trainable`.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels first.

    Output shape:
        (batch, new height, new width, filters), or (batch, filters, new height, new width).

    Raises:
        ValueError: for arguments that are not positive integers or do not divide by `groups`, a density outside
            (0, 1], an initializer, regularizer or constraint that needs a matrix, a capacity below K, and images that
            are smaller than the window.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.SparseConv2D(32, 3, density=0.1, padding="same", activation="relu", seed=1)
        >>> layer(keras.ops.ones((8, 28, 28, 16))).shape, layer.kernel.shape, len(layer.kernel.connectivity)
        (TensorShape([8, 28, 28, 32]), (144, 32), 461)
    """

    rank = 2

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
