"""`SparseGRUCell`: one step of a sparse GRU."""

from __future__ import annotations

from typing import Any

import keras

from ..compute import paths
from .sparse_cell import SparseCell, multiplied

Tensor = Any


@keras.saving.register_keras_serializable("keras_sparse")
class SparseGRUCell(SparseCell, keras.layers.GRUCell):
    """keras.layers.GRUCell (Cho et al. 2014) with kernels that store only their connections.

    For `keras.layers.RNN`, also in a list of cells that are stacked. `ks.SparseGRU` computes the same, faster: it
    reads the connections once for all time steps.

    Args:
        units: number of units.
        **kwargs: see `ks.SparseGRU`; without those that say what the layer does with a sequence.

    Attributes:
        kernel: from inputs to gates, `SparseKernel` of shape (n_in, 3 · units); gates in the order z, r, h.
        recurrent_kernel: from units to gates, (units, 3 · units).

    Raises:
        ValueError: see `ks.SparseGRU`.

    Example:
        >>> import keras, keras_sparse as ks
        >>> keras.layers.RNN(ks.SparseGRUCell(16, density=0.2))(keras.ops.ones((2, 5, 8))).shape
        TensorShape([2, 16])
    """

    gates = 3
    sequence_cell = "gru"

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple[Tensor, Any]:
        """Return (output [batch, units], state) after a step from `states`; the state is the output."""
        nested = isinstance(states, list | tuple)
        h = states[0] if nested else states
        by = self._factors or self._read()
        mask = self._state_mask(h, training)
        x = multiplied(by.kernel, inputs, self._input_mask(inputs, training), self.units, by.bias)
        x_z, x_r, x_h = self._split(x)
        h_z, h_r, h_h = self._split(multiplied(by.recurrent, h, mask, self.units, by.recurrent_bias))
        z = self.recurrent_activation(x_z + h_z)
        r = self.recurrent_activation(x_r + h_r)
        if self.reset_after:
            h_h = r * h_h
        else:
            # The whole product once more, for the third gate alone: the gates share one kernel.
            reset = r * h if mask is None else r * h * mask[2]
            h_h = self._split(by.recurrent(reset))[2]
        candidate = self.activation(x_h + h_h)
        h = z * h + (1 - z) * candidate
        return h, [h] if nested else h

    def _plain(self) -> bool:
        return self.reset_after and super()._plain()

    def _bias_shape(self) -> tuple[int, ...]:
        wide = super()._bias_shape()
        return (2, *wide) if self.reset_after else wide

    def _biases(self) -> tuple[Tensor | None, Tensor | None]:
        if self.bias is None or not self.reset_after:
            return super()._biases()
        both = paths.value(self.bias)
        return both[0], both[1]
