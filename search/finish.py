"""Writes what a finished search hands over; every file complete or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_sparse.files import atomic

from . import directory as names
from . import picture
from .data import Dataset, Preprocessing, export_with_signatures
from .front import CONNECTIONS, winner
from .metrics import Adapted, evaluate
from .networks import evaluation_batch
from .records import TrialRecord, write_json
from .result import SearchResult, assemble, load_result


class LostNetworkError(Exception):
    """The winner's network cannot be read back; the trial has to be run again."""


def finish(
    directory: Path,
    records: Mapping[int, TrialRecord],
    data: Dataset,
    preprocessing: Preprocessing,
    *,
    measures: Sequence[str] = CONNECTIONS,
    metric: Adapted | None = None,
) -> SearchResult:
    """Writes best.keras, saved_model/, pareto.json, search.png and results.json, unless they are there already.

    `results.json` is removed first and written last: where it is, the others belong to it. So a crash in between is
    repaired by calling this again.

    Args:
        directory: The run directory.
        records: All trials by index, at least one of them completed.
        data: The data; the winner is evaluated on its test part.
        preprocessing: What the networks were trained behind; it becomes part of the winner.
        measures: What the front weighs against the error.
        metric: The metric of the search, for targets in their own unit, if it is not the default one.

    Raises:
        LostNetworkError: The winner's network is missing or damaged.
        OSError: A file cannot be written.
    """
    best = winner(records.values())
    assert best is not None, "no trial completed"
    if (done := _earlier(directory, records, best, data, measures)) is not None:
        return done
    (directory / names.RESULTS).unlink(missing_ok=True)
    keras.utils.clear_session()
    try:
        network: Any = keras.models.load_model(directory / str(best.network))
    except Exception as error:
        raise LostNetworkError(f"{best.network}: {error}") from error
    served: Any = preprocessing.attach(network)
    with atomic(directory / names.BEST) as temporary:
        served.save(temporary)
    test_metric = _test_metric(served, best, data, metric, evaluation_batch(network))
    export_with_signatures(served, directory / names.SAVED_MODEL, overwrite=True)
    result = assemble(records.values(), directory, data.classes, test_metric, measures, data.columns)
    write_json(directory / names.PARETO, result.pareto_front)
    title = f"{data.name}: {len(records)} trials, {len(result.pareto_front)} on the Pareto front"
    picture.draw(records.values(), directory / names.PICTURE, title=title, measure=measures[0])
    write_json(directory / names.RESULTS, result.to_dict())
    return result


def _test_metric(served: Any, best: TrialRecord, data: Dataset, metric: Adapted | None, batch: int) -> float:
    if metric is not None:
        return evaluate(served, metric, data.x_test, data.y_test, batch_size=batch)
    logs = served.evaluate(data.x_test, data.y_test, batch_size=batch, verbose=0, return_dict=True)
    return float(logs[best.metric])


def _earlier(
    directory: Path, records: Mapping[int, TrialRecord], best: TrialRecord, data: Dataset, measures: Sequence[str]
) -> SearchResult | None:
    """The result on disk, if it is that of exactly these trials."""
    found = load_result(directory)
    if found is None or not isinstance(test_metric := found.best.get("test_metric"), float):
        return None
    if not math.isfinite(test_metric):
        return None
    expected = assemble(records.values(), directory, data.classes, test_metric, measures, data.columns)
    return found if found.to_dict() == expected.to_dict() else None
