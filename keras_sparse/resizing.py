"""`resize`: a model built anew, with more or less room for connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import keras
import numpy as np

from .compute import host
from .junctions import Junction, junctions, layers
from .rebuilding import compile_config, rebuilt
from .rewiring import optimizer_state


def resize(model: keras.Model, capacity: str | int | Mapping[str, int] = "fit") -> keras.Model:
    """Return a copy of `model` whose sparse kernels have another capacity; it computes the same.

    To the last bit, unless the capacity changes the storage order or the compute path, and with it the rounding.

    A kernel keeps the memory it was made with, in its values and in every optimizer slot, also when a policy has
    shrunk it. The copy gives that back, or makes room to grow. Weights, topology, random numbers and the optimizer's
    state are carried along; `model` itself stays as it is.

    Args:
        model: a built Functional or Sequential model, nested or not. Shared layers stay shared. Compiled models come
            back compiled.
        capacity: "fit" (default) for the connections that exist; a number of connections for every kernel; or a dict
            of such numbers by junction name, as `ks.inspect` shows them, where junctions not named keep theirs.

    Returns:
        A new model of the same class.

    Raises:
        ValueError: for a model that is not built or has no sparse kernel; an unknown junction; a capacity below the
            number of connections or above the number of positions; a layer that is not made from the model's
            configuration but by code of its own.

    Example:
        >>> import keras, keras_sparse as ks
        >>> model = keras.Sequential([keras.Input((64,)), ks.SparseDense(32, density=0.1, capacity=1000)])
        >>> ks.resize(model).layers[0].kernel.capacity
        205
    """
    if not model.built:
        raise ValueError(f"{model.name} is not built, so it has no kernels: call it once, or give it an Input.")
    found = junctions(model)
    if not found:
        raise ValueError(f"{model.name} has no sparse kernel to resize: use layers such as ks.SparseDense.")
    wanted = _wanted(found, capacity)
    with _announced(found, wanted):
        copy = rebuilt(model)
    twins = _twins(model, copy, found, wanted)
    ours = {id(v) for j in found for v in (j.kernel.values, *j.kernel.index_variables)}
    _copy_variables(model.variables, copy.variables, ours)
    for old, new in zip(found, twins, strict=True):
        new.kernel.copy(old.kernel)
        # The build configuration has it: a layer made from `get_config` alone starts anew.
        owner, argument = new.kernel.owner, new.kernel.name.removesuffix("kernel") + "capacity"
        if getattr(owner, argument, None) is not None:
            setattr(owner, argument, None)
    if getattr(model, "compiled", False):
        _compile(model, copy, found, twins)
    return copy


def _wanted(found: list[Junction], capacity: Any) -> list[int]:
    """Return the new capacity of each junction, checked."""
    names = [junction.name for junction in found]
    if isinstance(capacity, Mapping):
        unknown = [name for name in capacity if name not in names]
        if unknown:
            raise ValueError(f"`capacity` names {unknown[0]!r}, which is no junction. There are: {', '.join(names)}.")
        wanted = [capacity.get(junction.name, junction.kernel.capacity) for junction in found]
    elif isinstance(capacity, str):
        if capacity != "fit":
            raise ValueError(f'`capacity` must be "fit", a number or a dict of numbers by junction; got {capacity!r}.')
        wanted = [max(1, len(junction.kernel)) for junction in found]
    else:
        wanted = [capacity] * len(found)
    for junction, count in zip(found, wanted, strict=True):
        least, most = max(1, len(junction.kernel)), prod(junction.kernel.shape)
        if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
            raise ValueError(
                f"{junction.name}: `capacity` must be an integer between its number of connections, {least}, and its "
                f"{most} positions; got {count!r}."
            )
    return wanted


@contextmanager
def _announced(found: list[Junction], wanted: list[int]) -> Iterator[None]:
    """Let the layers tell the new capacities when they are asked for their configuration."""
    for junction, count in zip(found, wanted, strict=True):
        junction.kernel.next_capacity = count
    try:
        yield
    finally:
        for junction in found:
            junction.kernel.next_capacity = None


def _twins(model: keras.Model, copy: keras.Model, found: list[Junction], wanted: list[int]) -> list[Junction]:
    """Return the junctions of `copy`, one for each of `model`, checked."""
    twins = junctions(copy)
    same = [layer.name for layer in layers(model)] == [layer.name for layer in layers(copy)]
    for old, new, count in zip(found, twins if same else found, wanted, strict=True):
        if not same or new.kernel.capacity != count:
            raise ValueError(
                f"{old.name}: its capacity cannot be changed, since the configuration of {model.name} does not "
                "describe the layer: code of the model makes it. Use a Functional or Sequential model, or give the "
                "layer its `capacity` in that code."
            )
    return twins


def _copy_variables(old: list[Any], new: list[Any], skipped: set[int]) -> None:
    for source, target in zip(old, new, strict=True):
        if id(source) not in skipped:
            # A copy: JAX would share the memory, and free it when one of the models trains.
            target.assign(np.array(keras.ops.convert_to_numpy(source)))


def _compile(model: keras.Model, copy: keras.Model, found: list[Junction], twins: list[Junction]) -> None:
    """Compile `copy` as `model` is, and carry the optimizer's state along."""
    copy.compile(**keras.saving.deserialize_keras_object(compile_config(model)))
    optimizer: Any = model.optimizer
    if not optimizer.built:
        return
    # Not `copy.trainable_variables`: layers may have been frozen since the optimizer was built.
    counterpart = dict(zip(map(id, model.variables), copy.variables, strict=True))
    copy.optimizer.build([counterpart[id(variable)] for variable in optimizer._trainable_variables])
    done = set()
    for old, new in zip(found, twins, strict=True):
        order = new.kernel.layout.order(old.kernel.connectivity)
        pairs = zip(
            optimizer_state.slots(optimizer, old.kernel.values),
            optimizer_state.slots(copy.optimizer, new.kernel.values),
            strict=True,
        )
        for source, target in pairs:
            state = host.view(source.variable).array
            entries = np.full(new.kernel.capacity, source.initial or 0.0, state.dtype)
            live = state[: len(old.kernel)]
            entries[: len(live)] = live if order is None else live[order]
            host.write(target.variable, entries)
            done.add(id(source.variable))
    _copy_variables(optimizer.variables, copy.optimizer.variables, done)
