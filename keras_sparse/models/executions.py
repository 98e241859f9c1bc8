"""Several training steps in one execution, where nothing looks at single ones."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

MOST = 16
_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
_FUNCTIONS = ("train_function", "test_function")


@contextmanager
def several_at_once(model: Any, *args: Any, **kwargs: Any) -> Iterator[None]:
    """Let a `fit` with these arguments run several steps per execution where that changes nothing but its speed.

    Afterwards the model is as before; what was traced is kept for the next time.
    """
    steps = _steps(model, inspect.signature(keras.Model.fit).bind(model, *args, **kwargs).arguments)
    if steps == model.steps_per_execution:
        yield
        return
    before = {name: getattr(model, name) for name in ("steps_per_execution", *_FUNCTIONS)}
    config, own, traced = getattr(model, "_many_steps", None) or (None, 0, {})
    fits = config is model._compile_config and own == steps
    changed = {"steps_per_execution": steps} | {name: traced.get(name) if fits else None for name in _FUNCTIONS}
    for name, value in changed.items():
        setattr(model, name, value)
    try:
        yield
    finally:
        traced = {name: getattr(model, name) for name in _FUNCTIONS}
        # Not as an attribute that Keras would track.
        object.__setattr__(model, "_many_steps", (model._compile_config, steps, traced))
        for name, value in before.items():
            setattr(model, name, value)


def _steps(model: Any, fit: Mapping[str, Any]) -> int:
    """Return how many steps a `fit` may run per execution.

    Those the model was compiled with if they are not one; else up to 16 of an epoch, if the data are an array, so that
    an epoch ends where it should, and no callback has a hook for batches. The progress bar moves less often.

    Args:
        model: a Keras model.
        fit: arguments of `fit` by name.
    """
    x: Any = fit.get("x")
    callbacks = fit.get("callbacks") or []
    plain = (
        model.compiled
        and model.steps_per_execution == 1
        and keras.backend.backend() == "tensorflow"
        and not model.run_eagerly
        and model.distribute_strategy.num_replicas_in_sync == 1
        and (isinstance(x, np.ndarray) or keras.ops.is_tensor(x))
        and fit.get("steps_per_epoch") is None
    )
    if not plain or any(map(looks_at_steps, callbacks if isinstance(callbacks, Sequence) else [callbacks])):
        return model.steps_per_execution
    examples = x.shape[0] * (1 - (fit.get("validation_split") or 0.0))
    return max(1, min(MOST, math.floor(examples / (fit.get("batch_size") or 32))))


def looks_at_steps(callback: Any) -> bool:
    """Return whether a callback wants to be called at every step, as far as can be told.

    Args:
        callback: of Keras; it may say so itself by an attribute `looks_at_steps`.
    """
    if (told := getattr(callback, "looks_at_steps", None)) is not None:
        return bool(told)
    plain = keras.callbacks.Callback
    return any(getattr(type(callback), hook, None) is not getattr(plain, hook) for hook in _HOOKS) or any(
        hook in vars(callback) for hook in _HOOKS
    )
