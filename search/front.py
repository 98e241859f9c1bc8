"""The Pareto front of a search, and its winner."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from .dominance import hypervolume
from .errors import LimitsError, NoTrialCompletedError
from .objective import Objective
from .records import TrialRecord

CONNECTIONS = ("connections",)


def error(record: TrialRecord) -> float:
    """How wrong a completed trial's network is: 1 − accuracy (or another metric to maximise), or the error itself."""
    assert record.val_metric is not None, "the trial failed"
    direction = record.direction or ("max" if record.metric == "accuracy" else "min")
    return 1.0 - record.val_metric if direction == "max" else record.val_metric


def winner(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial of lowest objective f = log10(f_p + w_c · f_c) whose network keeps every limit.

    Of equal ones the one with fewer connections, then the earlier one. In a search for the whole front too: it is the
    front's point that w_c asks for.
    """
    feasible = (record for record in records if record.feasible)
    return min(feasible, key=lambda record: (record.objective, record.connections, record.trial), default=None)


def pareto_front(records: Iterable[TrialRecord], measures: Sequence[str] = CONNECTIONS) -> list[TrialRecord]:
    """The trials that no other beats in error or one of the measures without losing in another of them.

    Of trials equal in all the earliest stands for all. Trials that broke a limit, or that were not measured, are none.

    Args:
        records: Trials.
        measures: What a network costs; see `measures.NAMES`.

    Returns:
        Trials by ascending (first) measure; with a single one, that is by descending error.
    """
    points = []
    for record in records:
        costs = [cost for name in measures if (cost := record.measure(name)) is not None]
        if record.feasible and len(costs) == len(measures):
            points.append((record, (*costs, error(record))))
    ordered = sorted(points, key=lambda pair: (*pair[1], pair[0].trial))
    front: list[tuple[TrialRecord, tuple[float, ...]]] = []
    for record, point in ordered:  # whoever beats a point comes before it
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for _, other in front):
            front.append((record, point))
    return [record for record, _ in front]


def front_hypervolume(
    records: Iterable[TrialRecord], largest: Mapping[str, float], *, worst: float = 1.0, measures: Sequence[str] = ()
) -> float:
    """How much of the space of outcomes the front of a search beats: larger is better, and comparable between searches.

    The axes are f_p, up to `worst`, and log10 of each measure, up to the logarithm of `largest`.

    Args:
        records: Trials.
        largest: Measure to the largest value that counts; the same for searches that are compared.
        worst: The largest f_p that counts.
        measures: The measures to count; default: all of `largest`.
    """
    names = tuple(measures or largest)
    points = [
        (record.prediction_loss or 0.0, *(math.log10(max(record.measure(name) or 0.0, 1e-12)) for name in names))
        for record in pareto_front(records, names)
    ]
    return hypervolume(points, (worst, *(math.log10(largest[name]) for name in names)))


def nothing_found(records: Sequence[TrialRecord], objective: Objective) -> NoTrialCompletedError:
    """The error for a search without a winner: which trial came nearest to the limits, or why the first one failed."""

    def times(record: TrialRecord) -> float:
        return max((record.measure(name) or 0.0) / limit for name, limit in objective.limits.items())

    outside = [record for record in records if record.infeasible is not None]
    if outside:
        nearest = min(outside, key=times)
        return LimitsError(
            f"No network that keeps the limits was found in {len(records)} trials. The nearest, trial {nearest.trial}, "
            f"has {nearest.infeasible}. Raise the limit, run more trials, or let the space have smaller networks."
        )
    first = next((record.error for record in records if record.error), "none was run")
    return NoTrialCompletedError(f"None of the {len(records)} trials completed. The first one: {first}")
