"""Read `.parquet` files: columns come with types, so nothing is guessed from text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import DataError
from .raw import Raw
from .table import build, choose_target, missing_error


def read_parquet(path: Path, target: str | None) -> Raw:
    """Read a Parquet file; an index that pandas stored in it is left out.

    Args:
        path: the file.
        target: name of the target column; None for the last.

    Returns:
        One part, "train".

    Raises:
        DataError: see `table`; also a file that is not Parquet, has no rows, or columns of other types than bool,
            numbers and text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = path.name
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error) from error
    table = _without_index(table)
    names: list[str] = table.column_names
    repeated = [column for column, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{name}: the column name {repeated[0]!r} occurs more than once. Rename one.")
    if not names:
        raise DataError(f"{name} has no columns. Expected feature columns and a target.")
    if table.num_rows == 0:
        raise DataError(f"{name} has columns but no rows. Expected at least one row of values per class.")
    target = choose_target(names, target, name)
    try:
        columns = {column: _convert(table.column(column), source=name, column=column) for column in names}
    except pa.ArrowException as error:  # text that is no UTF-8, with some versions
        raise _damaged(name, error) from error
    return build(name, columns, target, _locate)


def _damaged(name: str, error: Exception) -> DataError:
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return DataError(
        f"{name} is not a Parquet file, although its name ends in .parquet, or it is damaged ({detail}). "
        "Rename it, or write it anew."
    )


def _locate(row: int) -> str:
    return f"row {row + 1} (counting from 1)"


def _without_index(table: Any) -> Any:
    metadata = table.schema.pandas_metadata or {}
    index = [column for column in metadata.get("index_columns", []) if isinstance(column, str)]
    return table.drop_columns([column for column in index if column in table.column_names])


def _convert(values: Any, *, source: str, column: str) -> np.ndarray:
    """Convert an Arrow column to bool, int64, uint64, float64 or object (`str`)."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    if not (text or number):
        raise DataError(
            f"{source}, column {column!r} has the type {kind}. Expected bool, numbers or text. "
            "Convert it (dates, for example, to numbers), or drop the column."
        )
    if values.null_count:
        rows = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        raise missing_error(source, column, int(rows[0]), len(rows), _locate)
    if text:
        return values.cast(pa.large_string()).to_numpy(zero_copy_only=False).astype(object)
    if types.is_floating(kind) or types.is_decimal(kind):
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return values.to_numpy(zero_copy_only=False)
