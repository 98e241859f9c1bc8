"""Hyperparameter values as points of the unit cube, for any space of KerasTuner."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

INACTIVE = 0.5
"""Coordinate of a hyperparameter that a configuration does not have."""
SIGNIFICANT_DIGITS = 4
"""Decimal digits a proposed real number keeps, so that a record is readable and holds the exact value."""

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
    """

    def __init__(self, space: Sequence[Any]) -> None:
        self._space = list(space)
        self._tunable = [type(hp).__name__ != "Fixed" for hp in self._space]
        self.size = sum(self._tunable)

    def decode(self, point: Point | Sequence[float]) -> Values:
        """The active values at a point, shape [size]; real numbers are rounded to four significant digits."""
        values: Values = {}
        coordinates = iter(point)
        for hp, tunable in zip(self._space, self._tunable, strict=True):
            coordinate = float(next(coordinates)) if tunable else 0.0
            if _is_active(hp, values):
                # Below 1: KerasTuner maps 1.0 of an integer to its maximum plus one.
                value = hp.prob_to_value(min(max(coordinate, 0.0), 1.0 - 1e-9))
                values[hp.name] = _rounded(hp, value)
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
        """The point of a configuration for a distance: an unordered choice is one coordinate per option."""
        features: list[float] = []
        for hp, tunable in zip(self._space, self._tunable, strict=True):
            if not tunable:
                continue
            active = _is_active(hp, values)
            if getattr(hp, "ordered", True):
                features.append(float(hp.value_to_prob(values[hp.name])) if active else INACTIVE)
            else:
                features += [float(active and values[hp.name] == option) for option in hp.values]
        return np.asarray(features, dtype=np.float64)

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


def _is_active(hp: Any, values: Mapping[str, Any]) -> bool:
    return all(condition.is_active(values) for condition in hp.conditions)


def _rounded(hp: Any, value: Any) -> Any:
    if type(hp).__name__ != "Float" or hp.step is not None:
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
