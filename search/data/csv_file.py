"""Read `.csv` files strictly: every row has every field, and every message names the line."""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cells import parse_column
from .dataset import DataError
from .raw import Raw
from .table import build, choose_target

_CHUNK = 20_000  # rows held as Python strings at a time

_MAGIC = {
    b"PK": "a zip archive (an .npz or .xlsx file?)",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def read_csv(path: Path, target: str | None) -> Raw:
    """Read a comma-separated file with a header line, in UTF-8 (a byte-order mark is accepted).

    Args:
        path: the file.
        target: name of the target column; None for the last.

    Returns:
        One part, "train".

    Raises:
        DataError: see `table` and `cells`; also a file that is not such text, an empty one, ragged rows, and headers
            that are absent, incomplete or not unique.
    """
    _check_text(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names, columns, lines = _read_rows(csv.reader(file, strict=True), path.name)
    except UnicodeDecodeError:
        raise _encoding_error(path) from None

    def locate(row: int) -> str:
        return f"line {lines[row]}"

    target = choose_target(names, target, path.name)
    parsed = {
        name: parse_column(cells, source=path.name, column=name, locate=locate)
        for name, cells in zip(names, columns, strict=True)
    }
    return build(path.name, parsed, target, locate)


def _read_rows(reader: Any, name: str) -> tuple[list[str], list[Any], array]:
    """Read the header and all rows.

    Returns:
        Column names, one Arrow array of strings per column, and the line on which each row ends its first field.
    """
    import pyarrow as pa

    names: list[str] = []
    lines = array("q")
    chunks: list[list[Any]] = []
    pending: list[list[str]] = []
    for line, row in _rows(reader, name):
        if not names:
            names = _header(row, name)
            chunks = [[] for _ in names]
            continue
        if len(row) != len(names):
            few = "too few" if len(row) < len(names) else "too many"
            raise DataError(
                f"{name}, line {line}: {few} fields: {len(row)}, but the header has {len(names)}. Expected one "
                "field for each column. Complete the row; put a field that contains a comma into double quotes."
            )
        lines.append(line)
        pending.append(row)
        if len(pending) == _CHUNK:
            _flush(pending, chunks)
    if not names:
        raise DataError(f"{name} is empty. Expected a header line with column names, then rows.")
    if not lines:
        raise DataError(f"{name} has a header but no rows. Expected at least one row of values per class.")
    _flush(pending, chunks)
    return names, [pa.chunked_array(column, type=pa.string()) for column in chunks], lines


def _flush(pending: list[list[str]], chunks: list[list[Any]]) -> None:
    import pyarrow as pa

    if pending:
        for column, cells in zip(chunks, zip(*pending, strict=True), strict=True):
            column.append(pa.array(cells, type=pa.string()))
        pending.clear()


def _rows(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the row begins, fields), skipping blank lines."""
    begin = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{name}, line {begin}: not valid CSV ({error}). Expected comma-separated fields, with every double "
                'quote closed and quotes inside a quoted field doubled ("").'
            ) from None
        if row and (len(row) > 1 or row[0].strip()):
            yield begin, row
        begin = reader.line_num + 1


def _header(row: list[str], name: str) -> list[str]:
    names = [field.strip() for field in row]
    if len(names) == 1:
        for separator, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in names[0]:
                raise DataError(f"{name}, line 1: fields seem to be separated by {called}. Expected commas.")
    if all(_is_number(field) for field in names):
        raise DataError(
            f"{name}, line 1: all fields are numbers, so the header seems to be missing. "
            "Expected column names in the first line."
        )
    for position, field in enumerate(names, start=1):
        if not field:
            raise DataError(
                f"{name}, line 1: column {position} has no name. Expected a name for every column. Name or drop it "
                "(a row index written by pandas is left out by to_csv(index=False))."
            )
    repeated = [field for field, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{name}, line 1: the column name {repeated[0]!r} occurs more than once. Rename one.")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_text(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(65536)
    kind = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
    # "PK" alone may begin an honest header such as "PK_id".
    if kind is not None and head.startswith(b"PK") and not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind = None
    if kind is None and b"\0" in head:
        kind = "a binary file"
    if kind is not None:
        raise DataError(
            f"{path.name} is not a CSV file, although its name ends in .csv: it looks like {kind}. "
            "Expected comma-separated text in UTF-8. Rename or convert it."
        )


def _encoding_error(path: Path) -> DataError:
    """Find the first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return DataError(
                    f"{path.name}, line {number}: byte 0x{byte:02x} is not UTF-8 text. Expected a file in UTF-8. "
                    f"Convert it, for example: iconv -f latin1 -t utf-8 {path.name} > utf8.csv"
                )
    return DataError(f"{path.name} is not UTF-8 text. Expected a file in UTF-8; convert it with iconv.")
