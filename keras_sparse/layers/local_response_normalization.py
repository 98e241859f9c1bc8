"""`LocalResponseNormalization`: channels that damp their neighbours."""

from __future__ import annotations

from numbers import Real
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("keras_sparse")
class LocalResponseNormalization(keras.layers.Layer):
    """Local response normalization over channels (Krizhevsky et al. 2012, section 3.3), which Keras does not have.

    Every number is divided by (bias + alpha · S) ** beta, where S is the sum of the squares of the channels at the same
    place that are at most `radius` away. It has nothing to train. The defaults are those of TensorFlow's CIFAR-10
    tutorial, the network of Bellec et al. 2018. Computed in float32 where the layer's numbers have 16 bits.

    Args:
        radius: r ≥ 0, so that 2r + 1 channels count. Default 4.
        bias: > 0. Default 1.
        alpha: ≥ 0. Default 0.001 / 9.
        beta: the power. Default 0.75.
        axis: of the channels, not 0. Default -1.
        **kwargs: `name`, `dtype`.

    Input shape:
        (batch, …, channels), or with the channels elsewhere if `axis` says so.

    Output shape:
        As the input.

    Raises:
        ValueError: for arguments out of range, and inputs whose number of channels is not known.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.LocalResponseNormalization(radius=1, alpha=1.0, beta=1.0)
        >>> [round(x, 4) for x in layer(keras.ops.array([[1.0, 2.0, 3.0]])).numpy()[0].tolist()]
        [0.1667, 0.1333, 0.2143]
    """

    def __init__(
        self,
        radius: int = 4,
        *,
        bias: float = 1.0,
        alpha: float = 0.001 / 9,
        beta: float = 0.75,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(radius, bool) or not isinstance(radius, int) or radius < 0:
            raise ValueError(f"{self.name}: `radius` must be an integer of at least 0; got {radius!r}.")
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ValueError(f"{self.name}: `axis` must be an integer other than 0, the batch; got {axis!r}.")
        for name, value, least in (("bias", bias, "above 0"), ("alpha", alpha, "of at least 0"), ("beta", beta, "")):
            finite = not isinstance(value, bool) and isinstance(value, Real) and abs(value) < float("inf")
            if not finite or (least and value < 0) or (name == "bias" and value == 0):
                raise ValueError(
                    f"{self.name}: `{name}` must be a finite number {least}".rstrip() + f"; got {value!r}."
                )
        self.radius, self.axis = radius, axis
        self.bias, self.alpha, self.beta = float(bias), float(alpha), float(beta)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check that the number of channels is known."""
        self._channels(input_shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return the normalized `inputs`."""
        channels = self._channels(inputs.shape)
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        exact = "float32" if dtype in ("float16", "bfloat16") else dtype
        x = ops.moveaxis(ops.cast(inputs, exact), self.axis, -1)
        place = np.arange(channels)
        near = (np.abs(place[:, None] - place) <= self.radius).astype("float32")
        # A product with a band sums neighbours faster than 2r + 1 shifted copies do.
        total: Any = ops.matmul(ops.square(x), ops.convert_to_tensor(near, exact))
        outputs = x * ops.power(self.bias + self.alpha * total, -self.beta)
        return ops.cast(ops.moveaxis(outputs, -1, self.axis), dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `input_shape`."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        numbers = {"bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), "radius": self.radius, "axis": self.axis, **numbers}

    def _channels(self, shape: Any) -> int:
        rank = len(shape)
        if not -rank < self.axis < rank or shape[self.axis] is None:
            raise ValueError(
                f"{self.name}: `axis` {self.axis} must be one whose length is known and not the batch; got inputs of "
                f"shape {tuple(shape)}."
            )
        return int(shape[self.axis])
