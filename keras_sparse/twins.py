"""Which sparse layer takes the place of which dense one, and how weights get from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import keras
import numpy as np

from .kernel import SparseKernel
from .layers.sparse_attention import SparseGroupQueryAttention, SparseMultiHeadAttention
from .layers.sparse_conv1d import SparseConv1D
from .layers.sparse_conv2d import SparseConv2D
from .layers.sparse_dense import DENSE_ONLY, SparseDense
from .layers.sparse_einsum_dense import SparseEinsumDense
from .layers.sparse_gru import SparseGRU
from .layers.sparse_gru_cell import SparseGRUCell
from .layers.sparse_lstm import SparseLSTM
from .layers.sparse_lstm_cell import SparseLSTMCell
from .layers.sparse_simple_rnn import SparseSimpleRNN
from .layers.sparse_simple_rnn_cell import SparseSimpleRNNCell
from .topology.connectivity import Connectivity

TWINS: dict[type, type] = {
    keras.layers.Dense: SparseDense,
    keras.layers.EinsumDense: SparseEinsumDense,
    keras.layers.MultiHeadAttention: SparseMultiHeadAttention,
    keras.layers.GroupQueryAttention: SparseGroupQueryAttention,
    keras.layers.Conv1D: SparseConv1D,
    keras.layers.Conv2D: SparseConv2D,
    keras.layers.LSTM: SparseLSTM,
    keras.layers.LSTMCell: SparseLSTMCell,
    keras.layers.GRU: SparseGRU,
    keras.layers.GRUCell: SparseGRUCell,
    keras.layers.SimpleRNN: SparseSimpleRNN,
    keras.layers.SimpleRNNCell: SparseSimpleRNNCell,
}
# What Keras calls these classes in configurations; not always as they call themselves.
NAMES = {name: kind for name, kind in vars(keras.layers).items() if isinstance(kind, type) and kind in TWINS}


def why_dense(layer: keras.layers.Layer) -> str:
    """Return why a layer with weights has no sparse twin, or nothing if it has one."""
    kind = type(layer)
    if kind in TWINS:
        if getattr(layer, "lora_enabled", False):
            return "it has LoRA weights"
        if getattr(layer, "quantization_mode", None):
            return "it is quantized"
        return ""
    if any(isinstance(value, SparseKernel) for value in vars(layer).values()):
        return "it is sparse already"
    base = next((dense for dense in TWINS if issubclass(kind, dense)), None)
    if base is not None:
        return f"a subclass of {base.__name__} may compute something else"
    if isinstance(layer, keras.layers.Embedding):
        return "its table is looked up, not multiplied"
    matrices = [v for v in layer._trainable_variables if len(v.shape) > 1]
    return "there is no sparse twin of this class" if matrices else "it has no kernel"


def twin_config(config: Mapping[str, Any], dense: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the serialized twin of a serialized dense layer.

    Args:
        config: the dense layer's, as `keras.saving.serialize_keras_object` returns it.
        dense: its class.
        arguments: of the sparse layer, beside those that both have.

    Raises:
        ValueError: when the sparse layer cannot have the dense one's arguments.
    """
    own = {key: value for key, value in config["config"].items() if key not in DENSE_ONLY}
    if "Orthogonal" in str(own.get("recurrent_initializer")):  # Keras' default, which needs the whole matrix
        del own["recurrent_initializer"]
    sparse = TWINS[dense]
    try:
        layer = cast(Any, sparse).from_config({**own, **arguments})
    except TypeError as error:
        raise ValueError(f"{sparse.__name__}: {error}") from None
    made: Any = keras.saving.serialize_keras_object(layer)
    return {**config, **{key: made[key] for key in ("module", "class_name", "config", "registered_name")}}


def copy_weights(dense: keras.layers.Layer, sparse: keras.layers.Layer) -> None:
    """Let a built sparse layer start from its dense twin: each kernel's largest weights, and the other weights."""
    kernels = {
        name: value
        for name, value in vars(sparse).items()
        if isinstance(value, SparseKernel) and value.owner is sparse  # a recurrent layer shows those of its cell
    }
    ours = {id(v) for kernel in kernels.values() for v in (kernel.values, *kernel.index_variables)}
    theirs = {id(getattr(dense, name)) for name in kernels}
    for name, kernel in kernels.items():
        matrix = np.asarray(keras.ops.convert_to_numpy(getattr(dense, name))).reshape(kernel.shape)
        kernel.assign(*largest(matrix, len(kernel)))
    targets = [v for v in _own(sparse) if id(v) not in ours]
    for target, source in zip(targets, [v for v in _own(dense) if id(v) not in theirs], strict=True):
        target.assign(keras.ops.reshape(source, target.shape))


def _own(layer: keras.layers.Layer) -> list[Any]:
    """Return the variables that belong to a layer itself, not to its parts."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def largest(matrix: Any, count: int) -> tuple[Connectivity, Any]:
    """Return the connections of the `count` largest magnitudes of a matrix, and their weights."""
    flat = np.ascontiguousarray(matrix).ravel()
    places = np.sort(np.argpartition(np.abs(flat), len(flat) - count)[len(flat) - count :])
    connectivity = Connectivity(places // matrix.shape[1], places % matrix.shape[1], shape=matrix.shape)
    return connectivity, flat[places]
