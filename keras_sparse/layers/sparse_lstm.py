"""`SparseLSTM`: keras.layers.LSTM with kernels that store only their connections."""

from __future__ import annotations

import keras

from .sparse_lstm_cell import SparseLSTMCell
from .sparse_rnn import SparseRNN


@keras.saving.register_keras_serializable("keras_sparse")
class SparseLSTM(SparseRNN):
    """Long Short-Term Memory (Hochreiter & Schmidhuber 1997) with sparse kernels.

    It computes what `keras.layers.LSTM` computes with `kernel.to_dense()` and `recurrent_kernel.to_dense()`, and takes
    its arguments, but for `use_cudnn`. The gates i, f, c, o stand side by side in each kernel. `ks.Rewire` moves
    connections within a kernel, from one gate to another too, as in Selfish-RNN (Liu et al. 2021, section 3: the
    smallest weights of all gates together go, as many grow anywhere; `ks.PruneRegrow(0.3)` or `ks.SET()`).

    On the native path a whole sequence is one operation where the activations are Keras' defaults and no state is
    dropped. It has no second derivatives (`unroll=True` has). All else goes step by step.

    Args:
        units: number of units, a positive integer.
        density: fraction of the n_in · 4 units positions of the kernel that hold a connection, in (0, 1], or a rule
            such as `ks.ErdosRenyi(epsilon=20)`. Default: what the pattern says, else 0.1.
        recurrent_density: likewise of the units · 4 units positions of the recurrent kernel; default `density`.
        pattern: where connections of the kernel start; default `ks.Random()`.
        recurrent_pattern: likewise of the recurrent kernel; default `ks.Random()`.
        capacity: number of connections there is room for in the kernel; default as many as there are at first.
        recurrent_capacity: likewise in the recurrent kernel.
        compute: as in `ks.SparseDense`; default "auto".
        keep_gates: whether every gate keeps its number of connections through rewiring: policies see each gate as a
            kernel of its own then. Default False: gates trade connections.
        activation: default "tanh".
        recurrent_activation: of the gates i, f, o; default "sigmoid".
        use_bias: default True.
        kernel_initializer: see `ks.SparseDense`; default "glorot_uniform".
        recurrent_initializer: likewise; default "lecun_normal": variance 1 / in-degree, so that the weights into a unit
            of a gate have norm 1 on average. Those of Keras' default have too, but "orthogonal" needs a whole matrix.
        bias_initializer: default "zeros".
        unit_forget_bias: whether the bias of the forget gate starts at 1; default True.
        kernel_regularizer: sees the vector of values, like all regularizers and constraints of the kernels.
        recurrent_regularizer: likewise.
        bias_regularizer: as in Keras.
        activity_regularizer: as in Keras.
        kernel_constraint: see `ks.SparseDense`.
        recurrent_constraint: likewise.
        bias_constraint: as in Keras.
        dropout: fraction of the inputs dropped, the same ones at every step; default 0.
        recurrent_dropout: likewise of the state. It has a mask of its own for every gate, as in Keras, which takes a
            product for each. Default 0.
        seed: of connections, initial values and dropout; default drawn from Keras' global seed.
        return_sequences: whether to return the outputs of all steps, not of the last one; default False.
        return_state: whether to return the last state as well; default False.
        go_backwards: whether to go through time backwards; default False.
        stateful: whether a batch begins with the last state of the one before; default False.
        unroll: whether to write the steps out one by one, for short sequences; default False.
        zero_output_for_mask: whether outputs of masked steps are zero, not those of the step before; default False.
        **kwargs: `name`, `dtype` (also a policy such as "mixed_float16"), `trainable`.

    Attributes:
        kernel: `SparseKernel` of shape (n_in, 4 · units), once the layer is built.
        recurrent_kernel: (units, 4 · units).

    Call arguments:
        sequences: [batch, time, n_in].
        initial_state: list of [batch, units] (state) and [batch, units] (carry); zeros by default.
        mask: [batch, time], False for steps to skip.
        training: whether dropout acts.

    Output shape:
        (batch, units), or (batch, time, units) with `return_sequences`; with `return_state` a list of it and both
        states.

    Raises:
        ValueError: for densities, patterns, capacities, initializers, regularizers or constraints that `ks.SparseDense`
            refuses too, and `keep_gates` with a pattern that is kept through rewiring.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.SparseLSTM(32, density=0.1, recurrent_density=0.05, seed=1)
        >>> layer(keras.ops.ones((2, 7, 10))).shape, len(layer.kernel), len(layer.recurrent_kernel)
        (TensorShape([2, 32]), 128, 205)
    """

    cell_class = SparseLSTMCell
