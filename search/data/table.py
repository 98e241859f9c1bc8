"""From named columns to features and target: what each column is, and whether it can be used."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import numpy as np

from .arrays import describe_bad
from .dataset import DataError
from .names import sanitise
from .raw import Raw

Locate = Callable[[int], str]
"""Row index (from 0) -> how a person finds it, such as "line 17"."""

MOST_CATEGORIES = 1000
"""A text column with more distinct values is refused, as is one with more than max(10, rows / 2)."""


def choose_target(names: list[str], target: str | None, source: str) -> str:
    """Return the target column: the named one, or the last.

    Raises:
        DataError: there is no such column, or no other column to learn from.
    """
    if target is None:
        target = names[-1]
    if target not in names:
        close = difflib.get_close_matches(target.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
        hint = next((f" Did you mean {name!r}?" for name in names if close and name.lower() == close[0]), "")
        shown = ", ".join(repr(name) for name in names[:30]) + (f" and {len(names) - 30} more" if names[30:] else "")
        raise DataError(f"{source} has no column {target!r} for the target.{hint} Its columns: {shown}.")
    if len(names) < 2:
        raise DataError(
            f"{source} has the single column {names[0]!r}. Expected at least one feature column beside the target. "
            "If fields are separated by something other than a comma, convert the file."
        )
    return target


def build(source: str, columns: Mapping[str, np.ndarray], target: str, locate: Locate) -> Raw:
    """Check columns and turn them into the features and target of one part.

    Bool and number columns become float32 (where float32 would lose precision: int64 for whole numbers, else
    float64); text columns stay object arrays of `str` and become categories.

    Args:
        source: name of the file or data set, for messages.
        columns: original name -> [n] of bool, integers, float64 (NaN = missing) or object (`str`, None = missing).
        target: original name of the target column.
        locate: how to name a row in messages.

    Raises:
        DataError: a missing or infinite value (row and column named), or a text column with too many categories.
    """
    for name, values in columns.items():
        _check_column(source, name, values, locate)
    features = {name: values for name, values in columns.items() if name != target}
    safe = sanitise(features)
    x: dict[str, np.ndarray] = {}
    for name, values in features.items():
        if values.dtype == object:
            _check_categories(source, name, values)
        x[safe[name]] = values if values.dtype == object else _compact(values)
    mapping = {safe[name]: name for name in features}
    return Raw(name=source, parts={"train": (x, columns[target])}, columns=mapping, target=target)


def _check_column(source: str, name: str, values: np.ndarray, locate: Locate) -> None:
    if values.dtype == object:
        missing = [row for row, value in enumerate(values) if value is None]
        if missing:
            raise missing_error(source, name, missing[0], len(missing), locate)
    elif values.dtype.kind == "f":
        missing_rows = np.flatnonzero(np.isnan(values))
        if len(missing_rows):
            raise missing_error(source, name, int(missing_rows[0]), len(missing_rows), locate)
        bad = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if len(bad):
            row = int(bad[0])
            raise DataError(
                f"{source}, {locate(row)}, column {name!r}: the value is {describe_bad(float(values[row]))} "
                "values must be finite numbers."
            )


def missing_error(source: str, name: str, row: int, count: int, locate: Locate) -> DataError:
    """Make the error for missing values in a column."""
    others = f" ({count} rows of this column have none)" if count > 1 else ""
    return DataError(
        f"{source}, {locate(row)}, column {name!r}: the value is missing{others}. "
        "Expected a value in every cell. Fill missing values, or drop these rows or the column."
    )


def _check_categories(source: str, name: str, values: np.ndarray) -> None:
    distinct, limit = len(set(values)), min(MOST_CATEGORIES, max(10, len(values) // 2))
    if distinct > limit:
        raise DataError(
            f"{source}, column {name!r}: {distinct} distinct texts in {len(values)} rows, more than the limit of "
            f"{limit} categories. It looks like an identifier or free text. Drop the column, or group its values."
        )


def _compact(values: np.ndarray) -> np.ndarray:
    """Store numbers as float32 unless that would move them by more than a millionth of their spread.

    Timestamps are the common exception. Whole numbers then stay int64, not float64: Keras casts float64 arrays to
    float32 in `evaluate` and `predict` before a model sees them, but leaves integers alone.
    """
    single = values.astype(np.float32)
    if values.dtype.kind in "bu" and values.dtype.itemsize <= 2:
        return single
    exact = values.astype(np.float64)
    spread = float(np.std(exact))
    if float(np.mean(np.abs(exact - single.astype(np.float64)))) <= 1e-6 * spread or spread == 0:
        return single
    if np.all(exact == np.round(exact)) and np.all(np.abs(exact) < 2**62):
        return values.astype(np.int64)
    return exact
