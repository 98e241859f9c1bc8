"""What a network sees in an example: flat features, an image or a sequence."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from .dataset import DataError, Dataset

Form = Literal["features", "images", "sequences"]
"""[d], [height, width, channels] or [time, d]."""


def example_shape(data: Dataset, form: Form) -> tuple[int, ...]:
    """The shape in which networks of a form see an example of `data`.

    "features" are whatever is there, flattened. "images" are examples [height, width, channels], or [height, width]
    for grey ones. "sequences" are examples [time, …], all that follows time flattened: the rows of an image, if that is
    what they are. Flat examples that are known to be images (those of digits) can be both.

    Raises:
        DataError: The examples cannot be seen so.
    """
    x = data.x_train["x"] if is_padded(data) else data.x_train  # type: ignore[index]
    if isinstance(x, dict):
        if form == "features":
            return (len(x),)
        raise DataError(
            f"{data.name} is a table, and networks on {form} need arrays. Use the network mlp, or an .npz file."
        )
    shape = data.image_shape or x.shape[1:]
    if form == "features":
        return (math.prod(shape),)
    found = f"{data.name} has examples of shape {list(shape)}, but the network"
    if form == "images":
        if len(shape) not in (2, 3):
            raise DataError(
                f"{found} cnn needs images: [height, width, channels], or [height, width] if they are grey. "
                "Reshape x to [rows, height, width, channels], or use another network (mlp flattens examples)."
            )
        return (*shape, 1)[:3]
    if len(shape) < 2:
        raise DataError(
            f"{found} needs sequences: [time, features]. Reshape x to [rows, time, features], with [rows, time, 1] "
            "for one number per step, or use the network mlp, which flattens examples."
        )
    return shape[0], math.prod(shape[1:])


def with_lengths(data: Dataset) -> Dataset:
    """The data as a model of sequences takes them: {"x", "length"} where lengths are known, else as they are."""
    parts = {}
    for part in ("train", "val", "test"):
        x, length = getattr(data, f"x_{part}"), getattr(data, f"length_{part}")
        if length is None or isinstance(x, dict):
            return data
        parts[f"x_{part}"] = {"x": x, "length": length}
    return dataclasses.replace(data, **parts)


def is_padded(data: Dataset) -> bool:
    """Whether the inputs are sequences with their lengths, as `with_lengths` gives them."""
    x = data.x_train
    return isinstance(x, dict) and set(x) == {"x", "length"} and x["x"].ndim > 1


def real_steps(x: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The steps [steps, …] of sequences [n, time, …] that are no padding."""
    return x[np.arange(x.shape[1]) < length[:, np.newaxis]]
