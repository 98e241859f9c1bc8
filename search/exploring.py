"""Which hyperparameters a hypermodel has: found by building networks at the ends of those that are known."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import keras
import keras_tuner

_log = logging.getLogger(__name__)


def explore(hypermodel: Any, oracle: keras_tuner.Oracle) -> None:
    """Declares to an oracle what a hypermodel asks for when one hyperparameter is not at its default.

    KerasTuner hears of `units_2` in `for i in range(hp.Int("layers", 1, 3)): hp.Int(f"units_{i}", …)` when a trial
    happens to have three layers. Here a proposal depends on records only, so the space has to be whole, and in the
    same order, before the first trial, in every process of a search and when it is resumed.

    Args:
        hypermodel: Has `build`. Networks that it cannot build are left out; trials that need them fail by themselves.
        oracle: Knows what `build` asks for at the defaults.
    """
    tried: set[Hashable] = set()
    while probes := [probe for probe in _probes(oracle.get_space()) if probe[0] not in tried]:
        for key, chosen in probes:
            tried.add(key)
            hp = oracle.get_space()
            hp.values = _at(hp, chosen)
            try:
                hypermodel.build(hp)
            except Exception:
                _log.debug("No network could be built with %s.", chosen, exc_info=True)
            oracle.update_space(hp)
            keras.utils.clear_session()


def undeclared(hp: keras_tuner.HyperParameters, space: keras_tuner.HyperParameters) -> list[str]:
    """The hyperparameters that were asked for but are not in the space, in the order in which they were."""
    known = {other.name for other in space.space}
    return list(dict.fromkeys(other.name for other in hp.space if other.name not in known))


def _probes(space: keras_tuner.HyperParameters) -> Iterator[tuple[Hashable, dict[str, Any]]]:
    """What to try, each with a key: every hyperparameter at each of its ends or options, where it is active."""
    for hp in space.space:
        scope = {condition.name: condition.values[0] for condition in hp.conditions}
        conditions = tuple((condition.name, tuple(condition.values)) for condition in hp.conditions)
        for value in _ends(hp):
            yield (hp.name, conditions, value), {**scope, hp.name: value}


def _ends(hp: Any) -> list[Any]:
    kind = type(hp).__name__
    if kind == "Fixed":
        return []
    if kind == "Boolean" or (kind == "Choice" and not hp.ordered):
        ends = hp.values
    else:
        ends = (hp.values[0], hp.values[-1]) if kind == "Choice" else (hp.min_value, hp.max_value)
    return [end for end in dict.fromkeys(ends) if end != hp.default]


def _at(space: keras_tuner.HyperParameters, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The active values where some are chosen and the others at their defaults."""
    values: dict[str, Any] = {}
    for hp in space.space:  # parents come before those that depend on them
        if all(condition.is_active(values) for condition in hp.conditions):
            values[hp.name] = chosen.get(hp.name, hp.default)
    return values
