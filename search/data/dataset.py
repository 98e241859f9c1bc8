"""`Dataset`: data that is checked, encoded and split, and the error for data that cannot be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Features = np.ndarray | dict[str, np.ndarray]
"""Inputs of one part: an array [n, ...], or for a table one array [n] per column."""

Task = Literal["classification", "regression"]


class DataError(ValueError):
    """Data that cannot be used: the message says what was found, what was expected and how to fix it."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training, validation and test part of one data set, in raw units.

    Args:
        name: what the data was asked for as (a data set's name, or a file's name without its folder).
        task: "classification" or "regression".
        x_train: [n, ...] in the data's own shape and dtype; for a table a dict of arrays [n], one per sanitised column
            name: float32 (float64 or int64 where float32 would lose precision), or object arrays of `str`.
        y_train: [n]; int64 indices into `classes`, or float64 values in the target's own unit.
        x_val: as x_train.
        y_val: as y_train.
        x_test: as x_train.
        y_test: as y_train.
        classes: the labels as they were in the data (str, int, float or bool), by index; None for regression.
        columns: sanitised -> original column name of a table's features; empty for array data.
        target: name of the target column; "y" for array data.
        length_train: [n] int64, steps of each sequence of x_train [n, time, ...] that are no padding, from 1 to time;
            None if all are. Only networks on sequences look at them.
        length_val: as length_train.
        length_test: as length_train.
        image_shape: (height, width, channels) of flat examples that are images; None for all other data.
        fingerprint: SHA-256 (hex) over everything above but the name. Computed here.
    """

    name: str
    task: Task
    x_train: Features
    y_train: np.ndarray
    x_val: Features
    y_val: np.ndarray
    x_test: Features
    y_test: np.ndarray
    classes: list[Any] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    target: str = "y"
    length_train: np.ndarray | None = None
    length_val: np.ndarray | None = None
    length_test: np.ndarray | None = None
    image_shape: tuple[int, ...] | None = None
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", _fingerprint(self))

    @property
    def is_table(self) -> bool:
        """Whether the inputs are a dict of columns (else one array)."""
        return isinstance(self.x_train, Mapping) and all(values.ndim == 1 for values in self.x_train.values())

    @property
    def n_outputs(self) -> int:
        """Outputs a network needs: the number of classes, or 1 for regression."""
        return len(self.classes) if self.classes is not None else 1

    def __repr__(self) -> str:
        x = self.x_train
        shape = f"{len(x)} columns" if isinstance(x, dict) else f"{x.dtype}{list(x.shape[1:])}"
        kind = f"{len(self.classes)} classes" if self.classes is not None else "regression"
        sizes = f"{len(self.y_train)}/{len(self.y_val)}/{len(self.y_test)}"
        return f"Dataset({self.name!r}, {kind}, x {shape}, train/val/test {sizes})"


def _fingerprint(data: Dataset) -> str:
    """Hash the content: the same in every process, different as soon as one value, label, name or split differs."""
    digest = hashlib.sha256()
    header = [data.task, data.classes, sorted(data.columns.items()), data.target]
    digest.update(json.dumps(header, ensure_ascii=True).encode())
    lengths = [length for length in (data.length_train, data.length_val, data.length_test) if length is not None]
    for part in (data.x_train, data.y_train, data.x_val, data.y_val, data.x_test, data.y_test, *lengths):
        for name, values in sorted(part.items()) if isinstance(part, dict) else [("", part)]:
            digest.update(json.dumps([name, values.dtype.str, values.shape]).encode())
            if values.dtype == object:
                # A length before each string: ["ab", "c"] and ["a", "bc"] are different columns.
                for text in values:
                    encoded = str(text).encode()
                    digest.update(len(encoded).to_bytes(8, "little") + encoded)
            else:
                digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
