"""Decide between classification and regression, and encode the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from .dataset import DataError, Task

TaskRequest = Literal["auto", "classification", "regression"]

FEW_VALUES = 20
"""Up to this many distinct whole numbers are classes (if there are at least two rows for each)."""
MOST_CLASSES = 1000
"""Up to this many are classes if they are numbered from 0 or 1 without a gap, with ten rows for each."""


def detect(y: np.ndarray, request: TaskRequest = "auto") -> Task:
    """Decide what kind of problem a target poses.

    Text and bool are classification. Numbers are classification if all are whole and either there are at most
    20 distinct ones and twice as many rows, or they are stored as integers, numbered from 0 or 1 without a gap, at most
    1000, and there are at least ten rows for each. All other numbers are regression.

    Args:
        y: [n] raw targets without missing values.
        request: "auto", or the answer.

    Raises:
        DataError: regression was asked for a target that is not numbers.
    """
    numeric = y.dtype.kind in "iuf"
    if request == "regression" and not numeric and y.dtype.kind != "b":
        raise DataError(
            f"Regression needs a target of numbers, but it holds text such as {y[0]!r}. "
            "Choose another target column, or classification."
        )
    if request != "auto":
        return request
    if not numeric:
        return "classification"
    distinct = np.unique(y)
    if not np.all(distinct == np.round(distinct)):
        return "regression"
    if len(distinct) <= FEW_VALUES and len(y) >= 2 * len(distinct):
        return "classification"
    numbered = y.dtype.kind in "iu" and int(distinct[0]) in (0, 1) and np.all(np.diff(distinct) == 1)
    if numbered and len(distinct) <= MOST_CLASSES and len(y) >= 10 * len(distinct):
        return "classification"
    return "regression"


def encode(
    targets: Mapping[str, np.ndarray], task: Task, classes: list[Any] | None, *, target: str
) -> tuple[dict[str, np.ndarray], list[Any] | None]:
    """Turn raw targets into class indices or float64 values.

    Args:
        targets: raw targets [n] of each part.
        task: "classification" or "regression".
        classes: the labels the targets already index, or None to take the sorted distinct values of all parts.
        target: the target's name, for messages.

    Returns:
        Encoded targets of each part, and the labels by index (None for regression).

    Raises:
        DataError: a single class or value, or so many classes that the target looks like an identifier.
    """
    pooled = np.concatenate(list(targets.values()))
    if task == "regression":
        values = {part: y.astype(np.float64) for part, y in targets.items()}
        if pooled.min() == pooled.max():
            raise DataError(
                f"The target {target!r} has a single value ({pooled[0]}) in all {len(pooled)} rows: there is nothing "
                "to learn. Choose another target."
            )
        return values, None
    labels, indices = np.unique(pooled, return_inverse=True)
    if len(labels) < 2:
        only = classes[int(labels[0])] if classes is not None else _plain(labels[0])
        raise DataError(
            f"The target {target!r} has a single class ({only!r}) in all {len(pooled)} rows. "
            "Expected at least two classes. Choose another target."
        )
    if len(labels) > max(10, len(pooled) // 2):
        raise DataError(
            f"The target {target!r} has {len(labels)} distinct values in {len(pooled)} rows: it looks like an "
            "identifier, not like classes. Choose another target column, or regression if it is a quantity."
        )
    if classes is None:
        classes = [_plain(label) for label in labels]
    else:
        indices = pooled
    cuts = np.cumsum([len(y) for y in targets.values()])[:-1]
    encoded = np.split(np.asarray(indices, dtype=np.int64).reshape(-1), cuts)
    return dict(zip(targets, encoded, strict=True)), classes


def check_parts(y: Mapping[str, np.ndarray], classes: list[Any], *, target: str) -> None:
    """Refuse held-out parts with classes that the training part does not have.

    Raises:
        DataError: names the classes.
    """
    known = np.unique(y["train"])
    if len(known) < 2:
        raise DataError(
            f"The training part has a single class ({classes[int(known[0])]!r}) of the target {target!r}. "
            "Expected at least two."
        )
    for part in y:
        unknown = np.setdiff1d(y[part], known)
        if len(unknown):
            named = ", ".join(repr(classes[int(index)]) for index in unknown[:5])
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise DataError(
                f"The {part} part has classes of the target {target!r} that the training part does not have: "
                f"{named}{more}. Move rows of every class into the training part, or drop these classes."
            )


def _plain(label: Any) -> Any:
    """Convert a NumPy label to the plain value that JSON can hold; whole numbers become int."""
    value = label.item() if isinstance(label, np.generic) else label
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
