"""`AllReLU`: a rectifier whose slope below zero alternates its sign from layer to layer."""

from __future__ import annotations

from numbers import Real
from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("keras_sparse")
class AllReLU(keras.layers.Layer):
    """Alternated left ReLU (Curci et al. 2021, "Truly Sparse Neural Networks at Scale", section 3.2).

    f(z) = z for z > 0, else slope · z, where the slope is −α in layers with an odd number and +α in those with an even
    number. It has nothing to train, and lets signals of both signs through very sparse networks.

    Args:
        alpha: α ≥ 0, a finite number. Default 0.6, the paper's for MNIST and Fashion-MNIST (0.75 for CIFAR-10).
        layer_number: place of the layer in the network, counted from 1.
        **kwargs: `name`, `dtype`.

    Input shape:
        Any.

    Output shape:
        As the input.

    Raises:
        ValueError: for an `alpha` that is negative or not finite, and a `layer_number` below 1.

    Example:
        >>> import keras_sparse as ks
        >>> [ks.AllReLU(layer_number=n)(keras.ops.array([-1.0, 2.0])).numpy().tolist() for n in (1, 2)]
        [[0.6000000238418579, 2.0], [-0.6000000238418579, 2.0]]
    """

    def __init__(self, alpha: float = 0.6, *, layer_number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(alpha, bool) or not (isinstance(alpha, Real) and 0 <= alpha < float("inf")):
            raise ValueError(f"{self.name}: `alpha` must be a finite number of at least 0; got {alpha!r}.")
        if isinstance(layer_number, bool) or not isinstance(layer_number, int) or layer_number < 1:
            raise ValueError(f"{self.name}: `layer_number` counts layers from 1; got {layer_number!r}.")
        self.alpha = float(alpha)
        self.layer_number = layer_number
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return `inputs` where they are positive, else their product with the slope."""
        slope = self.alpha if self.layer_number % 2 == 0 else -self.alpha
        return ops.where(inputs > 0, inputs, slope * inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `input_shape`."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha, "layer_number": self.layer_number}
