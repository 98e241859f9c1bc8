"""`search`: data in, the smallest accurate network out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner

from keras_sparse.muted import muted

from . import directory as names
from .base_space import Space
from .data import Dataset
from .directory import claim
from .distributed.local import LocalWorkers, check_main
from .distributed.roles import LOOPBACK, Role, address, role
from .errors import RunDirectoryError, SearchError
from .finish import LostNetworkError, finish
from .front import nothing_found, winner
from .manifest import RunManifest
from .objective import Direction
from .preparation import Prepared, prepare
from .progress import Progress, Reporter
from .report import write_report
from .result import SearchResult, load_result
from .settings import Mode, Settings
from .spaces import Network, template
from .tuner import SparseTuner

DEFAULT_TRIALS = 20
DEFAULT_EPOCHS = 30
DEFAULT_WEIGHT = 0.1
_RETRACING = "triggered tf.function retracing"
"""TensorFlow's advice to build fewer functions; a search has several for every network it trains."""


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
    workers: int | None = None,
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

    With KerasTuner's environment variables set, see `distributed.roles`, several machines run one search: the process
    whose KERASTUNER_TUNER_ID contains "chief" hands out the trials (and runs none, unless `workers` says so), all
    others are called with the same arguments, run trials, and return the chief's result; `workers`, `resume` and
    `overwrite` count for the chief only.

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
        workers: Processes on this machine that run trials side by side, with an equal part of the threads each. Default
            and with 1: this process runs them. A script that asks for more must do so under `if __name__ ==
            "__main__":`.
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
        WorkersError: Workers cannot be started, the chief cannot be reached, or environment variables are wrong.
    """
    _check(seed, max_trials=max_trials, epochs=epochs, patience=patience, workers=workers)
    me = role()
    check_main()
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
    template(space, network)
    report = Reporter(on_progress)
    patience = patience or max(5, epochs // 3)
    trials = max_trials or DEFAULT_TRIALS
    if (workers or 1) > 1:
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # the chief would take all of it from its workers
    if me.kind == "worker":
        prepared = prepare(data, space, network, settings)
        asked = prepared.manifest(epochs=epochs, patience=patience, seed=seed, max_trials=trials)
        return _work(me, Path(output).expanduser().absolute(), prepared, asked, report)
    with claim(output, resume=resume, overwrite=overwrite) as directory, muted(_RETRACING):
        prepared = prepare(data, space, network, settings)
        earlier = RunManifest.read(directory)
        trials = max_trials or (earlier.max_trials if earlier else DEFAULT_TRIALS)
        manifest = prepared.manifest(epochs=epochs, patience=patience, seed=seed, max_trials=trials)
        if earlier is not None:
            manifest.check_resumable(earlier)
            manifest = replace(earlier, max_trials=manifest.max_trials)
        with _stopped_clearly():
            if manifest != earlier:
                manifest.write(directory)
            tuner = prepared.tuner(directory, manifest, report)
            with ExitStack() as stack:
                arguments = {
                    "data": data, "output": str(directory), "space": prepared.space, "max_trials": trials,
                    "complexity_weight": complexity_weight, "objective": objective, "complexity": complexity,
                    "metric": metric, "direction": direction, "max_connections": max_connections,
                    "max_bytes": max_bytes, "max_latency": max_latency, "early_stopping": early_stopping,
                    "epochs": epochs, "patience": patience, "seed": seed,
                }  # fmt: skip
                run_trials = _runner(stack, me, tuner, workers, arguments, prepared.fit(epochs))
                return _run(run_trials, tuner, directory, prepared)


def _check(seed: int, **counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
    if not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number with 0 <= seed < 2**64, got {seed!r}.")


@contextmanager
def _stopped_clearly() -> Iterator[None]:
    try:
        yield
    except SearchError:
        raise
    except (OSError, keras_tuner.errors.FatalError) as error:
        raise RunDirectoryError(f"The search stopped: {error} It can be resumed.") from error


def _work(me: Role, directory: Path, prepared: Prepared, asked: RunManifest, report: Reporter) -> SearchResult:
    """Runs trials for a chief until the search has ended; returns its result."""
    from .distributed.client import ChiefLostError, await_chief

    total = asked.max_trials
    report(Progress("workers", 0, total, note=f"Waiting for the chief at {address(me.host, me.port)}."))
    try:
        await_chief(me)
    except ChiefLostError as error:
        if load_result(directory) is None:
            raise
        raise ChiefLostError(
            f"{error} If the search was to end: {directory} holds its result, which `ksparse report` shows."
        ) from error
    manifest = RunManifest.read(directory)
    if manifest is None:
        raise RunDirectoryError(
            f"{directory} holds no run. The output directory must be the chief's: one folder that all machines share."
        )
    asked.check_joinable(manifest)
    with _stopped_clearly(), muted(_RETRACING):
        prepared.tuner(directory, manifest, report).search(**prepared.fit(manifest.options["epochs"]))
    result = load_result(directory)
    if result is None:
        raise RunDirectoryError(f"The search has ended, but {directory} does not show its result here yet.")
    return result


def _runner(
    stack: ExitStack,
    me: Role,
    tuner: SparseTuner,
    workers: int | None,
    arguments: Mapping[str, Any],
    fit: Mapping[str, Any],
) -> Callable[[], None]:
    """What runs all trials: the tuner itself, or workers, which `stack` ends."""
    count = (0 if me.kind == "chief" else 1) if workers is None else workers
    if me.kind == "alone" and count == 1:
        return lambda: tuner.search(**fit)
    from .distributed.chief import Chief

    host = me.host if me.kind == "chief" else LOOPBACK
    chief = stack.enter_context(Chief(tuner, host=host, port=me.port, timeout=me.timeout, epochs=fit["epochs"]))
    local = stack.enter_context(LocalWorkers(count, chief, search, arguments, timeout=me.timeout))
    return lambda: chief.run(local.check)


def _run(run_trials: Callable[[], None], tuner: SparseTuner, directory: Path, prepared: Prepared) -> SearchResult:
    while True:
        run_trials()
        records = tuner.oracle.finished
        best = winner(records.values())
        if best is None:
            raise nothing_found(list(records.values()), tuner.oracle.scoring)
        tuner.report(Progress("finish", len(records), tuner.oracle.total, best=best))
        try:
            result = finish(
                directory,
                records,
                prepared.data,
                prepared.preprocessing,
                measures=prepared.settings.measures,
                metric=prepared.metric,
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
