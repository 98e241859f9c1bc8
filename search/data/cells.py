"""Text cells of a column -> numbers, bool or categories."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .dataset import DataError
from .table import Locate, missing_error

_MISSING_NUMBER = {"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "<na>", "missing"}
"""Stand for a missing value in a column whose other cells are numbers (compared in lower case)."""
_MISSING_TEXT = {"", "nan", "n/a", "#n/a", "<na>", "null"}
"""Stand for a missing value in a text column; "NA", "none", "?" and "-" may be categories there."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.ASCII | re.IGNORECASE)


def parse_column(cells: Any, *, source: str, column: str, locate: Locate) -> np.ndarray:
    """Decide what a column of text holds, and convert it.

    Spaces around a cell do not count. A column is bool if every cell is true or false (in any case); numbers if every
    cell is one (int64 if all are whole, else float64); text if fewer than half of its cells are numbers. In
    between it is a mistake.

    Args:
        cells: Arrow (chunked) array of n strings.
        source: the file, for messages.
        column: the column, for messages.
        locate: how to name a row in messages.

    Returns:
        [n]: bool, int64, float64, or object (`str`).

    Raises:
        DataError: a missing value, or text in a column of numbers; names the row and the column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pc.call_function("utf8_trim_whitespace", [cells])
    for kind in (pa.int64(), pa.float64()):
        try:
            return _no_nan(pc.cast(cells, kind), cells, source=source, column=column, locate=locate)
        except pa.ArrowInvalid:
            continue
    return _parse_mixed(cells, source=source, column=column, locate=locate)


def _no_nan(numbers: Any, cells: Any, *, source: str, column: str, locate: Locate) -> np.ndarray:
    values = numbers.to_numpy(zero_copy_only=False) if hasattr(numbers, "type") else np.asarray(numbers)
    if values.dtype.kind == "f" and np.isnan(values).any():
        rows = np.flatnonzero(np.isnan(values))
        raise missing_error(source, column, int(rows[0]), len(rows), locate)
    return values


def _parse_mixed(cells: Any, *, source: str, column: str, locate: Locate) -> np.ndarray:
    """Look at each distinct cell once: the slow way, for columns that are not plain numbers."""
    import pyarrow.compute as pc

    encoded = pc.call_function("dictionary_encode", [cells]).combine_chunks()
    distinct: list[str] = encoded.dictionary.to_pylist()
    codes = np.asarray(encoded.indices)
    counts = np.bincount(codes, minlength=len(distinct))

    is_number = np.array([_NUMBER.fullmatch(text) is not None for text in distinct])
    blank = np.array([text.lower() in _MISSING_NUMBER for text in distinct])
    n_numbers, n_text = int(counts[is_number].sum()), int(counts[~is_number & ~blank].sum())
    as_numbers = n_numbers > n_text
    if not as_numbers:
        blank = np.array([text.lower() in _MISSING_TEXT for text in distinct])
    if blank.any():
        rows = np.flatnonzero(blank[codes])
        raise missing_error(source, column, int(rows[0]), len(rows), locate)
    if not as_numbers:
        if {text.lower() for text in distinct} <= {"true", "false"}:
            return np.array([text.lower() == "true" for text in distinct])[codes]
        return np.array(distinct, dtype=object)[codes]
    if n_text:
        row = int(np.flatnonzero(~is_number[codes])[0])
        text = distinct[codes[row]]
        raise DataError(
            f"{source}, {locate(row)}, column {column!r}: {text[:60]!r} is not a number, but {n_numbers} of the "
            f"column's {len(codes)} values are. Correct the cell; or, if the column holds categories, write all of "
            "them as text (for example with a letter in front)."
        )
    return np.array([float(text) for text in distinct])[codes]
