"""Initial values of connections: Keras' initializers, with the fans that each connection really has."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import initializers as ki
from numpy.typing import NDArray

from .topology.connectivity import Int64

Floats = NDArray[np.floating[Any]]
# Orthogonal and Identity fill a whole matrix; a list of connections is none.
_NEED_A_MATRIX = (ki.Orthogonal, ki.Identity, *((ki.STFT,) if hasattr(ki, "STFT") else ()))
# Standard deviation of a unit normal truncated at two sigma (also in Keras' VarianceScaling).
_TRUNCATED_STD = 0.87962566103423978


def check(initializer: Any, layer: str, *, instead: str = "he_normal") -> Any:
    """Return Keras' initializer object for `initializer`, or raise ValueError if it cannot fill connections.

    Args:
        initializer: as Keras' layers take it.
        layer: the layer's name, for the error.
        instead: what the error recommends.
    """
    initializer = keras.initializers.get(initializer)
    if isinstance(initializer, _NEED_A_MATRIX):
        raise ValueError(
            f"{layer}: {type(initializer).__name__} initializes a whole matrix, and a sparse kernel stores only its "
            f"connections. Use a variance-scaling initializer such as {instead!r}, or a constant or random one."
        )
    return initializer


def own_seed(initializer: Any) -> int:
    """Return the integer seed an initializer was made with; 0 without one."""
    seed = initializer.get_config().get("seed") if hasattr(initializer, "get_config") else None
    return seed if isinstance(seed, int) else 0


def draw(
    initializer: Any, inputs: Int64, outputs: Int64, in_degrees: Int64, out_degrees: Int64, rng: np.random.Generator
) -> Floats:
    """Return fresh values for the connections at (inputs, outputs), floats [n].

    Variance-scaling initializers (Glorot, He, LeCun) use, per connection, the in-degree of its output as fan-in and
    the out-degree of its input as fan-out, so that activations keep their scale at any density.

    Args:
        initializer: a Keras initializer that `check` accepted.
        inputs: input unit of each connection, [n].
        outputs: output unit of each connection, [n].
        in_degrees: connections into every output unit, [n_out].
        out_degrees: connections out of every input unit, [n_in].
        rng: source of the draw.

    Raises:
        ValueError: when the initializer returns a wrong shape.
    """
    count = len(inputs)
    if isinstance(initializer, ki.VarianceScaling):
        std = _deviations(initializer, inputs, outputs, in_degrees, out_degrees)
        if initializer.distribution == "uniform":
            values = rng.random(count, np.float32)
            values -= 0.5
            values *= std
            values *= np.float32(np.sqrt(12.0))
            return values
        if initializer.distribution == "untruncated_normal":
            return std * rng.standard_normal(count)
        return std / _TRUNCATED_STD * _truncated(rng, count)
    if isinstance(initializer, ki.TruncatedNormal):
        return initializer.mean + initializer.stddev * _truncated(rng, count)
    if isinstance(initializer, ki.RandomNormal):
        return initializer.mean + initializer.stddev * rng.standard_normal(count)
    if isinstance(initializer, ki.RandomUniform):
        return rng.uniform(initializer.minval, initializer.maxval, count)
    return _call(initializer, count, rng)


def _deviations(initializer: Any, inputs: Int64, outputs: Int64, in_degrees: Int64, out_degrees: Int64) -> Floats:
    """Return the standard deviation of variance scaling, per connection: float32 is enough for a random draw."""
    if initializer.mode == "fan_in":
        fan = in_degrees.astype(np.float32).take(outputs)
    elif initializer.mode == "fan_out":
        fan = out_degrees.astype(np.float32).take(inputs)
    else:
        fan = (in_degrees / 2).astype(np.float32).take(outputs)
        fan += (out_degrees / 2).astype(np.float32).take(inputs)
    np.maximum(fan, 1.0, out=fan)
    np.divide(np.float32(initializer.scale), fan, out=fan)
    return np.sqrt(fan, out=fan)


def _truncated(rng: np.random.Generator, count: int) -> Floats:
    values = rng.standard_normal(count)
    while (outside := np.flatnonzero(np.abs(values) > 2.0)).size:
        values[outside] = rng.standard_normal(outside.size)
    return values


def _call(initializer: Any, count: int, rng: np.random.Generator) -> Floats:
    """Ask the initializer itself for a vector; a seeded one gets a fresh seed, or newcomers would repeat."""
    if hasattr(initializer, "get_config") and "seed" in initializer.get_config():
        initializer = type(initializer).from_config({**initializer.get_config(), "seed": int(rng.integers(2**31))})
    values = np.asarray(keras.ops.convert_to_numpy(initializer((count,), dtype="float32")), np.float64)
    if values.shape != (count,):
        raise ValueError(
            f"The kernel initializer must return one value per connection, shape ({count},); got {values.shape}. "
            "A sparse kernel has no matrix to initialize."
        )
    return values
