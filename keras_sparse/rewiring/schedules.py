"""How a fraction changes over the training."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np


class Schedule:
    """A number as a function of the share of the training that is done.

    Subclasses write `curve`. Any callable from progress to a float serves where a schedule is asked for.

    Args:
        first: value up to `start`.
        last: value from `end` on.
        start: share of the training, 0 to 1, at which the value begins to change.
        end: share of the training at which it has reached `last`.

    Raises:
        ValueError: unless 0 <= start < end <= 1 and the values are finite.
    """

    def __init__(self, first: float, last: float = 0.0, *, start: float = 0.0, end: float = 1.0) -> None:
        if not 0 <= start < end <= 1:
            raise ValueError(f"A schedule needs 0 <= start < end <= 1, shares of the training; got {start}, {end}.")
        for value in (first, last):
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"A schedule runs between finite numbers; got {first!r} and {last!r}.")
        self.first, self.last, self.start, self.end = float(first), float(last), float(start), float(end)

    def __call__(self, progress: float) -> float:
        """Return the value when the share `progress` of the training is done."""
        done = min(1.0, max(0.0, (progress - self.start) / (self.end - self.start)))
        return self.last + (self.first - self.last) * self.curve(done)

    def curve(self, done: float) -> float:
        """Return how much of the way is left, from 1 at `done` = 0 to 0 at `done` = 1."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its curve is.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.first:g}, {self.last:g}, start={self.start:g}, end={self.end:g})"


class Constant(Schedule):
    """The same value all the time."""

    def __init__(self, value: float) -> None:
        super().__init__(value, value)

    def curve(self, done: float) -> float:
        """Return 1."""
        del done
        return 1.0

    def __repr__(self) -> str:
        return f"Constant({self.first:g})"


class Linear(Schedule):
    """A straight line."""

    def curve(self, done: float) -> float:
        """Return 1 - done."""
        return 1.0 - done


class Cosine(Schedule):
    """Half a cosine wave: f = first / 2 · (1 + cos(π t / T_end)) where `last` is 0 (RigL, Evci et al. 2020, eq. 1)."""

    def curve(self, done: float) -> float:
        """Return (1 + cos(π done)) / 2."""
        return 0.5 * (1.0 + math.cos(math.pi * done))


class InversePower(Schedule):
    """f = first · (1 - t / T_end)^power where `last` is 0 (RigL, Evci et al. 2020, appendix G).

    Args:
        first: value up to `start`.
        last: value from `end` on.
        power: exponent > 0; 1 is a straight line. Default 3.
        start: share of the training at which the value begins to change.
        end: share of the training at which it has reached `last`.
    """

    def __init__(
        self, first: float, last: float = 0.0, *, power: float = 3.0, start: float = 0.0, end: float = 1.0
    ) -> None:
        super().__init__(first, last, start=start, end=end)
        if not power > 0:
            raise ValueError(f"`power` must be positive; got {power!r}.")
        self.power = float(power)

    def curve(self, done: float) -> float:
        """Return (1 - done)^power."""
        return (1.0 - done) ** self.power


class Cubic(InversePower):
    """The cube of a straight line, the pace of gradual pruning (Zhu and Gupta 2017, eq. 1)."""

    def __init__(self, first: float, last: float = 0.0, *, start: float = 0.0, end: float = 1.0) -> None:
        super().__init__(first, last, power=3.0, start=start, end=end)


def fraction_schedule(value: Any, name: str) -> Any:
    """Return `value` as a function of the progress whose values are fractions in [0, 1].

    Args:
        value: a number or a schedule.
        name: of the argument, for the error.

    Raises:
        ValueError: for a number outside [0, 1], or a schedule that leaves it.
    """
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value):
        value = Constant(float(value))
    if not callable(value):
        raise ValueError(f"`{name}` must be a fraction in [0, 1] or a schedule such as ks.Cosine(0.3); got {value!r}.")
    ends: list[Any] = [value(0.0), value(1.0)]
    if not all(0 <= end <= 1 for end in ends):
        raise ValueError(
            f"`{name}` is a fraction of the connections, in [0, 1]; got {ends[0]} at first, {ends[1]} last."
        )
    return value
