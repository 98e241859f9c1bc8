"""`SparseSimpleRNNCell`: one step of a sparse recurrent network without gates."""

from __future__ import annotations

from typing import Any

import keras

from .sparse_cell import SparseCell, multiplied

Tensor = Any


@keras.saving.register_keras_serializable("keras_sparse")
class SparseSimpleRNNCell(SparseCell, keras.layers.SimpleRNNCell):
    """keras.layers.SimpleRNNCell with kernels that store only their connections.

    For `keras.layers.RNN`, also in a list of cells that are stacked. `ks.SparseSimpleRNN` computes the same, faster: it
    reads the connections once for all time steps.

    Args:
        units: number of units.
        **kwargs: see `ks.SparseSimpleRNN`; without those that say what the layer does with a sequence.

    Attributes:
        kernel: from inputs to units, `SparseKernel` of shape (n_in, units).
        recurrent_kernel: from units to units, (units, units).

    Raises:
        ValueError: see `ks.SparseSimpleRNN`.

    Example:
        >>> import keras, keras_sparse as ks
        >>> keras.layers.RNN(ks.SparseSimpleRNNCell(16, density=0.2))(keras.ops.ones((2, 5, 8))).shape
        TensorShape([2, 16])
    """

    gates = 1
    sequence_cell = "simple"

    def call(self, sequence: Tensor, states: Any, training: bool = False) -> tuple[Tensor, Any]:
        """Return (output [batch, units], state) after a step from `states`; the state is the output."""
        nested = isinstance(states, list | tuple)
        h = states[0] if nested else states
        by = self._factors or self._read()
        x = multiplied(by.kernel, sequence, self._input_mask(sequence, training), self.units, by.bias)
        h = self.activation(x + multiplied(by.recurrent, h, self._state_mask(h, training), self.units))
        return h, [h] if nested else h
