"""`SparseGRU`: keras.layers.GRU with kernels that store only their connections."""

from __future__ import annotations

import keras

from .sparse_gru_cell import SparseGRUCell
from .sparse_rnn import SparseRNN


@keras.saving.register_keras_serializable("keras_sparse")
class SparseGRU(SparseRNN):
    """Gated Recurrent Unit (Cho et al. 2014) with sparse kernels.

    It computes what `keras.layers.GRU` computes with `kernel.to_dense()` and `recurrent_kernel.to_dense()`. The gates
    z, r, h stand side by side in each kernel.

    On the native path a whole sequence is one operation where the activations and `reset_after` are Keras' defaults
    and no state is dropped. It has no second derivatives (`unroll=True` has). All else goes step by step.

    Args:
        units: number of units, a positive integer.
        reset_after: whether the reset gate acts after the product with the recurrent kernel, as in Keras; before it
            (False) takes a second product. Default True.
        **kwargs: all other arguments of `ks.SparseLSTM`, except `unit_forget_bias`.

    Attributes:
        kernel: `SparseKernel` of shape (n_in, 3 · units), once the layer is built.
        recurrent_kernel: (units, 3 · units).

    Call arguments:
        sequences: [batch, time, n_in].
        initial_state: [batch, units], zeros by default.
        mask: [batch, time], False for steps to skip.
        training: whether dropout acts.

    Output shape:
        (batch, units), or (batch, time, units) with `return_sequences`; with `return_state` a list of it and the state.

    Raises:
        ValueError: see `ks.SparseLSTM`.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.SparseGRU(32, density=0.1, return_sequences=True, seed=1)
        >>> layer(keras.ops.ones((2, 7, 10))).shape, layer.recurrent_kernel.shape
        (TensorShape([2, 7, 32]), (32, 96))
    """

    cell_class = SparseGRUCell
