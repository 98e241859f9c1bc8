"""The Pareto front of a search, and its winner."""

from __future__ import annotations

from collections.abc import Iterable

from .records import TrialRecord


def error(record: TrialRecord) -> float:
    """How wrong a completed trial's network is: 1 − accuracy, or the mean squared error."""
    assert record.val_metric is not None, "the trial failed"
    return 1.0 - record.val_metric if record.metric == "accuracy" else record.val_metric


def winner(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The completed trial of lowest objective; of equal ones the one with fewer connections, then the earlier one."""
    completed = (record for record in records if record.completed)
    return min(completed, key=lambda record: (record.objective, record.connections, record.trial), default=None)


def pareto_front(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The completed trials that no other beats in one of error and connections without losing in the other.

    Of trials equal in both the earliest stands for all.

    Returns:
        Trials by ascending connections, that is by descending error.
    """
    completed = [record for record in records if record.completed]
    front: list[TrialRecord] = []
    for record in sorted(completed, key=lambda record: (record.connections, error(record), record.trial)):
        if not front or error(record) < error(front[-1]):
            front.append(record)
    return front
