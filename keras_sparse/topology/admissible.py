"""Numbers of connections that a pattern can have: the multiples of a unit."""

from __future__ import annotations


def neighbours(count: int, unit: int, positions: int) -> list[int]:
    """Return the admissible counts next to `count`: `count` itself, or the nearest below and above it.

    Args:
        count: number of connections asked for.
        unit: admissible counts are unit, 2 unit, …, positions.
        positions: n_in · n_out, a multiple of `unit`.
    """
    below = count // unit * unit
    around = [below] if below == count else [below, below + unit]
    return [near for near in around if unit <= near <= positions] or [min(max(count, unit), positions)]


def nearest(count: int, unit: int, positions: int) -> int:
    """Return the admissible count nearest to `count`; of two that are equally near the smaller."""
    return min(neighbours(count, unit, positions), key=lambda near: abs(near - count))


def check(count: int, unit: int, shape: tuple[int, int], *, because: str, fix: str = "") -> None:
    """Raise ValueError, naming the nearest admissible densities, unless `count` is admissible.

    Args:
        count: number of connections asked for.
        unit: see `neighbours`.
        shape: (n_in, n_out).
        because: the reason, "<because>, so counts are multiples of …".
        fix: another way out, a sentence.
    """
    positions = shape[0] * shape[1]
    near = neighbours(count, unit, positions)
    if near == [count]:
        return
    named = " and ".join(f"{_shortest(one, positions)} ({one} connections)" for one in near)
    raise ValueError(
        f"{count} connections in a junction of {shape[0]} x {shape[1]} (density {count / positions:.4g}) are not "
        f"possible: {because}, so the number must be a multiple of {unit}. "
        f"Nearest admissible: density {named}.{fix and ' ' + fix}"
    )


def _shortest(count: int, positions: int) -> str:
    """Return the shortest decimal that gives `count` as a density."""
    exact = count / positions
    written = (f"{exact:.{digits}g}" for digits in range(1, 18))
    return next((text for text in written if round(float(text) * positions) == count), repr(exact))
