"""Noticing that weights were exchanged without the optimizer's state, and mending it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from ..junctions import Junction, junctions
from . import optimizer_state

_log = logging.getLogger("keras_sparse")


def realign(model: Any, optimizer: Any = None, *, force: bool = False) -> list[str]:
    """Reset the optimizer's slots of every sparse kernel whose topology was exchanged without them.

    `model.set_weights`, and so `EarlyStopping(restore_best_weights=True)`, brings back an earlier topology but not the
    optimizer's state: momenta would then belong to other connections. The next `fit` with `Rewire` does this by itself.

    What is noticed is that the topology is not the one the slots were last kept in step with in this process, or
    in the file the model came from. Weights loaded from a file without its optimizer, over a model that has been
    trained, look complete: use `force` then.

    Args:
        model: a built model.
        optimizer: the model's by default.
        force: reset the slots of every sparse kernel, whether it looks necessary or not.

    Returns:
        The names of the layers whose slots were reset.
    """
    return realign_junctions(
        junctions(model), getattr(model, "optimizer", None) if optimizer is None else optimizer, force=force
    )


def realign_junctions(found: Iterable[Junction], optimizer: Any, *, force: bool = False) -> list[str]:
    """Do what `realign` does for the given junctions."""
    reset = []
    for junction in found:
        if junction.kernel.slots_aligned(optimizer) and not force:
            continue
        slots = optimizer_state.slots(optimizer, junction.kernel.values)
        # Slots that no step has touched say nothing of any connection.
        if slots and (force or any(map(optimizer_state.touched, slots))):
            reset.append(junction.name)
        optimizer_state.reset(optimizer, junction.kernel)
    if reset:
        _log.warning(
            "The topology of %s was exchanged without the optimizer's state (set_weights, EarlyStopping's restore, or "
            "rewiring with another optimizer): the optimizer's slots of these layers start anew.",
            ", ".join(reset),
        )
    return reset
