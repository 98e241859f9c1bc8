"""Hyperparameters of any space as axes: what the trials tried, without knowing how the space declares it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

LOG_SPAN: Final = 20.0
"""Positive numbers whose largest is this many times their smallest get a logarithmic axis."""

_HUGE: Final = 1e300


def axes(configurations: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The hyperparameters that differ between trials, and those that do not.

    Args:
        configurations: Hyperparameters of the trials; some may lack some.

    Returns:
        (axes in the order in which the names first come, {name: value} of the rest). An axis is {"name", "kind":
        "number", "low", "high", "log", "partial"} or {"name", "kind": "choice", "options", "partial"}; partial: not
        every trial has it.
    """
    names = dict.fromkeys(name for values in configurations for name in values)
    found, constants = [], {}
    for name in names:
        values = [plain(each[name]) for each in configurations if name in each]
        options = list(dict.fromkeys((type(value).__name__, value) for value in values))
        partial = len(values) < len(configurations)
        if len(options) == 1 and not partial:
            constants[name] = values[0]
        elif all(is_number(value) for value in values):
            low, high = min(values), max(values)
            log = low > 0 and high >= LOG_SPAN * low
            found.append({"name": name, "kind": "number", "low": low, "high": high, "log": log, "partial": partial})
        else:
            listed = sorted({str(label(value)) for value in values})
            found.append({"name": name, "kind": "choice", "options": listed, "partial": partial})
    return found, constants


def is_number(value: Any) -> bool:
    """Whether a value is a finite number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE  # NaN is not


def plain(value: Any) -> Any:
    """`value` if it is a number, a truth value or text; else its JSON."""
    return value if isinstance(value, int | float | str) else json.dumps(value)


def label(value: Any) -> str:
    """The text of a choice, as JavaScript's `String` writes it."""
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def encode(axis: Mapping[str, Any], configuration: Mapping[str, Any]) -> list[float]:
    """Coordinates of a configuration on an axis: one of a number, one per option of a choice; -1 where it has none."""
    present = axis["name"] in configuration
    value: Any = plain(configuration[axis["name"]]) if present else None
    if axis["kind"] == "choice":
        return [float(label(value) == option) if present else -1.0 for option in axis["options"]]
    # A forest asks for the order of numbers only: they need no scaling, but the absent must lie outside.
    return [float(value) if present else float(axis["low"]) - 1.0 - abs(float(axis["low"]))]
