"""Writes what a finished search hands over; every file complete or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_sparse.files import atomic

from . import directory as names
from . import picture
from .data import Dataset, Preprocessing, export_with_signatures
from .front import pareto_front, winner
from .networks import evaluation_batch
from .records import TrialRecord, write_json
from .result import SearchResult, assemble, load_result


class LostNetworkError(Exception):
    """The winner's network cannot be read back; the trial has to be run again."""


def finish(
    directory: Path, records: Mapping[int, TrialRecord], data: Dataset, preprocessing: Preprocessing
) -> SearchResult:
    """Writes best.keras, saved_model/, pareto.json, search.png and results.json, unless they are there already.

    `results.json` is removed first and written last: where it is, the others belong to it. So a crash in between is
    repaired by calling this again.

    Args:
        directory: The run directory.
        records: All trials by index, at least one of them completed.
        data: The data; the winner is evaluated on its test part.
        preprocessing: What the networks were trained behind; it becomes part of the winner.

    Raises:
        LostNetworkError: The winner's network is missing or damaged.
        OSError: A file cannot be written.
    """
    best = winner(records.values())
    assert best is not None, "no trial completed"
    if (done := _earlier(directory, records, best, data)) is not None:
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
    batch = evaluation_batch(network)
    logs = served.evaluate(data.x_test, data.y_test, batch_size=batch, verbose=0, return_dict=True)
    export_with_signatures(served, directory / names.SAVED_MODEL, overwrite=True)
    result = assemble(records.values(), directory, data.classes, float(logs[best.metric]))
    write_json(directory / names.PARETO, result.pareto_front)
    title = f"{data.name}: {len(records)} trials, {len(pareto_front(records.values()))} on the Pareto front"
    picture.draw(records.values(), directory / names.PICTURE, title=title)
    write_json(directory / names.RESULTS, result.to_dict())
    return result


def _earlier(
    directory: Path, records: Mapping[int, TrialRecord], best: TrialRecord, data: Dataset
) -> SearchResult | None:
    """The result on disk, if it is that of exactly these trials."""
    found = load_result(directory)
    if found is None or not isinstance(test_metric := found.best.get("test_metric"), float):
        return None
    if not math.isfinite(test_metric):
        return None
    expected = assemble(records.values(), directory, data.classes, test_metric)
    return found if found.to_dict() == expected.to_dict() else None
