"""Finding the sparse kernels of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from .kernel import SparseKernel


class Junction(NamedTuple):
    """A kernel in its model.

    Attributes:
        number: place among all sparse kernels of the model; keys their random numbers.
        name: of the layer; with the kernel's own name behind a slash where a layer has several.
        layer: that owns the kernel.
        kernel: the kernel.
    """

    number: int
    name: str
    layer: keras.layers.Layer
    kernel: SparseKernel


def layers(model: Any) -> Iterator[keras.layers.Layer]:
    """Yield every layer of `model`, nested and wrapped ones too, each once, in the order of the network."""
    # `_flatten_layers` of Keras turns the layers of nested models around.
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        layer = waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            waiting += reversed(layer._layers)


def junctions(model: Any) -> list[Junction]:
    """Return the sparse kernels of `model`, each once: a recurrent layer comes before its cell."""
    found: list[Junction] = []
    seen: set[int] = set()
    for layer in layers(model):
        own = kernels(layer)
        for kernel in own:
            if id(kernel) not in seen:
                seen.add(id(kernel))
                name = layer.name if len(own) == 1 else f"{layer.name}/{kernel.name}"
                found.append(Junction(len(found), name, layer, kernel))
    return found


def kernels(layer: keras.layers.Layer) -> list[SparseKernel]:
    """Return the sparse kernels that are attributes of `layer`."""
    return [value for value in vars(layer).values() if isinstance(value, SparseKernel)]


def select(model: Any, chosen: Any) -> list[Junction]:
    """Return the kernels of the layers in `chosen` (layers or their names); all for None.

    Raises:
        ValueError: when a chosen layer has no sparse kernel, or the model has none at all.
    """
    found = junctions(model)
    if not found:
        raise ValueError(
            "The model has no sparse kernel to rewire: use layers such as ks.SparseDense, and build the model before "
            "attaching (fit does both)."
        )
    if chosen is None:
        return found
    picked = []
    for layer in chosen:
        matching = [j for j in found if layer in (j.layer.name, j.name) or j.layer is layer]
        if not matching:
            names = ", ".join(sorted({j.layer.name for j in found}))
            raise ValueError(f"`layers` names {layer!r}, which has no sparse kernel in this model. It has: {names}.")
        picked += [j for j in matching if j not in picked]
    return sorted(picked)
