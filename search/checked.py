"""Fields of a space, checked: each refusal names the field, what was expected and what it was."""

from __future__ import annotations

from typing import Any


class Checked:
    """Checks of fields by their names, for a space's `__post_init__`; each raises ValueError."""

    def _check_range(self, name: str, highest: float) -> None:
        pair = getattr(self, name)
        sound = isinstance(pair, tuple) and len(pair) == 2 and all(is_number(end) for end in pair)
        if not sound or not 0 < pair[0] <= pair[1] <= highest:
            raise ValueError(f"{name}: expected (low, high) with 0 < low <= high <= {highest:g}, got {pair!r}.")

    def _check_counts(self, name: str) -> None:
        pair = getattr(self, name)
        if not are_whole(pair) or len(pair) != 2 or not 1 <= pair[0] <= pair[1]:
            raise ValueError(f"{name}: expected 1 <= fewest <= most, got {pair!r}.")

    def _check_options(self, name: str, least: int = 1) -> None:
        options = getattr(self, name)
        if not are_whole(options) or not options or options[0] < least or list(options) != sorted(set(options)):
            raise ValueError(f"{name}: expected ascending whole numbers >= {least}, got {options!r}.")

    def _check_ascending(self, name: str, bound: float) -> None:
        numbers = getattr(self, name)
        sound = isinstance(numbers, tuple) and numbers and all(is_number(number) for number in numbers)
        if not sound or list(numbers) != sorted(set(numbers)) or not 0 <= numbers[0] <= numbers[-1] < bound:
            raise ValueError(f"{name}: expected ascending numbers within [0, {bound:g}), got {numbers!r}.")

    def _check_names(self, name: str, known: tuple[Any, ...]) -> None:
        names = getattr(self, name)
        sound = isinstance(names, tuple) and names and all(option in known for option in names)
        if not sound or len(set(names)) < len(names):
            raise ValueError(f"{name}: expected some of {', '.join(map(str, known))}, each once, got {names!r}.")


def is_number(value: Any) -> bool:
    """Whether it is a number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_whole(values: Any) -> bool:
    """Whether it is a tuple of whole numbers."""
    return isinstance(values, tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in values)
