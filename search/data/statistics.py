"""Centre and scale of every feature, from the training part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIP = 10.0
"""Features are clipped to this many standard deviations."""
PADDING = -2 * CLIP
"""What features of padded steps are: no feature can be that small."""
FLOOR = 0.3
"""Where features share a unit, no standard deviation counts as less than this share of their mean."""
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Statistics:
    """What standardisation needs.

    Args:
        mean: float64 [d], in raw units.
        scale: float64 [d], one over the standard deviation; 0 for features that are constant.
    """

    mean: np.ndarray
    scale: np.ndarray

    @property
    def needs_double(self) -> bool:
        """Whether float32 would lose the signal: an offset of more than 100 deviations, or an extreme unit."""
        live = self.scale > 0
        offset = np.abs(self.mean[live]) * self.scale[live]
        extreme = (self.scale[live] > 1e30) | (self.scale[live] < 1e-30)
        return bool(np.any(offset > 100.0) or np.any(extreme))


def from_array(x: np.ndarray) -> Statistics:
    """Statistics of flattened array data [n, ...]; of images and sequences, one row is a pixel or a step.

    A feature that is constant in training says nothing: its scale is 0, so whatever it is later, it counts as average.
    Where features share a unit, as pixels do, a nearly constant one must not be blown up into a loud one: its standard
    deviation is floored at `FLOOR` times the mean one. They are taken to share a unit if the median range of the
    features that vary is at least a quarter of the largest; columns in different units differ by more.
    """
    flat = x.reshape(len(x), -1)
    mean = flat.mean(axis=0, dtype=np.float64)
    low, high = flat.min(axis=0).astype(np.float64), flat.max(axis=0).astype(np.float64)
    mean = np.where(low == high, low, mean)
    square = np.zeros(flat.shape[1])
    for start in range(0, len(flat), _CHUNK):
        square += np.sum((flat[start : start + _CHUNK].astype(np.float64) - mean) ** 2, axis=0)
    std, varies = np.sqrt(square / len(flat)), high > low
    if varies.any():
        extent = (high - low)[varies]
        if np.median(extent) >= 0.25 * extent.max():
            std = np.where(varies, np.maximum(std, FLOOR * std[varies].mean()), std)
    return Statistics(mean, _inverse(std, varies))


def from_column(values: np.ndarray) -> Statistics:
    """Statistics of one column of numbers [n]."""
    return from_columns(values[:, np.newaxis])


def from_columns(values: np.ndarray) -> Statistics:
    """Statistics of columns [n, d] that share nothing: no floor."""
    exact = values.astype(np.float64)
    varies = exact.max(axis=0) > exact.min(axis=0)
    mean = np.where(varies, exact.mean(axis=0), exact[0])
    return Statistics(mean, _inverse(np.sqrt(np.mean((exact - mean) ** 2, axis=0)), varies))


def from_categories(values: np.ndarray, vocabulary: list[str]) -> Statistics:
    """Statistics of the one-hot encoding [n, 1 + len(vocabulary)] whose first slot is for unknown categories."""
    index = {text: slot for slot, text in enumerate(vocabulary, start=1)}
    counts = np.bincount([index[text] for text in values], minlength=len(vocabulary) + 1)
    mean = counts / len(values)
    std = np.sqrt(mean * (1.0 - mean))
    return Statistics(mean, _inverse(std, (mean > 0) & (mean < 1)))


def concatenate(parts: list[Statistics]) -> Statistics:
    """Put features side by side."""
    return Statistics(np.concatenate([p.mean for p in parts]), np.concatenate([p.scale for p in parts]))


def _inverse(std: np.ndarray, varies: np.ndarray) -> np.ndarray:
    live = varies & (std > 0)
    return np.where(live, 1.0 / np.where(live, std, 1.0), 0.0)
