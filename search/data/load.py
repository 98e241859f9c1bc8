"""`load`: digits, a TFDS name or a file -> a checked, encoded and split `Dataset`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import DataError, Dataset, Features
from .raw import Raw, take
from .splits import TEST_STREAM, VALIDATION_STREAM, hold_out
from .targets import TaskRequest, check_parts, detect, encode

_SUFFIXES = (".csv", ".parquet", ".npz")
_TFDS_NAME = re.compile(r"[A-Za-z]\w*(/[\w.\-]+)*(:\d+\.[\w.*]+)?")


def load(
    data: str,
    *,
    target: str | None = None,
    data_dir: str | None = None,
    seed: int = 0,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    task: TaskRequest = "auto",
) -> Dataset:
    """Load, check and split a data set.

    A test part is held out if the data brings none, by a stream of its own that does not depend on `seed`. The
    validation part, if the data brings none, is split from what is left for training. Both are stratified by class.

    Args:
        data: "digits" (scikit-learn's, embedded); a TFDS name such as "mnist"; or a .csv, .parquet or .npz file.
        target: the target column of a table (default: the last), or the target feature of a TFDS data set
            (default: its supervised keys).
        data_dir: where TFDS data sets are prepared (default: TFDS' own, ~/tensorflow_datasets). Other data ignore it.
        seed: chooses the validation rows.
        validation_fraction: share of the training rows to validate on, in (0, 1).
        test_fraction: share of all rows to test on, in (0, 1).
        task: "classification", "regression", or "auto": see `targets.detect` for the rule.

    Returns:
        The data in raw units.

    Raises:
        DataError: the data cannot be used; the message says what, where and how to fix it.
        ValueError: an argument is out of range.
    """
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"{name} must lie between 0 and 1 (exclusive). Received: {fraction}")
    if seed < 0:
        raise ValueError(f"seed must not be negative. Received: {seed}")
    if task not in ("auto", "classification", "regression"):
        raise ValueError(f'task must be "auto", "classification" or "regression". Received: {task!r}')
    raw = _read(data, target, data_dir)
    return _assemble(raw, task, seed, validation_fraction, test_fraction)


def _read(data: str, target: str | None, data_dir: str | None) -> Raw:
    if data == "digits":
        return _digits(target)
    path = Path(data).expanduser()
    if path.suffix.lower() in _SUFFIXES:
        return _read_file(path, target)
    if _TFDS_NAME.fullmatch(data) and not path.is_file():
        from .tfds_source import read_tfds

        return read_tfds(data, target=target, data_dir=data_dir)
    expected = "Expected digits, a TFDS name such as mnist, or a .csv, .parquet or .npz file."
    if data and path.is_dir():
        raise DataError(f"{data} is a folder. {expected}")
    if path.is_file():
        suffix = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise DataError(
            f"{data} has {suffix}. {expected} Convert the file, or rename it if its format is one of these."
        )
    raise DataError(f"{data!r} is neither a file nor the name of a data set. {expected}")


def _read_file(path: Path, target: str | None) -> Raw:
    if path.is_dir():
        raise DataError(f"{path} is a folder. Expected a file.")
    if not path.is_file():
        raise DataError(f"{path} does not exist. Check the path; it is taken relative to {Path.cwd()}.")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty (0 bytes). Expected data.")
        suffix = path.suffix.lower()
        if suffix == ".csv":
            from .csv_file import read_csv

            return read_csv(path, target)
        if suffix == ".parquet":
            from .parquet_file import read_parquet

            return read_parquet(path, target)
        if target not in (None, "y"):
            raise DataError(
                f"{path.name} holds arrays, not columns, so there is no target {target!r} to choose: "
                "the target is the array y. Leave the target out, or rename the array."
            )
        from .npz_file import read_npz

        return read_npz(path)
    except PermissionError as error:
        raise DataError(f"{path} may not be read ({error.strerror}). Check the file's permissions.") from error


def _digits(target: str | None) -> Raw:
    if target is not None:
        raise DataError(f"digits has its own target, so there is no target {target!r} to choose. Leave it out.")
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return Raw(name="digits", parts={"train": (bunch.data, bunch.target.astype(np.int64))}, image_shape=(8, 8, 1))


def _assemble(raw: Raw, request: TaskRequest, seed: int, validation_fraction: float, test_fraction: float) -> Dataset:
    pooled = np.concatenate([y for _, y in raw.parts.values()])
    task = detect(pooled, request if raw.classes is None else "classification")
    y, classes = encode({part: y for part, (_, y) in raw.parts.items()}, task, raw.classes, target=raw.target)
    x = {part: x for part, (x, _) in raw.parts.items()}
    lengths = dict(raw.lengths)
    stratify = task == "classification"
    if "test" not in x:
        rows = hold_out(y["train"], test_fraction, stratify=stratify, stream=[TEST_STREAM], part="test")
        _split(x, y, lengths, "test", rows)
    if "val" not in x:
        stream = [VALIDATION_STREAM, seed]
        rows = hold_out(y["train"], validation_fraction, stratify=stratify, stream=stream, part="validation")
        _split(x, y, lengths, "val", rows)
    if classes is not None:
        check_parts(y, classes, target=raw.target)
    return Dataset(
        name=raw.name,
        task=task,
        x_train=x["train"],
        y_train=y["train"],
        x_val=x["val"],
        y_val=y["val"],
        x_test=x["test"],
        y_test=y["test"],
        classes=classes,
        columns=raw.columns,
        target=raw.target,
        length_train=lengths.get("train"),
        length_val=lengths.get("val"),
        length_test=lengths.get("test"),
        image_shape=raw.image_shape,
    )


def _split(
    x: dict[str, Features], y: dict[str, np.ndarray], lengths: dict[str, np.ndarray], part: str, rows: np.ndarray
) -> None:
    """Move the chosen rows of the training part to a part of their own."""
    x[part], x["train"] = take(x["train"], rows), take(x["train"], ~rows)
    for values in (y, lengths) if lengths else (y,):
        values[part], values["train"] = values["train"][rows], values["train"][~rows]
