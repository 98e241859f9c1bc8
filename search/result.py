"""What a search hands over, and its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_sparse.files import read_json

from . import directory as names
from .front import CONNECTIONS, pareto_front, winner
from .records import TrialRecord

Entry = dict[str, Any]
"""One trial as JSON; see `entry`."""


@dataclass(frozen=True)
class SearchResult:
    """The winner, the Pareto front and every trial of a finished search.

    Args:
        best: The winner: an `Entry` whose "model" is `best.keras` (raw inputs) and that has a "saved_model"; of a table
            also "columns", the name of each of their inputs to the column it takes.
        pareto_front: Entries of the trials on the front, by ascending connections (or what size was measured in).
        trials: Entries of all trials, by index; their "model" takes preprocessed features.
        directory: The run directory.
    """

    best: Entry
    pareto_front: list[Entry]
    trials: list[Entry]
    directory: Path

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON: {"best", "pareto_front", "trials"}."""
        return {"best": self.best, "pareto_front": self.pareto_front, "trials": self.trials}


def entry(record: TrialRecord, directory: Path, classes: Sequence[Any] | None) -> Entry:
    """One trial as JSON.

    Args:
        record: The trial.
        directory: The run directory; paths in the entry are absolute.
        classes: The class labels, or None for regression.

    Returns:
        "trial" (index), "status", "objective", "complexity" (f_c), "metric" (name), "val_metric", "val_accuracy" (None
        for regression), "test_metric", "density", "connections", "parameters", "measures" (name to number; see
        `measures.NAMES`), "hyperparameters", "classes", "model", "saved_model" (None: the winner has one); "error" of a
        failed trial, "infeasible" of one that breaks a limit, "stopped_early" (an epoch) of one that was given up.
    """
    found: Entry = {
        "trial": record.trial,
        "status": record.status,
        "objective": record.objective,
        "complexity": record.complexity,
        "metric": record.metric,
        "val_metric": record.val_metric,
        "val_accuracy": record.val_metric if record.metric == "accuracy" else None,
        "test_metric": record.test_metric,
        "density": record.density,
        "connections": record.connections,
        "parameters": record.parameters,
        "measures": dict(record.measures),
        "hyperparameters": dict(record.hyperparameters),
        "classes": None if classes is None else list(classes),
        "model": None if record.network is None else str(directory / record.network),
        "saved_model": None,
    }
    if not record.completed:
        found["error"] = record.error
    for name in ("infeasible", "stopped_early"):
        if (value := getattr(record, name)) is not None:
            found[name] = value
    return found


def assemble(
    records: Iterable[TrialRecord],
    directory: Path,
    classes: Sequence[Any] | None,
    test_metric: float,
    measures: Sequence[str] = CONNECTIONS,
    columns: Mapping[str, str] | None = None,
) -> SearchResult:
    """The result of a search.

    Args:
        records: All trials, at least one of them completed.
        directory: The run directory.
        classes: The class labels, or None for regression.
        test_metric: Test metric of `best.keras`, on raw inputs; it stands for the winner's everywhere.
        measures: What the front weighs against the error.
        columns: Of a table, names of the inputs to original names.
    """
    records = sorted(records, key=lambda record: record.trial)
    best = winner(records)
    assert best is not None, "no trial completed"
    trials = {record.trial: entry(record, directory, classes) for record in records}
    trials[best.trial]["test_metric"] = test_metric
    products: Entry = {"model": str(directory / names.BEST), "saved_model": str(directory / names.SAVED_MODEL)}
    if columns:
        products["columns"] = dict(columns)
    front = [trials[record.trial] for record in pareto_front(records, measures)]
    return SearchResult(trials[best.trial] | products, front, list(trials.values()), directory)


def load_result(directory: str | Path) -> SearchResult | None:
    """The result of a finished search, from its directory; None if there is none, or not a whole one.

    Paths in it are those of `directory`, also if it was moved since.
    """
    directory = Path(directory).expanduser().absolute()
    needed = (names.BEST, names.PARETO, names.PICTURE, f"{names.SAVED_MODEL}/saved_model.pb")
    if not all((directory / name).is_file() for name in needed):
        return None
    try:
        data = read_json(directory / names.RESULTS)
        result = SearchResult(data["best"], data["pareto_front"], data["trials"], directory)
        for found in (*result.pareto_front, *result.trials):
            if found["model"] is not None:
                found["model"] = str(directory / names.TRIALS / Path(found["model"]).name)
        result.best["model"] = str(directory / names.BEST)
        result.best["saved_model"] = str(directory / names.SAVED_MODEL)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return result
