"""`SReLU`: an activation of three straight pieces, which every unit learns for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
_INITIAL = {
    "t_left": lambda: keras.initializers.Zeros(),
    "a_left": lambda: keras.initializers.RandomUniform(0.0, 1.0),
    "t_right": lambda: keras.initializers.RandomUniform(0.0, 5.0),
    "a_right": lambda: keras.initializers.Ones(),
}


@keras.saving.register_keras_serializable("keras_sparse")
class SReLU(keras.layers.Layer):
    """S-shaped rectified linear unit (Jin et al. 2016, AAAI, "… S-shaped Rectified Linear Activation Units").

    h(x) = t_r + a_r (x − t_r) for x ≥ t_r, x in between, and t_l + a_l (x − t_l) for x ≤ t_l (equation 2), with four
    trainable parameters per unit. It starts as a leaky rectifier: t_l = 0, 0 ≤ a_l ≤ 1, a_r = 1 (section 3.3). The
    right threshold is stored as its distance: t_r = t_l + |t_right|, so that the pieces never change places. SET's
    multilayer perceptrons use it (Mocanu et al. 2018).

    Args:
        t_left_initializer: of t_l; default zeros.
        a_left_initializer: of the left slope; default uniform in [0, 1].
        t_right_initializer: of t_right; default uniform in [0, 5].
        a_right_initializer: of the right slope; default ones.
        shared_axes: axes of the inputs, counted with the batch axis 0, along which units share their parameters:
            [1, 2] for one set per channel of images [batch, height, width, channels]. Default none.
        **kwargs: `name`, `dtype`, `trainable`.

    Input shape:
        (batch, ...), any rank from 1. Dimensions that are not shared must be known.

    Output shape:
        As the input.

    Raises:
        ValueError: for `shared_axes` that are no axes of the inputs, and unknown dimensions that are not shared.

    Example:
        >>> import keras_sparse as ks
        >>> layer = ks.SReLU(a_left_initializer="zeros")
        >>> layer(keras.ops.array([[-1.0, 2.0]])).numpy().tolist(), len(layer.weights)
        ([[0.0, 2.0]], 4)
    """

    def __init__(
        self,
        t_left_initializer: Any = None,
        a_left_initializer: Any = None,
        t_right_initializer: Any = None,
        a_right_initializer: Any = None,
        shared_axes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        given = (t_left_initializer, a_left_initializer, t_right_initializer, a_right_initializer)
        self.initializers = {
            name: keras.initializers.get(initial() if one is None else one)
            for (name, initial), one in zip(_INITIAL.items(), given, strict=True)
        }
        self.shared_axes = [] if shared_axes is None else list(shared_axes)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the four parameters for inputs of `input_shape`."""
        rank = len(input_shape)
        axes = [axis + rank if isinstance(axis, int) and axis < 0 else axis for axis in self.shared_axes]
        if any(axis not in range(1, rank) for axis in axes):
            raise ValueError(
                f"{self.name}: `shared_axes` must be axes of the inputs from 1 to {rank - 1}, whose shape is "
                f"{input_shape}; got {self.shared_axes}."
            )
        shape = tuple(1 if axis in axes else input_shape[axis] for axis in range(1, rank))
        if None in shape:
            raise ValueError(
                f"{self.name}: every unit has its own parameters, so its dimensions must be known; got inputs of "
                f"shape {input_shape}. Name the unknown axes in `shared_axes`."
            )
        self.t_left, self.a_left, self.t_right, self.a_right = (
            self.add_weight(shape=shape, initializer=initializer, name=name)
            for name, initializer in self.initializers.items()
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return h(inputs), elementwise."""
        left: Tensor = ops.convert_to_tensor(self.t_left)
        right: Tensor = left + ops.abs(self.t_right)
        below = left + self.a_left * (inputs - left)
        above = right + self.a_right * (inputs - right)
        return ops.where(inputs >= right, above, ops.where(inputs <= left, below, inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `input_shape`."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        saved = {f"{name}_initializer": keras.initializers.serialize(one) for name, one in self.initializers.items()}
        return {**super().get_config(), **saved, "shared_axes": self.shared_axes or None}
