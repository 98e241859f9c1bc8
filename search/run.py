"""`search`: data in, the smallest accurate network out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from . import data as data_module
from . import directory as names
from .base_space import Space
from .data import Dataset, Preprocessing, with_lengths
from .directory import claim
from .errors import RunDirectoryError
from .finish import LostNetworkError, finish
from .front import nothing_found, winner
from .hypermodel import SparseHyperModel
from .manifest import RunManifest
from .objective import Direction
from .oracle import SparseOracle
from .placing import informative
from .progress import Progress, Reporter
from .records import Records
from .report import write_report
from .result import SearchResult
from .settings import Mode, Settings
from .spaces import Network, template
from .tuner import SparseTuner
from .yardstick import largest

DEFAULT_TRIALS = 20
DEFAULT_EPOCHS = 30
DEFAULT_WEIGHT = 0.1

Part = tuple[Any, Any]


def search(
    data: Dataset,
    *,
    output: str | os.PathLike[str],
    space: Space | Mapping[str, Any] | None = None,
    network: Network | None = None,
    max_trials: int | None = None,
    complexity_weight: float = DEFAULT_WEIGHT,
    objective: Mode = "weighted",
    complexity: str | Sequence[str] = "connections",
    metric: str | None = None,
    direction: Direction | None = None,
    max_connections: float | None = None,
    max_bytes: float | None = None,
    max_latency: float | None = None,
    early_stopping: bool | None = None,
    epochs: int = DEFAULT_EPOCHS,
    patience: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
) -> SearchResult:
    """Searches for a sparse network that is accurate and small, and writes everything found into a directory.

    The directory holds `run.json` (what was asked for), `trials/NNNN.json` and `trials/NNNN.keras` (every trial, and
    its network on preprocessed features), `best.keras` and `saved_model/` (the winner on raw inputs), `pareto.json`,
    `search.png`, `report.html`, `tensorboard/` (the trials, for its HParams tab) and `results.json`. A search that is
    interrupted, however it is, loses the running trial only; with `resume` it ends with the same trials and the same
    winner as one never interrupted.

    Args:
        data: What `keras_sparse.search.data.load` returns. The test part takes part in no choice.
        output: The run directory.
        space: Where to search: a space, or the fields in which it shall differ from the default, `for_data` of
            `MLPSpace`, `ConvSpace` or `RecurrentSpace`.
        network: "mlp" (examples are flattened), "cnn" (they are images [height, width, channels] or grey ones [height,
            width]; or sequences, with `dimensions=1` in the space) or "rnn" (sequences [time, features]; steps beyond
            the lengths in `data` are skipped). Default: the kind of `space`, or "mlp".
        max_trials: Trials to run in all, ≥ 1. Default: 20, or on resume what the run was started with.
        complexity_weight: w_c ≥ 0 in log10(f_p + w_c · f_c): 0 for accuracy alone; with 1, one per cent of the
            connections of the largest network of the space costs as much as one point of accuracy.
        objective: "weighted" looks for the smallest f, "pareto" for the whole front of error against complexity; the
            winner is the front's point of smallest f then.
        complexity: What size is measured in: "connections", "bytes", "flops", "latency" or "train-time", see
            `measures`; with "pareto" any number of them, of which the first is f_c.
        metric: A Keras metric by name, e.g. "auc" or "mae". Default: accuracy, or the mean squared error.
        direction: Whether it shall be large ("max") or small ("min"). Default: as its name says.
        max_connections: The most connections a network may have. Networks that break this or the following limits are
            not trained where that is known before, and never win.
        max_bytes: The most bytes of weights and indices.
        max_latency: The longest time for one sample, in seconds.
        early_stopping: Whether hopeless trials are given up by successive halving. Default: with "pareto".
        epochs: Epochs a trial trains at most, ≥ 1.
        patience: Epochs without a better one before a trial stops. Default: a third of `epochs`, at least 5.
        seed: Of the proposals and of every trial, 0 ≤ seed < 2⁶⁴.
        resume: Continue the run in `output`; start one if there is none; return the result of a finished one.
        overwrite: Remove an earlier run in `output` first.
        on_progress: Called with each `Progress`.

    Returns:
        The winner, the front and all trials.

    Raises:
        ValueError: An argument is out of range, or the data do not suit the network.
        OutputDirectoryError: `output` cannot be used as asked.
        ResumeMismatchError: The run in `output` was started with something else.
        RunDirectoryError: A file of the run directory cannot be read or written.
        NoTrialCompletedError: Every trial failed.
        LimitsError: No network keeps the limits.
    """
    _check(max_trials, epochs, patience, seed)
    settings = Settings(
        objective,
        complexity,
        complexity_weight,
        metric,
        direction,
        {"connections": max_connections, "bytes": max_bytes, "latency": max_latency},
        early_stopping,
    )
    if (metric_of := settings.adapted(data.task, data.n_outputs)) is not None:
        metric_of()  # an unknown one is found before anything is written
    wanted = template(space, network)
    form = wanted.form
    report = Reporter(on_progress)
    with claim(output, resume=resume, overwrite=overwrite) as directory:
        prepared = with_lengths(data) if form == "sequences" else data
        preprocessing = data_module.fit(prepared, form, shared=getattr(wanted, "scaling", None) == "shared")
        if not isinstance(space, Space):
            space = type(wanted).for_data(preprocessing.shape, len(data.y_train), **(space or {}))
        patience = patience or max(5, epochs // 3)
        earlier = RunManifest.read(directory)
        manifest = RunManifest(
            data=_describe(data, preprocessing),
            space=space.to_dict(),
            options={**settings.to_options(), "epochs": epochs, "patience": patience},
            seed=seed,
            max_trials=max_trials or (earlier.max_trials if earlier else DEFAULT_TRIALS),
        )
        if earlier is not None:
            manifest.check_resumable(earlier)
            manifest = replace(earlier, max_trials=manifest.max_trials)
        try:
            if manifest != earlier:
                manifest.write(directory)
            parts = _parts(prepared, preprocessing)
            tuner = _tuner(directory, manifest, space, settings, prepared, preprocessing, parts, report)
            return _run(tuner, directory, settings, prepared, preprocessing, parts, epochs)
        except (OSError, keras_tuner.errors.FatalError) as error:
            raise RunDirectoryError(f"The search stopped: {error} It can be resumed.") from error


def _check(max_trials: int | None, epochs: int, patience: int | None, seed: int) -> None:
    for name, value in (("max_trials", max_trials), ("epochs", epochs), ("patience", patience)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number with 0 <= seed < 2**64, got {seed!r}.")


def _describe(data: Dataset, preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        "name": data.name,
        "task": data.task,
        "fingerprint": data.fingerprint,
        "input_shape": None if isinstance(data.x_train, dict) else list(data.x_train.shape[1:]),
        "n_train": len(data.y_train),
        "n_val": len(data.y_val),
        "n_test": len(data.y_test),
        "n_features": preprocessing.n_features,
        "n_outputs": preprocessing.n_outputs,
    }


def _parts(data: Dataset, preprocessing: Preprocessing) -> list[Part]:
    """Features and targets of the training, validation and test part, as the networks see them."""
    raw = ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test))
    return [(preprocessing.features(x), preprocessing.target(y)) for x, y in raw]


def _tuner(
    directory: Path,
    manifest: RunManifest,
    space: Space,
    settings: Settings,
    data: Dataset,
    preprocessing: Preprocessing,
    parts: Sequence[Part],
    report: Reporter,
) -> SparseTuner:
    n_in, n_out, regression = preprocessing.shape, preprocessing.n_outputs, data.task == "regression"
    deviation = preprocessing.y_std if regression else 1.0  # networks predict standardised targets
    metric = settings.adapted(data.task, n_out, mean=preprocessing.y_mean, deviation=deviation)
    hypermodel = SparseHyperModel(
        space,
        n_in=n_in,
        n_out=n_out,
        task=data.task,
        n_train=len(data.y_train),
        padded=preprocessing.padded,
        metric=metric,
        informative=informative(parts[0][0]) if "informative" in space.patterns else None,
    )
    name = settings.measures[0]
    reference = {**space.references(n_in, n_out), **manifest.measured}.get(name)
    if reference is None:
        values = space.slowest(n_in, n_out)
        reference = largest(hypermodel, name, seed=manifest.seed, train=parts[0], validation=parts[1], values=values)
        replace(manifest, measured={name: reference}).write(directory)
    objective = settings.objective(
        data.task,
        reference=reference,
        n_validation=len(data.y_val),
        target_variance=(float(np.var(data.y_train)) or deviation**2) if regression else None,
    )
    oracle = SparseOracle(
        Records(directory),
        objective,
        max_trials=manifest.max_trials,
        seed=manifest.seed,
        known=lambda values: space.known(values, n_in, n_out),
    )
    return SparseTuner(
        oracle,
        hypermodel,
        patience=manifest.options["patience"],
        early_stopping=settings.stops,
        unit=deviation**2 if metric is None else 1.0,
        on_progress=report,
    )


def _run(
    tuner: SparseTuner,
    directory: Path,
    settings: Settings,
    data: Dataset,
    preprocessing: Preprocessing,
    parts: Sequence[Part],
    epochs: int,
) -> SearchResult:
    train, validation, test = parts
    metric = settings.adapted(data.task, preprocessing.n_outputs)
    while True:
        tuner.search(*train, validation_data=validation, test_data=test, epochs=epochs)
        records = tuner.oracle.finished
        best = winner(records.values())
        if best is None:
            raise nothing_found(list(records.values()), tuner.oracle.scoring)
        tuner.report(Progress("finish", len(records), tuner.oracle.total, best=best))
        try:
            result = finish(
                directory, records, data, preprocessing, measures=settings.measures, metric=metric and metric()
            )
        except LostNetworkError as error:
            tuner.oracle.forget(best.trial, str(error))
            continue
        if not _is_reported(directory):
            write_report(directory)
        tuner.report(Progress("done", len(records), tuner.oracle.total, best=best))
        return result


def _is_reported(directory: Path) -> bool:
    """Whether the page is that of the result: written after it."""
    page = directory / names.REPORT
    return page.is_file() and page.stat().st_mtime_ns >= (directory / names.RESULTS).stat().st_mtime_ns
