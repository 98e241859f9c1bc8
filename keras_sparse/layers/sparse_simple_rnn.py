"""`SparseSimpleRNN`: keras.layers.SimpleRNN with kernels that store only their connections."""

from __future__ import annotations

import keras

from .sparse_rnn import SparseRNN
from .sparse_simple_rnn_cell import SparseSimpleRNNCell


@keras.saving.register_keras_serializable("keras_sparse")
class SparseSimpleRNN(SparseRNN):
    """A recurrent network without gates (Elman 1990), `activation(x W + h U + b)`, with sparse kernels.

    It computes what `keras.layers.SimpleRNN` computes with `kernel.to_dense()` and `recurrent_kernel.to_dense()`.

    On the native path a whole sequence is one operation where the activation is Keras' default and no state is
    dropped. It has no second derivatives (`unroll=True` has). All else goes step by step.

    Args:
        units: number of units, a positive integer.
        **kwargs: all other arguments of `ks.SparseLSTM`, except `unit_forget_bias`, `recurrent_activation` and
            `keep_gates`.

    Attributes:
        kernel: `SparseKernel` of shape (n_in, units), once the layer is built.
        recurrent_kernel: (units, units).

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
        >>> layer = ks.SparseSimpleRNN(32, density=0.1, seed=1)
        >>> layer(keras.ops.ones((2, 7, 10))).shape, layer.recurrent_kernel.shape
        (TensorShape([2, 32]), (32, 32))
    """

    cell_class = SparseSimpleRNNCell
