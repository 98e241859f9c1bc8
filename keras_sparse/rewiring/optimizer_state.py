"""The optimizer's state of a kernel's values: found, carried along a rewiring, reset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from ..compute import host
from .move import Move

if TYPE_CHECKING:
    from ..kernel import SparseKernel

_EMA = "_model_variables_moving_average"
_NO_SLOTS = ("_variables", "_trainable_variables")
# Of Adam and its kin, and of RMSprop; of Adamax, Adafactor, and Muon, which takes Adam for vectors.
_SECOND_MOMENTS = ("velocities", "velocity_hats", "u", "v", "adam_velocities")


class Slot(NamedTuple):
    """One optimizer variable that belongs, entry by entry, to a kernel's values.

    Attributes:
        name: of the optimizer's list it stands in, without the leading underscore.
        variable: [capacity].
        initial: its value at a new connection; None where that is the connection's own weight (EMA).
    """

    name: str
    variable: keras.Variable
    initial: float | None


def slots(optimizer: Any, values: keras.Variable) -> list[Slot]:
    """Return the slots of `values`; empty before the optimizer is built.

    Keras' optimizers keep one list per kind of slot, in the order of their variables: momentums, velocities,
    accumulators, accumulated gradients, moving averages. Every such list is found by its form, not by its name, so
    optimizers of other people work as well; dicts by the variable's path, too, such as those of Muon in Keras 3.12.
    """
    found = []
    for part in _parts(optimizer):
        variables = getattr(part, "_trainable_variables", [])
        place = next((i for i, variable in enumerate(variables) if variable is values), None)
        if place is None:
            continue
        for name, entries in vars(part).items():
            if name in _NO_SLOTS:
                continue
            if isinstance(entries, list) and len(entries) == len(variables):
                entry = entries[place]
            elif isinstance(entries, dict):
                entry = entries.get(values.path)
            else:
                continue
            if isinstance(entry, keras.Variable) and entry is not values and entry.shape == values.shape:
                found.append(Slot(name.lstrip("_"), entry, _initial(part, name)))
    return found


def touched(slot: Slot) -> bool:
    """Return whether a step has changed a slot; moving averages start at 0, too."""
    return bool(np.any(host.view(slot.variable).array != (slot.initial or 0.0)))


def _parts(optimizer: Any) -> Iterator[Any]:
    """Yield the optimizer and those it wraps (loss scaling, one optimizer per layer)."""
    if optimizer is None:
        return
    yield optimizer
    for inner in (getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "_inner_optimizers", [])):
        yield from _parts(inner)


def _initial(optimizer: Any, name: str) -> float | None:
    if name == _EMA:
        return None
    if name == "_accumulators":  # Adagrad and FTRL start above zero
        return float(getattr(optimizer, "initial_accumulator_value", 0.0))
    return 0.0


def carry(
    optimizer: Any, kernel: SparseKernel, move: Move, values: NDArray[Any], *, mean_second_moment: bool = False
) -> None:
    """Move the slots of `kernel` along with its connections.

    Args:
        optimizer: a Keras optimizer, or None.
        kernel: the kernel about to change.
        move: of its connections.
        values: weights of the new topology, at least [K].
        mean_second_moment: whether the second moment of newcomers is the mean of those that stay, not zero.
    """
    for slot in slots(optimizer, kernel.values):
        old = host.view(slot.variable).array
        new = move.carry(old, kernel.capacity, slot.initial or 0.0)
        if mean_second_moment and slot.name in _SECOND_MOMENTS and move.keep.any():
            new[move.new] = np.mean(old[: len(move.keep)], where=move.keep, dtype=np.float64)
        if slot.initial is None:
            new[move.new] = values[move.new]
        host.write(slot.variable, new)


def reset(optimizer: Any, kernel: SparseKernel) -> None:
    """Give every slot of `kernel` its initial value, and note that the slots belong to the topology again."""
    values = kernel.host_values()
    carry(optimizer, kernel, Move(np.zeros(len(values), bool), np.arange(len(values))), values)
    kernel.mark_slots_aligned(optimizer)


def iterations(optimizer: Any) -> int:
    """Return the number of steps the optimizer has done; 0 without one."""
    return 0 if optimizer is None else int(_scalar(optimizer.iterations))


def learning_rate(optimizer: Any) -> float:
    """Return the optimizer's present learning rate; 0 without one."""
    return 0.0 if optimizer is None else float(_scalar(optimizer.learning_rate))


def _scalar(value: Any) -> Any:
    return host.view(value).array if isinstance(value, keras.Variable) else np.asarray(value)
