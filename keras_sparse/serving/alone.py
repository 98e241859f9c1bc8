"""A function as a Keras model, so that every exporter takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from .endpoints import Endpoint

Tensor = Any


class Alone(keras.Model):
    """A built model without weights of its own.

    Args:
        function: takes the model's inputs.
    """

    def __init__(self, function: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self._function = function
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        """Return the function's value."""
        return self._function(inputs)

    def build(self, input_shape: Any) -> None:
        """Nothing is to be made."""


def fixed(endpoint: Endpoint, *, batch: int = 1, other: int | None = None) -> Endpoint:
    """Return the endpoint for a fixed batch size, and other unknown lengths set to `other` if it is given."""
    return endpoint._replace(specs=_fixed(endpoint.specs, batch, other))


def sample(endpoint: Endpoint, batch: int, length: int = 16) -> Any:
    """Return inputs of an endpoint: normal numbers, zeros for integers, and empty text.

    Args:
        endpoint: that takes them.
        batch: number of samples.
        length: of dimensions that are unknown.
    """
    rng = np.random.default_rng(0)

    def drawn(spec: Any) -> Any:
        if isinstance(spec, dict):
            return {name: drawn(part) for name, part in spec.items()}
        if isinstance(spec, list):
            return [drawn(part) for part in spec]
        shape = (batch, *(length if n is None else n for n in spec.shape[1:]))
        if spec.dtype == "string":
            return np.full(shape, "", object)
        return (rng.normal(size=shape) if "float" in spec.dtype else np.zeros(shape)).astype(_numpy(spec.dtype))

    return drawn(endpoint.specs)


def by_name(endpoint: Endpoint, inputs: Any) -> dict[str, Any]:
    """Return inputs of the structure of an endpoint by the names they are asked with.

    Raises:
        ValueError: they have another structure, or other shapes.
    """
    if isinstance(endpoint.specs, dict) and isinstance(inputs, dict):
        missing = set(endpoint.specs) - set(inputs)
        if missing:
            raise ValueError(f"Examples lack the model's input {sorted(missing)[0]!r}.")
        pairs: list[tuple[Any, Any]] = [(spec, inputs[key]) for key, spec in endpoint.specs.items()]
    elif isinstance(endpoint.specs, list) and isinstance(inputs, list | tuple):
        pairs = list(zip(endpoint.specs, inputs, strict=True))
    else:
        pairs = [(endpoint.specs, inputs)]
    return {str(spec.name): _checked(spec, array) for spec, array in pairs}


def _checked(spec: Any, array: Any) -> Any:
    array = np.asarray(array)
    wanted = tuple(spec.shape[1:])
    if array.ndim != len(wanted) + 1 or any(n not in (None, m) for n, m in zip(wanted, array.shape[1:], strict=True)):
        raise ValueError(
            f"Examples for the input {spec.name!r} must have the shape (n, {', '.join(map(str, wanted))}); "
            f"got {array.shape}."
        )
    return array if spec.dtype == "string" else array.astype(_numpy(spec.dtype))


def _fixed(specs: Any, batch: int, other: int | None) -> Any:
    if isinstance(specs, dict):
        return {name: _fixed(spec, batch, other) for name, spec in specs.items()}
    if isinstance(specs, list):
        return [_fixed(spec, batch, other) for spec in specs]
    shape = (batch, *(other if n is None else n for n in specs.shape[1:]))
    return keras.layers.InputSpec(dtype=specs.dtype, shape=shape, name=specs.name)


def _numpy(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype
