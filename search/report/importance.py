"""Which hyperparameters decide the objective, as far as the trials can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .values import encode

FEWEST: Final = 12
"""Completed trials below which nothing is said: a forest sees patterns in any dozen points."""
_FOLDS, _REPEATS, _TREES = 4, 5, 100

Array = NDArray[np.float64]


def importance(
    configurations: Sequence[Mapping[str, Any]], outcomes: Sequence[float | None], axes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """How much worse a random forest predicts the objective of unseen trials when one hyperparameter is shuffled.

    Permutation importance (Breiman 2001, section 10), cross-validated: each of four forests is judged on the quarter of
    the trials that it did not see. A hyperparameter that only some networks have shares its credit with the one that
    decides whether they have it; so do hyperparameters that the search moved together.

    Args:
        configurations: Hyperparameters of completed trials.
        outcomes: Their objectives.
        axes: What `values.axes` returns.

    Returns:
        {"values": [{"name", "value", "deviation"}] by falling value: the rise of the squared error over the variance
        of the objective, with its standard deviation over shuffles; "explained": share of the variance that the
        forests predict (R²; about 0 or less: do not trust the values); "trials"}; or {"reason"} where there are too
        few trials.
    """
    pairs = [(each, outcome) for each, outcome in zip(configurations, outcomes, strict=True) if outcome is not None]
    if len(pairs) < FEWEST:
        return {"reason": f"Needs at least {FEWEST} completed trials; there are {len(pairs)}."}
    if not axes:
        return {"reason": "No hyperparameter differs between the trials."}
    target = np.array([outcome for _, outcome in pairs], np.float64)
    variance = float(np.var(target))
    if variance <= 1e-24:
        return {"reason": "All trials have the same objective."}
    columns = [np.array([encode(axis, each) for each, _ in pairs], np.float64) for axis in axes]
    rises, unexplained = _rises(columns, target)
    means, deviations = rises.mean(1) / variance, rises.std(1) / variance
    values = [
        {"name": axis["name"], "value": round(float(mean), 5), "deviation": round(float(deviation), 5)}
        for axis, mean, deviation in zip(axes, means, deviations, strict=True)
    ]
    values.sort(key=lambda entry: (-entry["value"], entry["name"]))
    return {"values": values, "explained": round(1.0 - unexplained / variance, 4), "trials": len(pairs)}


def _rises(columns: Sequence[Array], target: Array) -> tuple[Array, float]:
    """(rise of the mean squared error when a hyperparameter is shuffled [hyperparameters, repeats], error without)."""
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)  # of its own: a report draws nothing from the training's numbers
    fold = rng.permutation(len(target)) % _FOLDS
    everything = np.concatenate(columns, axis=1)
    ends = np.cumsum([column.shape[1] for column in columns])
    rises, error = np.zeros((len(columns), _REPEATS)), 0.0
    for number in range(_FOLDS):
        seen, unseen = fold != number, fold == number
        forest: Any = RandomForestRegressor(_TREES, random_state=number, n_jobs=1)
        forest.fit(everything[seen], target[seen])
        x, y = everything[unseen], target[unseen]
        base = float(np.sum((forest.predict(x) - y) ** 2))
        error += base / len(target)
        for place, end in enumerate(ends):
            begin = end - columns[place].shape[1]
            shuffled = np.stack([x] * _REPEATS)
            for copy in shuffled:
                copy[:, begin:end] = x[rng.permutation(len(x)), begin:end]
            answers = forest.predict(shuffled.reshape(-1, x.shape[1])).reshape(_REPEATS, -1)
            rises[place] += (np.sum((answers - y) ** 2, axis=1) - base) / len(target)
    return rises, error
