"""`SparseLSTMCell`: one step of a sparse LSTM."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from .sparse_cell import SparseCell, multiplied

Tensor = Any


@keras.saving.register_keras_serializable("keras_sparse")
class SparseLSTMCell(SparseCell, keras.layers.LSTMCell):
    """keras.layers.LSTMCell (Hochreiter & Schmidhuber 1997) with kernels that store only their connections.

    For `keras.layers.RNN`, also in a list of cells that are stacked. `ks.SparseLSTM` computes the same, faster: it
    reads the connections once for all time steps.

    Args:
        units: number of units.
        **kwargs: see `ks.SparseLSTM`; without those that say what the layer does with a sequence.

    Attributes:
        kernel: from inputs to gates, `SparseKernel` of shape (n_in, 4 · units); gates in the order i, f, c, o.
        recurrent_kernel: from units to gates, (units, 4 · units).

    Raises:
        ValueError: see `ks.SparseLSTM`.

    Example:
        >>> import keras, keras_sparse as ks
        >>> cells = [ks.SparseLSTMCell(32, density=0.2), ks.SparseLSTMCell(16, density=0.2)]
        >>> keras.layers.RNN(cells)(keras.ops.ones((2, 5, 8))).shape
        TensorShape([2, 16])
    """

    gates = 4
    sequence_cell = "lstm"

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Return (output [batch, units], [state, carry]) after a step from `states`, likewise."""
        h, c = states
        by = self._factors or self._read()
        x = multiplied(by.kernel, inputs, self._input_mask(inputs, training), self.units, by.bias)
        z = x + multiplied(by.recurrent, h, self._state_mask(h, training), self.units)
        i, f, candidate, o = self._split(z)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(candidate)
        h = self.recurrent_activation(o) * self.activation(c)
        return h, [h, c]

    def _first_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        if not self.unit_forget_bias:
            return super()._first_bias(shape, dtype)
        of_gate = (self.units,)
        first, rest = (self.bias_initializer(part, dtype=dtype) for part in (of_gate, (2 * self.units,)))
        return ops.concatenate([first, ops.ones(of_gate, dtype), rest])
