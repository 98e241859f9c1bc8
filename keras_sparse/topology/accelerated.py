"""The seam for faster versions of what this package does in NumPy; whoever has them registers them.

Both versions give the same result, bit for bit, so which one runs is never seen but in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_faster: dict[str, Callable[..., Any]] = {}


def register(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Use `functions`, by name, from now on; each may answer None, and the work is done in NumPy."""
    _faster.update(functions)


def accelerated(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function be replaced by the registered one of this name; `__wrapped__` is the function itself."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            faster = _faster.get(name)
            result = None if faster is None else faster(*args, **kwargs)
            return function(*args, **kwargs) if result is None else result

        update_wrapper(run, function)
        return run

    return decorate
