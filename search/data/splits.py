"""Which rows are held out: exact counts, stratified, a pure function of the labels and the seed."""

from __future__ import annotations

import numpy as np

from .dataset import DataError

# Tags of the two random streams. The test split does not use the run's seed: runs with different seeds are compared
# on the same test rows, and a new seed cannot move a row from training to test.
TEST_STREAM = 0x7E57
VALIDATION_STREAM = 0x7A11


def hold_out(y: np.ndarray, fraction: float, *, stratify: bool, stream: list[int], part: str) -> np.ndarray:
    """Choose rows to hold out.

    With `stratify` every class gives its share (largest remainder first, ties by class index) and keeps at least one
    row on the training side, so a class with a single row is never held out.

    Args:
        y: [n] targets; class indices if `stratify`.
        fraction: share of the rows, in (0, 1); round(fraction · n), at least 1 and at most n - 1.
        stratify: whether `y` holds class indices.
        stream: seed of the random stream.
        part: name of the part, for messages.

    Returns:
        bool [n], True for rows held out.

    Raises:
        DataError: there are too few rows.
    """
    n = len(y)
    if n < 2:
        raise DataError(f"Too few rows: {n} left to split a {part} part from. Add rows, or bring the parts yourself.")
    wanted = min(max(round(fraction * n), 1), n - 1)
    rng = np.random.default_rng(stream)
    chosen = np.zeros(n, dtype=bool)
    if not stratify:
        chosen[rng.permutation(n)[:wanted]] = True
        return chosen
    labels, counts = np.unique(y, return_counts=True)
    for label, count in zip(labels, _quotas(counts, wanted), strict=True):
        members = np.flatnonzero(y == label)
        chosen[rng.permutation(members)[:count]] = True
    if not chosen.any():
        raise DataError(
            f"Too few rows: no class has a row to spare for the {part} part ({n} rows, {len(labels)} classes). "
            "Every class needs at least 3 rows: one each for training, validation and test."
        )
    return chosen


def _quotas(counts: np.ndarray, wanted: int) -> np.ndarray:
    """Share `wanted` rows among classes in proportion to `counts`, each keeping at least one row."""
    ideal = counts * (wanted / counts.sum())
    quotas = np.minimum(np.floor(ideal).astype(np.int64), counts - 1)
    order = np.argsort(-(ideal - np.floor(ideal)), kind="stable")
    missing = wanted - int(quotas.sum())
    while missing > 0:
        given = 0
        for index in order:
            if missing > 0 and quotas[index] < counts[index] - 1:
                quotas[index] += 1
                missing -= 1
                given += 1
        if given == 0:
            break
    return quotas
