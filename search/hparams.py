"""The trials of a search for TensorBoard: its HParams tab, and a curve per figure and epoch."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_sparse.analysis.summaries import Writer

from .directory import TENSORBOARD
from .records import TrialRecord

_log = logging.getLogger(__name__)


class TrialSummaries:
    """Writes one TensorBoard run per trial under `tensorboard/` of a run directory.

    `tensorboard --logdir DIR/tensorboard` then compares the trials in its HParams tab. They are made from the records,
    so one that is missing is made again, and a failure to write one stops nothing.

    Args:
        directory: The run directory.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / TENSORBOARD

    def complete(self, records: Mapping[int, TrialRecord]) -> None:
        """Writes what is missing of these trials."""
        for index, record in records.items():
            if not self._path(index).exists():
                self.write(record)

    def write(self, record: TrialRecord) -> None:
        """Writes one trial, complete or not at all; in place of an earlier one."""
        path = self._path(record.trial)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            for folder in (temporary, path):
                shutil.rmtree(folder, ignore_errors=True)
            writer = Writer(temporary)
            try:
                _fill(writer, record)
            finally:
                writer.close()
            temporary.rename(path)
        except Exception as error:  # whatever it is, the trial itself is safe
            _log.warning("No TensorBoard summary of trial %d: %s: %s", record.trial, type(error).__name__, error)
            shutil.rmtree(temporary, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:04d}"


def _fill(writer: Writer, record: TrialRecord) -> None:
    values = {name: _plain(value) for name, value in record.hyperparameters.items()}
    writer.hyperparameters(values, f"{record.trial:04d}")
    metrics = {
        "objective": record.objective,
        f"val_{record.metric}": record.val_metric,
        f"test_{record.metric}": record.test_metric,
        "connections": record.connections,
        "density": record.density,
        "parameters": record.parameters,
        **(getattr(record, "measures", None) or {}),
    }
    for name, value in metrics.items():
        if value is not None:
            writer.scalar(name, float(value), record.best_epoch or 0)
    for name, values in record.curve.items():
        for epoch, value in enumerate(values, start=1):
            if value is not None:
                writer.scalar(f"epochs/{name}", float(value), epoch)


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
