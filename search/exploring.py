"""Which hyperparameters a hypermodel has: found by calling it at the ends of those that are known."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
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
    _explore(oracle, hypermodel.build)


def explore_fit(
    hypermodel: Any, oracle: keras_tuner.Oracle, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> None:
    """Declares to an oracle what `fit` asks for beside `build`, as in `model.fit(*args, batch_size=hp.Choice(…))`.

    `fit` is called as in a trial, but ends where it first uses the model: with everything at its default, and with each
    hyperparameter of its own at its ends.

    Args:
        hypermodel: Has `build` and `fit`.
        oracle: Knows what `build` asks for.
        fit_args: What `fit` is given after the model.
        fit_kwargs: The same, by name.
    """
    built = {hp.name for hp in oracle.get_space().space}
    callbacks = keras.tree.flatten(fit_kwargs.get("callbacks") or [])

    def fit(hp: keras_tuner.HyperParameters) -> None:
        given = {"verbose": 0, **fit_kwargs, "callbacks": [*copy.deepcopy(callbacks), _Stop()]}
        hypermodel.fit(hp, _unusable(hypermodel.build(hp)), *fit_args, **given)

    _call(oracle, fit, {})
    _explore(oracle, fit, known=built)


def undeclared(hp: keras_tuner.HyperParameters, space: keras_tuner.HyperParameters) -> list[str]:
    """The hyperparameters that were asked for but are not in the space, in the order in which they were."""
    known = {other.name for other in space.space}
    return list(dict.fromkeys(other.name for other in hp.space if other.name not in known))


def _explore(oracle: keras_tuner.Oracle, ask: Callable[[Any], object], known: Collection[str] = frozenset()) -> None:
    """Calls `ask` at the ends of every hyperparameter but the known ones, until it asks for no more."""
    tried: set[Hashable] = set()
    while probes := [probe for probe in _probes(oracle.get_space(), known) if probe[0] not in tried]:
        for key, chosen in probes:
            tried.add(key)
            _call(oracle, ask, chosen)


def _call(oracle: keras_tuner.Oracle, ask: Callable[[Any], object], chosen: Mapping[str, Any]) -> None:
    hp = oracle.get_space()
    hp.values = _at(hp, chosen)
    try:
        ask(hp)
    except Exception:
        _log.debug("The hypermodel was not called to its end with %s.", chosen, exc_info=True)
    oracle.update_space(hp)
    keras.utils.clear_session()


class _Stop(keras.callbacks.Callback):
    """Ends the training of another model, which `fit` makes of the one that it is given."""

    def on_train_begin(self, logs: Any = None) -> None:
        _not_yet()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        _not_yet()


def _not_yet(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("No model is to be trained yet.")


def _unusable(model: keras.Model) -> keras.Model:
    """The same model, which from now on raises where it would compute."""
    for name in ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "call"):
        setattr(model, name, _not_yet)
    return model


def _probes(space: keras_tuner.HyperParameters, known: Collection[str]) -> Iterator[tuple[Hashable, dict[str, Any]]]:
    """What to try, each with a key: every hyperparameter but the known at its ends or options, where it is active."""
    for hp in space.space:
        if hp.name in known:
            continue
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
