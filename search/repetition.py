"""`repeat`: a trial trained again from its record."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from keras_sparse.compute.threads import kernels, threads

from .base_space import Space
from .data import Dataset
from .errors import RunDirectoryError
from .manifest import RunManifest
from .preparation import prepare
from .progress import Reporter
from .records import Records, TrialRecord
from .settings import Settings
from .spaces import SPACES


def repeat(data: Dataset, directory: str | os.PathLike[str], trial: int, *, space: Space | None = None) -> TrialRecord:
    """Trains a trial of a search again, with its seed, its hyperparameters and its options.

    Nothing is written. With as many threads and the same kernels as the record names (a warning says if they differ),
    every number is that of the record, but for seconds that were measured. Threads are set before Python starts:
    `TF_NUM_INTRAOP_THREADS` and `KERAS_SPARSE_THREADS`.

    Args:
        data: The data of the search.
        directory: The run directory.
        trial: Index of the trial.
        space: The space of the search, where it is of a class of one's own, which `run.json` does not hold.

    Returns:
        The new record.

    Raises:
        RunDirectoryError: The directory holds no such run or trial, or a space of one's own was not given.
        ResumeMismatchError: The run was started with other data, or another space.
    """
    directory = Path(directory).expanduser().absolute()
    manifest = RunManifest.read(directory)
    if manifest is None:
        raise RunDirectoryError(f"{directory} holds no run: it has no run.json.")
    record = Records(directory).read(trial)
    if record is None:
        raise RunDirectoryError(f"{directory} holds no record of trial {trial}.")
    if space is None:
        space = _described(manifest)
    settings = Settings.from_options(manifest.options)
    prepared = prepare(data, space, None, settings)
    epochs = manifest.options["epochs"]
    mine = prepared.manifest(
        epochs=epochs, patience=manifest.options["patience"], seed=manifest.seed, max_trials=manifest.max_trials
    )
    mine.check_resumable(manifest)
    for name, here in (("threads", threads()), ("kernels", kernels())):
        there = getattr(record, name)
        if there is not None and there != here:
            warnings.warn(f"Trial {trial} ran with {name} {there}, this is {here}: numbers may differ.", stacklevel=2)
    return prepared.tuner(directory, manifest, Reporter(None)).repeat(record, **prepared.fit(epochs))


def _described(manifest: RunManifest) -> Space:
    """The space that a manifest describes, of those there are."""
    try:
        return SPACES[manifest.space.get("kind", "mlp")].from_dict(manifest.space)
    except (KeyError, TypeError, ValueError) as error:
        raise RunDirectoryError(
            "The space of this search cannot be made from run.json: it is of a class of its own. Hand it over, as "
            "`repeat(data, directory, trial, space=…)`."
        ) from error
