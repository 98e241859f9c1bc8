"""A run directory as one JSON value: everything the page shows."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from keras_sparse.files import read_json

from .. import directory as names
from ..errors import RunDirectoryError
from ..front import error, pareto_front, winner
from ..records import TrialRecord
from .growth import growth
from .importance import importance
from .networks import describe
from .values import axes

SCHEMA: Final = 1
"""Version of the layout of the value."""
DETAILS: Final = 48
"""Networks shown in detail: those of the front, then the best. With 1000 trials the page stays at a few megabytes."""

CONNECTIONS: Final = "connections"
_UNITS = {"bytes": "bytes", "latency": "s", "train-time": "s per epoch"}
_CURVES = ("loss", "val_loss", "val_metric", CONNECTIONS)
_RECORD = re.compile(r"(\d{4,9})\.json")

Json = dict[str, Any]


def collect(directory: str | os.PathLike[str], *, details: int = DETAILS) -> Json:
    """Everything a report shows of a run, finished or not; nothing in the directory is changed.

    No Keras is used, so that it can run beside a training without drawing from its random numbers.

    Args:
        directory: The run directory. One without trials gives a value without trials.
        details: Networks to describe junction by junction, ≥ 1.

    Returns:
        A JSON value without NaN: "title", "metric", "finished", "trials" (one entry each), "front" (indices by
        ascending error) and "best" (index), "objectives" (what the front weighs against the error), "measures" (sizes a
        trial may have), "hypervolume" (after each trial that may be on the front), "axes" and "constants"
        (hyperparameters that differ between trials, and that do not), "importance", "curves" and "networks" (by index,
        of the front and the best), "notes" (what is left out).

    Raises:
        RunDirectoryError: The directory cannot be read, or a newer version wrote it.
    """
    directory = Path(directory).expanduser().absolute()
    manifest = _mapping(_read(directory / names.MANIFEST))
    records, notes = _records(directory)
    data, options = _mapping(manifest.get("data")), _mapping(manifest.get("options"))
    completed = [record for record in records if record.completed]
    objectives = _objectives(options)
    front = [r.trial for r in sorted(pareto_front(records, objectives), key=lambda r: (error(r), r.trial))]
    best = winner(completed)
    shown = _shown(front, completed, details)
    if len(shown) < len(completed):
        notes.append(
            f"Curves and junctions are kept for {len(shown)} of {len(completed)} networks: the front, then the best."
        )
    found, constants = axes([record.hyperparameters for record in records])
    picture = _picture(data)
    return _clean(
        {
            "schema": SCHEMA,
            "title": str(data.get("name") or directory.name),
            "metric": completed[0].metric if completed else "accuracy",
            "finished": (directory / names.RESULTS).is_file(),
            "max_trials": manifest.get("max_trials"),
            "data": {key: value for key, value in data.items() if key != "fingerprint"},
            "options": options,
            "seed": manifest.get("seed"),
            "versions": _mapping(manifest.get("versions")),
            "objectives": objectives,
            "measures": _measures(records),
            "trials": [_trial(record) for record in records],
            "front": front,
            "best": None if best is None else best.trial,
            "hypervolume": growth(_points(completed, objectives)),
            "axes": found,
            "constants": constants,
            "importance": importance(
                [record.hyperparameters for record in completed], [record.objective for record in completed], found
            ),
            "curves": {str(record.trial): _curves(record) for record in completed if record.trial in shown},
            "networks": {
                str(index): describe(directory / names.TRIALS / f"{index:04d}.keras", picture)
                for index in sorted(shown)
            },
            "notes": notes,
        }
    )


def _records(directory: Path) -> tuple[list[TrialRecord], list[str]]:
    """The readable records by index, and a note about the others.

    Unlike `Records` this sets nothing aside: a report only looks.
    """
    folder = directory / names.TRIALS
    try:
        found = sorted((int(match[1]), path) for path in folder.iterdir() if (match := _RECORD.fullmatch(path.name)))
    except FileNotFoundError:
        found = []
    except OSError as error_:
        raise RunDirectoryError(f"Cannot read {folder}: {error_.strerror or error_}.") from error_
    records, damaged = [], 0
    for index, path in found:
        if path.is_symlink() or path.with_suffix(".keras").is_symlink():  # what a search writes are files
            damaged += 1
            continue
        try:
            record = TrialRecord.from_dict(_read(path))
        except ValueError:
            damaged += 1
            continue
        if record.trial != index:
            damaged += 1
            continue
        records.append(record)
    notes = [f"{damaged} of {len(found)} trial records cannot be read and are left out."] if damaged else []
    return records, notes


def _sizes(record: TrialRecord) -> dict[str, float]:
    """What a trial's network costs, by name, connections first."""
    names = dict.fromkeys([CONNECTIONS, *record.measures])
    return {name: size for name in names if (size := record.measure(name)) is not None and size > 0}


def _measures(records: Sequence[TrialRecord]) -> list[Json]:
    found = dict.fromkeys([CONNECTIONS, *(name for record in records for name in _sizes(record))])
    return [{"name": name, "unit": _UNITS.get(name, "")} for name in found]


def _objectives(options: Json) -> list[str]:
    """The names of what the front minimises beside the error: what the search was asked for, else connections."""
    asked = options.get("complexity")
    listed = [name for name in asked if isinstance(name, str)] if isinstance(asked, list) else []
    return list(dict.fromkeys(listed)) or [CONNECTIONS]


def _points(completed: Sequence[TrialRecord], objectives: Sequence[str]) -> dict[int, tuple[float, ...]]:
    """Trial → (error, sizes …), all to be minimised, of those that keep the limits and were measured."""
    found = {}
    for record in completed:
        sizes = _sizes(record)
        if record.feasible and all(name in sizes for name in objectives):
            found[record.trial] = (error(record), *(sizes[name] for name in objectives))
    return found


def _shown(front: Sequence[int], completed: Sequence[TrialRecord], limit: int) -> set[int]:
    """The networks to show in detail: the winner, the front (evenly thinned where it is long), then the best."""
    best = [record.trial for record in sorted(completed, key=lambda r: (r.objective, r.connections, r.trial))]
    room = limit - 1
    if len(front) > room:
        step = (len(front) - 1) / max(1, room - 1)
        front = [front[round(place * step)] for place in range(room)]
    return set(list(dict.fromkeys([*best[:1], *front, *best]))[:limit])


def _trial(record: TrialRecord) -> Json:
    found: Json = {
        "trial": record.trial,
        "status": record.status,
        "hyperparameters": record.hyperparameters,
        "seed": record.seed,
    }
    if not record.completed:
        return found | {"error": str(record.error or "failed")}
    return found | {
        "objective": record.objective,
        "val_metric": record.val_metric,
        "test_metric": record.test_metric,
        "density": record.density,
        "parameters": record.parameters,
        "best_epoch": record.best_epoch,
        "measures": _sizes(record),
        "infeasible": record.infeasible,
        "stopped_early": record.stopped_early,
    }


def _curves(record: TrialRecord) -> Json:
    """The curves a page draws, numbers or None."""
    return {
        name: [value if isinstance(value, int | float) else None for value in values]
        for name in _CURVES
        if isinstance(values := record.curve.get(name), list)
    }


def _picture(data: Json) -> tuple[int, ...] | None:
    """(height, width[, channels]) of the inputs, where they are pictures."""
    shape = data.get("input_shape")
    if isinstance(shape, list) and len(shape) in (2, 3) and all(isinstance(n, int) and n > 0 for n in shape):
        return tuple(shape)
    if data.get("name") == "digits" and data.get("n_features") == 64:
        return (8, 8)  # scikit-learn's come as vectors
    return None


def _read(path: Path) -> Any:
    """The JSON in a file; None where there is no file or no JSON in it.

    Raises:
        RunDirectoryError: The file is there and cannot be read.
    """
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error_:
        raise RunDirectoryError(f"Cannot read {path}: {error_.strerror or error_}.") from error_


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _clean(value: Any) -> Any:
    """`value` as strict JSON: NaN and infinity are None, integers no browser holds exactly are text."""
    if isinstance(value, dict):
        return {str(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    return value
