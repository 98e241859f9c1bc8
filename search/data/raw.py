"""`Raw`: what every reader hands over before labels are encoded and parts are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .dataset import Features


@dataclass(frozen=True, eq=False)
class Raw:
    """Checked inputs and raw targets of the parts a source has.

    Args:
        name: the data set's name, for messages.
        parts: "train" and, where the source brings them, "val" and "test": (inputs, raw targets [n]).
            Raw targets are free of missing values; any of bool, integer, float, or object arrays of `str`.
        columns: sanitised -> original names of a table's feature columns.
        target: the target's name.
        classes: the labels the raw targets (integers) already index, where the source knows them.
        lengths: part -> [n] int64, the steps of each sequence that are no padding, where the source knows them.
        image_shape: (height, width, channels) of flat examples that are images, where the source knows that.
    """

    name: str
    parts: Mapping[str, tuple[Features, np.ndarray]]
    columns: dict[str, str] = field(default_factory=dict)
    target: str = "y"
    classes: list[Any] | None = None
    lengths: Mapping[str, np.ndarray] = field(default_factory=dict)
    image_shape: tuple[int, ...] | None = None


def take(x: Features, rows: np.ndarray | slice) -> Features:
    """Rows of an array or of every column of a table."""
    if isinstance(x, dict):
        return {name: values[rows] for name, values in x.items()}
    return x[rows]
