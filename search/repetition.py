"""`repeat`: a trial trained again from its record."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from keras_sparse.compute.threads import kernels, threads

from .data import Dataset
from .errors import RunDirectoryError
from .manifest import RunManifest
from .preparation import prepare
from .progress import Reporter
from .records import Records, TrialRecord
from .settings import Settings
from .spaces import SPACES


def repeat(data: Dataset, directory: str | os.PathLike[str], trial: int) -> TrialRecord:
    """Trains a trial of a search again, with its seed, its hyperparameters and its options.

    Nothing is written. With as many threads and the same kernels as the record names (a warning says if they differ),
    every number is that of the record, but for seconds that were measured. Threads are set before Python starts:
    `TF_NUM_INTRAOP_THREADS` and `KERAS_SPARSE_THREADS`.

    Args:
        data: The data of the search.
        directory: The run directory.
        trial: Index of the trial.

    Returns:
        The new record.

    Raises:
        RunDirectoryError: The directory holds no such run or trial, or the space is of a kind of one's own.
        ResumeMismatchError: The run was started with other data.
    """
    directory = Path(directory).expanduser().absolute()
    manifest = RunManifest.read(directory)
    if manifest is None:
        raise RunDirectoryError(f"{directory} holds no run: it has no run.json.")
    record = Records(directory).read(trial)
    if record is None:
        raise RunDirectoryError(f"{directory} holds no record of trial {trial}.")
    kind = SPACES.get(manifest.space.get("kind", "mlp"))
    if kind is None:
        raise RunDirectoryError(
            f"A space of kind {manifest.space.get('kind')!r} cannot be made from its description. Build a SparseTuner "
            "with it and call its `repeat`."
        )
    settings = Settings.from_options(manifest.options)
    prepared = prepare(data, kind.from_dict(manifest.space), None, settings)
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
