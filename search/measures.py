"""What a network costs: connections, bytes, floating-point operations, seconds.

- "connections": of all junctions, dense layers counted fully.
- "bytes": of weights and indices, as a file or a server holds them; `ks.inspect(model).bytes`. The description of the
  layers in a `.keras` file, some kilobytes whatever the network, is not counted.
- "flops": of one sample, two (a multiplication and an addition) for every connection each time it is used.
- "latency": seconds for one sample, the median of single calls of the compiled network on this machine.
- "train-time": seconds per epoch of training with its rewiring, without validation; the median of the epochs, but for
  the first, which compiles.

The first three are the same on any machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection
from math import prod
from typing import Any, Final

import keras
import numpy as np

import keras_sparse as ks
from keras_sparse.compute.compiled import compiled
from keras_sparse.junctions import kernels, layers

NAMES: Final = ("connections", "bytes", "flops", "latency", "train-time")
"""Every measure."""
STATIC: Final = ("connections", "bytes", "flops")
"""Measures that are read off a network; they need no clock and are part of every record."""

_WARM_UP = 10
_FEWEST_CALLS, _MOST_CALLS = 30, 1000
_SECONDS = 0.4


def check_names(names: Collection[str]) -> None:
    """Raises a ValueError that lists the measures if one of `names` is none."""
    for name in names:
        if name not in NAMES:
            raise ValueError(f"There is no measure {name!r}; there are {', '.join(NAMES)}.")


def static(model: keras.Model) -> dict[str, float]:
    """Connections, bytes and FLOPs of a built model."""
    size = ks.inspect(model)
    return {"connections": size.connections, "bytes": size.bytes, "flops": flops(model)}


def flops(model: keras.Model) -> int:
    """Floating-point operations of weights for one sample: 2 · Σ connections · uses.

    A weight is used once per sample in a dense layer (once per position of a sequence or a picture that it is applied
    to), once per output position in a convolution (input position in a transposed one), once per step in a recurrent
    layer, and as often as its equation says in an EinsumDense. Any other layer's counts once; so does one whose input
    has no fixed length. Biases, activations and products without weights, as of attention scores, are left out.

    Args:
        model: A built model.
    """
    return int(2 * sum(_uses_of(model)))


def _uses_of(model: keras.Model) -> list[int]:
    """Connections × uses of each layer."""
    steps: dict[int, int] = {}
    found = []
    seen: set[int] = set()
    for layer in layers(model):  # those that contain others come first
        times = steps.get(id(layer), 1) * _uses(layer)
        part = _repeated(layer)
        if part is not None:
            steps |= {id(inner): times for inner in layers(part)}
        for weights, count in _weights(layer):
            if weights not in seen:
                seen.add(weights)
                found.append(count * times)
    return found


def _weights(layer: keras.layers.Layer) -> list[tuple[int, int]]:
    """(identity, connections) of every weight matrix a layer owns, as `ks.inspect` counts them."""
    own = [(id(kernel.values), len(kernel)) for kernel in kernels(layer)]
    dense = [v for v in [*layer._trainable_variables, *layer._non_trainable_variables] if len(v.shape) > 1]
    return own + [(id(v), prod(v.shape)) for v in dense if "kernel" in v.name]


def _repeated(layer: Any) -> Any:
    """The layer that `layer` applies at every step, if there is one."""
    if isinstance(layer, keras.layers.RNN):
        return layer.cell
    return layer.layer if isinstance(layer, keras.layers.TimeDistributed) else None


def _uses(layer: Any) -> int:
    """How often one sample uses a weight of the layer."""
    shape = (layer.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, list | tuple) or not shape or isinstance(shape[0], list | tuple):
        return 1
    if isinstance(layer, keras.layers.RNN | keras.layers.TimeDistributed):
        return shape[1] or 1
    if isinstance(layer, ks.SparseEinsumDense | keras.layers.EinsumDense):
        return _equation_uses(layer, shape)
    if hasattr(layer, "kernel_size"):
        places = shape if "Transpose" in type(layer).__name__ else layer.compute_output_shape(shape)
        last = getattr(layer, "data_format", "channels_last") == "channels_last"
        return _product(places[1:-1] if last else places[2:])
    if isinstance(layer, keras.layers.Dense | ks.SparseDense):
        return _product(shape[1:-1])
    return 1


def _equation_uses(layer: Any, shape: Any) -> int:
    """Outputs per sample over those that one copy of the weights makes."""
    outputs = _product(layer.compute_output_shape(shape)[1:])
    if isinstance(layer, ks.SparseEinsumDense):
        return outputs // layer.units
    sizes: Any = layer.kernel.shape
    inputs, result = layer.equation.split("->")
    return outputs // prod(size for size, axis in zip(sizes, inputs.split(",")[1], strict=True) if axis in result)


def _product(sizes: Any) -> int:
    """The product of an output's sizes; one that is not fixed counts once."""
    return prod(size or 1 for size in sizes)


def latency(model: Any) -> float:
    """Seconds that the compiled network takes for one sample: the median of single calls.

    Ten calls warm up; then calls are timed for 0.4 seconds, at least 30 and at most 1000 of them. Other work on the
    machine disturbs it less than it would a mean.

    Args:
        model: A functional or sequential model; sizes of its inputs that are not fixed are taken as 1.

    Raises:
        ValueError: The model does not know its inputs (a subclassed one).
    """
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise ValueError(f"The latency of {model.name} needs inputs of a known shape: build it with keras.Input.")
    tensors = tensors[0] if len(tensors) == 1 else model._inputs_struct

    def sample(tensor: Any) -> Any:
        shape = [1, *(size or 1 for size in tensor.shape[1:])]
        return keras.ops.convert_to_tensor(np.zeros(shape, dtype=str(tensor.dtype)))

    inputs = keras.tree.map_structure(sample, tensors)
    call = compiled(lambda x: model(x, training=False))
    for _ in range(_WARM_UP):
        _wait(call(inputs))
    times: list[float] = []
    ends = time.perf_counter() + _SECONDS
    while len(times) < _FEWEST_CALLS or (len(times) < _MOST_CALLS and time.perf_counter() < ends):
        began = time.perf_counter()
        _wait(call(inputs))
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _wait(outputs: Any) -> None:
    """Returns when the outputs are there: devices work ahead."""
    for tensor in keras.tree.flatten(outputs):
        keras.ops.convert_to_numpy(tensor)


class EpochTimes(keras.callbacks.Callback):
    """Times the training part of every epoch. List it last: what the callbacks before it do belongs to an epoch.

    Attributes:
        seconds: One number per epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._began = self._ended = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        self._began, self._ended = time.perf_counter(), 0.0

    def on_test_begin(self, logs: Any = None) -> None:
        """Stops it: validation is no training."""
        self._ended = self._ended or time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes the epoch."""
        self.seconds.append((self._ended or time.perf_counter()) - self._began)
        self._began, self._ended = time.perf_counter(), 0.0

    def train_time(self) -> float:
        """The median of the epochs after the first; the first's own where there is no other."""
        return statistics.median(self.seconds[1:] or self.seconds)
