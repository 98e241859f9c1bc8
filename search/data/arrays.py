"""Check inputs and targets that come as arrays (npz files, TFDS)."""

from __future__ import annotations

import numpy as np

from .dataset import DataError

_FLOAT32_MAX = float(np.finfo(np.float32).max)


def check_x(x: np.ndarray, name: str) -> np.ndarray:
    """Check an input array.

    Args:
        x: [n, ...].
        name: how the source calls it, for messages.

    Returns:
        The same values in native byte order; [n] becomes [n, 1].

    Raises:
        DataError: not numbers, empty, or with a value that is missing, infinite or beyond float32.
    """
    expected = "Expected numbers: bool, integers or floats up to 64 bits, of shape [rows, ...]."
    if x.dtype.kind not in "buif" or x.dtype.itemsize > 8:
        kind = {"c": "complex numbers", "U": "text", "S": "bytes", "O": "Python objects", "V": "records"}
        what = kind.get(x.dtype.kind, "values")
        raise DataError(f"{name} holds {what} (dtype {x.dtype}). {expected} Convert it, for example with astype.")
    if x.ndim == 0:
        raise DataError(f"{name} is a single value. {expected}")
    if len(x) == 0:
        raise DataError(f"{name} is empty: its shape is {list(x.shape)}. {expected}")
    if x.ndim == 1:
        x = x[:, np.newaxis]
    if 0 in x.shape:
        raise DataError(f"{name} has no features: its shape is {list(x.shape)}. {expected}")
    x = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
    if x.dtype.kind == "f":
        _check_finite(x, name)
    return x


def check_y(y: np.ndarray, name: str, rows: int) -> np.ndarray:
    """Check a target array and bring it to one value per row.

    One-hot targets [n, classes] become class numbers; [n, 1] becomes [n].

    Args:
        y: [n], [n, 1] or one-hot [n, classes].
        name: how the source calls it, for messages.
        rows: rows of the inputs.

    Returns:
        [n]: bool, integers, float64, or an object array of `str`.

    Raises:
        DataError: another length than the inputs, several values per row, values that are missing, infinite or neither
            numbers nor text.
    """
    if y.ndim == 0 or len(y) != rows:
        length = "a single value" if y.ndim == 0 else f"{len(y)} rows"
        raise DataError(f"{name} has {length}, but the inputs have {rows}. Expected one target for each row of inputs.")
    if y.dtype.kind in "OVcMm" or (y.dtype.itemsize > 8 and y.dtype.kind in "iuf"):
        raise DataError(f"{name} has dtype {y.dtype}. Expected class labels (numbers, bool or text) or numbers.")
    if y.ndim > 1:
        y = _one_column(y, name)
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{name} holds bytes that are not UTF-8 text. Store labels as text or numbers.") from None
    if y.dtype.kind == "U":
        empty = np.flatnonzero(np.char.strip(y) == "")
        if len(empty):
            raise DataError(f"{name}[{empty[0]}] is empty: a missing label. Fill it or drop the row.")
        return y.astype(object)
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
        _check_finite(y, name)
        return y
    return y.astype(y.dtype.newbyteorder("="))


def check_lengths(length: np.ndarray, name: str, rows: int, time: int) -> np.ndarray:
    """Check the lengths of padded sequences.

    Args:
        length: [n] or [n, 1] whole numbers.
        name: how the source calls it, for messages.
        rows: rows of the inputs.
        time: steps of the inputs, padding included.

    Returns:
        int64 [n].

    Raises:
        DataError: not one whole number from 1 to `time` for each row.
    """
    expected = f"Expected one whole number from 1 to {time} for each of the {rows} rows: the steps that are no padding."
    if length.shape not in ((rows,), (rows, 1)) or length.dtype.kind not in "uif":
        raise DataError(
            f"{name} has shape {list(length.shape)} and dtype {length.dtype}. {expected} "
            "Rename the array if it means something else."
        )
    length = length.reshape(rows)
    bad = np.flatnonzero(~((length >= 1) & (length <= time) & (length == np.floor(length))))
    if len(bad):
        raise DataError(f"{name}[{bad[0]}] is {length[bad[0]]}. {expected}")
    return length.astype(np.int64)


def _one_column(y: np.ndarray, name: str) -> np.ndarray:
    y = y.reshape(len(y), -1)
    if y.shape[1] == 1:
        return y[:, 0]
    if y.dtype.kind in "buif" and y.shape[1] > 1:
        one_hot = np.all((y == 0) | (y == 1), axis=1) & (np.sum(y == 1, axis=1) == 1)
        if one_hot.all():
            return np.argmax(y, axis=1)
    raise DataError(
        f"{name} has {y.shape[1]} values per row and is not one-hot. Expected one target per row: "
        "class labels, one number, or a one-hot row with a single 1."
    )


def _check_finite(values: np.ndarray, name: str) -> None:
    """Name the first value that is NaN, infinite or too large; in chunks, without a mask of the whole array."""
    for start in range(0, len(values), 4096):
        chunk = values[start : start + 4096]
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(chunk) <= _FLOAT32_MAX) if chunk.dtype.itemsize == 8 else ~np.isfinite(chunk)
        if bad.any():
            where = tuple(np.argwhere(bad)[0])
            value = float(chunk[where])
            place = ", ".join(str(int(i)) for i in (where[0] + start, *where[1:]))
            raise DataError(f"{name}[{place}] is {describe_bad(value)} {name.split('[')[0]} must be finite numbers.")


def describe_bad(value: float) -> str:
    """Say what is wrong with a number that is not finite in float32, and how to fix it."""
    if np.isnan(value):
        return "missing (NaN). Fill missing values or drop their rows:"
    if np.isinf(value):
        return "infinite. Replace it or drop its row:"
    return f"{value:g}, beyond the range of float32. Rescale it:"
