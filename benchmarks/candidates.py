"""The layers that are compared, and their steps as compiled functions. The CPU only: a GPU is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common  # first: it sets the number of threads
import keras
import numpy as np
import tensorflow as tf

import keras_sparse as ks

tf.config.set_visible_devices([], "GPU")

Tensor = Any
LOOP_SECONDS, MOST_TURNS = 0.05, 50  # of a loop
PATHS = ("native", "stock", "dense", "auto")
"""Values of `SparseDense(compute=...)` that are compared; "Dense" and "masked" are the other two candidates."""


@keras.saving.register_keras_serializable("keras_sparse_benchmarks")
class MaskedDense(keras.layers.Dense):
    """The field's habit: a dense kernel multiplied by a mask of zeros and ones in every step."""

    def __init__(self, units: int, *, density: float = 0.1, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.density = density

    def build(self, input_shape: Any) -> None:
        """Create the kernel, the bias and the mask."""
        super().build(input_shape)
        shape = (input_shape[-1], self.units)
        mask = np.random.default_rng(0).random(shape, np.float32) < self.density
        self.mask = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mask")
        self.mask.assign(mask.astype("float32"))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return `activation(inputs @ (kernel * mask) + bias)`."""
        del training
        outputs = keras.ops.matmul(inputs, keras.ops.multiply(self.kernel, self.mask))
        if self.bias is not None:
            outputs = keras.ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


class Missing:
    """Which candidates could not be built, and why; says so once per reason."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, name: str, reason: object) -> None:
        """Remember the first reason of a candidate."""
        self._reasons.setdefault(name, str(reason))

    def report(self) -> dict[str, str]:
        """Print and return the reasons."""
        for name, reason in self._reasons.items():
            print(f"blank {name}: {reason}")
        return dict(self._reasons)


def make(name: str, units: int, density: float, **options: Any) -> keras.layers.Layer:
    """Return the layer of a candidate.

    Raises:
        ValueError: when this version, or this shape, does not have the compute path.
    """
    if name == "Dense":
        return keras.layers.Dense(units, **options)
    if name == "masked":
        return MaskedDense(units, density=density, **options)
    return ks.SparseDense(units, density=density, compute=name, seed=0, **options)


def built(name: str, shape: tuple[int, int], density: float, missing: Missing) -> keras.Sequential | None:
    """Return a model of one junction without bias, or None if it cannot be had."""
    try:
        layer = make(name, shape[1], density, use_bias=False)
        return keras.Sequential([keras.Input((shape[0],)), layer])
    except ValueError as error:
        missing.add(name, error)
        return None


def path(model: keras.Model) -> str:
    """Return the compute path of the first sparse junction of a model."""
    paths = (junction.compute for junction in ks.inspect(model).junctions)
    return next((name for name in paths if name != "keras"), "keras")


def timed(function: Callable[..., Any], *inputs: Tensor, turns: int | None = None) -> common.Burst:
    """Return the burst of a function of tensors, compiled.

    Args:
        function: returns a tensor, or several.
        *inputs: what it is called with.
        turns: None to time single calls from Python; else it runs so often inside one compiled loop, where Python
            takes no part, and the time is that of one turn.
    """
    if turns is None:
        compiled = tf.function(function)
        return common.calls(lambda: compiled(*inputs))

    @tf.function
    def loop(*inputs: Tensor) -> Any:
        def body(number: Any, *results: Tensor) -> Any:
            del results  # those of the last turn are the loop's, so that none can be left out
            return number + 1, *tf.nest.flatten(function(*inputs))

        start = [tf.zeros_like(result) for result in tf.nest.flatten(function(*inputs))]
        return tf.while_loop(lambda number, *_: number < turns, body, (0, *start), parallel_iterations=1)[1:]

    return common.calls(lambda: loop(*inputs), turns)


def trained(product: Callable[[Tensor], Tensor], weights: list[Tensor], *, inputs: bool = True) -> Callable[..., Any]:
    """Return a step of training as a function of the inputs and of the gradient of the output.

    It returns the output, which TensorFlow would leave out where no gradient needs it, and the gradients of the weights
    and, if `inputs`, of the inputs. In training the gradient of the output comes from the output. Here it is given, and
    has to wait for it: else TensorFlow would begin with the forward and the backward at once, as no training can.
    """

    def step(x: Tensor, dy: Tensor) -> Any:
        with tf.GradientTape() as tape:
            if inputs:
                tape.watch(x)
            y = product(x)
        with tf.control_dependencies([y]):
            dy = tf.identity(dy)
        return y, tape.gradient(y, [*weights, x] if inputs else weights, dy)

    return step


def repeated(function: Callable[..., Any], *inputs: Tensor, how: str) -> common.Burst:
    """Return the burst of a compiled function: a "call", or a turn of a "loop" of a reasonable length."""
    once = timed(function, *inputs)
    if how == "call":
        return once
    once(1)  # traces
    return timed(function, *inputs, turns=max(2, min(MOST_TURNS, round(LOOP_SECONDS / once(1)[0]))))


def training(model: keras.Model, batch: int, how: str) -> common.Burst:
    """Return the burst of forward and both gradients of a junction, from and to TensorFlow's row-major tensors."""
    step = trained(model.layers[-1], [v.value for v in model.trainable_variables])
    return repeated(step, *_tensors(batch, model.input_shape[-1], model.output_shape[-1]), how=how)


def kernel_step(layer: ks.SparseDense, batch: int, *, inputs: bool) -> common.Burst:
    """Return the burst of what a sparse layer's kernel does in a training step: no bias, no activation.

    Args:
        layer: a built layer.
        batch: number of samples.
        inputs: whether the gradient of the inputs is wanted, which the first layer of a network does not need.
    """
    step = trained(layer.kernel.matmul, [layer.kernel.values.value], inputs=inputs)
    return timed(step, *_tensors(batch, *layer.kernel.shape))


def _tensors(batch: int, n_in: int, n_out: int) -> tuple[Tensor, Tensor]:
    return tf.random.normal([batch, n_in]), tf.random.normal([batch, n_out])
