"""Hyperparameter values as points of the unit cube, for any space of KerasTuner."""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels import ABSENT
from .surrogate import Layout

INACTIVE = 0.5
"""Coordinate of a hyperparameter that a configuration does not have."""
SIGNIFICANT_DIGITS = 4
"""Decimal digits a proposed real number keeps, so that a record is readable and holds the exact value."""

_ELEMENT = re.compile(r"(.+)_\d+")

Values = dict[str, Any]
Point = NDArray[np.float64]


class Encoding:
    """Maps the values of a `keras_tuner.HyperParameters` to points of the unit cube and back.

    Each tunable hyperparameter is one coordinate, scaled as its sampling says (linear, log); a coordinate of an
    inactive hyperparameter is 0.5. Fixed hyperparameters have no coordinate.

    Args:
        space: `HyperParameters.space`: hyperparameters, parents before the ones that depend on them.

    Attributes:
        size: Number of coordinates.
        names: Of the hyperparameters that have one.
    """

    def __init__(self, space: Sequence[Any]) -> None:
        self._space = list(space)
        self._tunable = [type(hp).__name__ != "Fixed" for hp in self._space]
        self.size = sum(self._tunable)
        tunable = [hp for hp, is_tunable in zip(self._space, self._tunable, strict=True) if is_tunable]
        self.names = [hp.name for hp in tunable]
        self._lists = _lists(tunable)

    def decode(self, point: Point | Sequence[float]) -> Values:
        """The active values at a point, shape [size]; real numbers are rounded to four significant digits."""
        values: Values = {}
        # Below 1: KerasTuner maps 1.0 of an integer to its maximum plus one.
        coordinates = iter(np.clip(point, 0.0, 1.0 - 1e-9).tolist())
        for hp, tunable in zip(self._space, self._tunable, strict=True):
            coordinate = next(coordinates) if tunable else 0.0
            if _is_active(hp, values):
                values[hp.name] = _rounded(hp, hp.prob_to_value(coordinate))
        return values

    def encode(self, values: Mapping[str, Any]) -> Point:
        """The point of a configuration, shape [size]."""
        point = [
            float(hp.value_to_prob(values[hp.name])) if _is_active(hp, values) else INACTIVE
            for hp, tunable in zip(self._space, self._tunable, strict=True)
            if tunable
        ]
        return np.asarray(point, dtype=np.float64)

    def features(self, values: Mapping[str, Any]) -> Point:
        """The point of a configuration for a distance, with the columns that `layout` describes.

        An unordered choice is one coordinate per option; an element that a list does not have is `ABSENT`.
        """
        features: list[float] = []
        for hp, tunable in zip(self._space, self._tunable, strict=True):
            if not tunable:
                continue
            active = _is_active(hp, values)
            if getattr(hp, "ordered", True):
                missing = ABSENT if hp.name in self._lists else INACTIVE
                features.append(float(hp.value_to_prob(values[hp.name])) if active else missing)
            else:
                features += [float(active and values[hp.name] == option) for option in hp.values]
        return np.asarray(features, dtype=np.float64)

    def layout(self) -> Layout:
        """What the columns of `features` are: single coordinates, and lists such as units_1, units_2, …."""
        columns: list[str | None] = []
        for hp, tunable in zip(self._space, self._tunable, strict=True):
            if tunable:
                columns += [hp.name] if getattr(hp, "ordered", True) else [None] * len(hp.values)
        lists: dict[str, list[int]] = {}
        for column, name in enumerate(columns):
            if name in self._lists:
                lists.setdefault(self._lists[name], []).append(column)
        listed = {column for members in lists.values() for column in members}
        singles = tuple(column for column in range(len(columns)) if column not in listed)
        return Layout(singles, tuple(tuple(members) for members in lists.values()))

    def defaults(self) -> Values:
        """The configuration made of the default of every hyperparameter."""
        values: Values = {}
        for hp in self._space:
            if _is_active(hp, values):
                values[hp.name] = hp.default
        return values

    def key(self, values: Mapping[str, Any]) -> Hashable:
        """Equal for two configurations if and only if they build and train the same network."""
        return tuple((hp.name, values[hp.name]) for hp in self._space if _is_active(hp, values))

    def enumerate(self) -> Iterator[Values] | None:
        """Every configuration of a space made of choices, booleans and whole numbers; None if there are reals."""
        options: list[list[float]] = []
        for hp, tunable in zip(self._space, self._tunable, strict=True):
            if tunable:
                listed = _options(hp)
                if listed is None:
                    return None
                options.append([float(hp.value_to_prob(value)) for value in listed])
        return (self.decode(point) for point in itertools.product(*options))


def _lists(tunable: Sequence[Any]) -> dict[str, str]:
    """The list that each element belongs to: numbers or ordered choices called NAME_1, NAME_2, …, some conditional."""
    found: dict[str, list[Any]] = {}
    for hp in tunable:
        if (match := _ELEMENT.fullmatch(hp.name)) and getattr(hp, "ordered", True) and type(hp).__name__ != "Boolean":
            found.setdefault(match[1], []).append(hp)
    lists = {
        name: members for name, members in found.items() if len(members) > 1 and any(m.conditions for m in members)
    }
    return {hp.name: name for name, members in lists.items() for hp in members}


def _is_active(hp: Any, values: Mapping[str, Any]) -> bool:
    # Most have none, and thousands of candidates pass through here before every trial.
    return not hp.conditions or all(condition.is_active(values) for condition in hp.conditions)


def _rounded(hp: Any, value: Any) -> Any:
    if not isinstance(value, float) or type(hp).__name__ != "Float" or hp.step is not None:
        return value
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), hp.min_value), hp.max_value)


def _options(hp: Any) -> list[Any] | None:
    kind = type(hp).__name__
    if kind == "Choice":
        return list(hp.values)
    if kind == "Boolean":
        return [False, True]
    if kind == "Int" and hp.sampling == "linear":
        return list(range(hp.min_value, hp.max_value + 1, hp.step or 1))
    return None
