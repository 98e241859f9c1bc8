"""Summaries for TensorBoard: the one file of this package's analysis that imports TensorFlow, when it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BUCKETS = 64


class Writer:
    """Writes summaries to an event file.

    Args:
        log_dir: folder of the event file; made if need be.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        import tensorflow as tf
        from tensorboard.plugins.histogram import metadata

        self._summary: Any = tf.summary
        self._histogram: Any = metadata.create_summary_metadata(display_name=None, description=None)
        self._writer: Any = tf.summary.create_file_writer(os.fspath(log_dir))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number."""
        with self._writer.as_default(), self._summary.record_if(True):
            self._summary.scalar(tag, value, step=step)

    def counts(self, tag: str, counts: NDArray[Any], step: int) -> None:
        """Write a histogram from how often 0, 1, 2 … occurs: exact, where tf.summary.histogram wants every value."""
        width = -(-len(counts) // _BUCKETS)
        left = np.arange(0, len(counts), width)
        rows = np.stack([left - 0.5, left + width - 0.5, np.add.reduceat(counts, left)], axis=1)
        with self._writer.as_default(), self._summary.record_if(True):
            self._summary.write(tag, rows, step=step, metadata=self._histogram)

    def image(self, tag: str, picture: NDArray[Any], step: int) -> None:
        """Write a map [height, width] or [height, width, channels], channels added up, its largest number white."""
        gray = picture.sum(axis=tuple(range(2, picture.ndim))).astype(np.float32)
        gray /= max(1.0, float(gray.max()))
        with self._writer.as_default(), self._summary.record_if(True):
            self._summary.image(tag, gray[None, :, :, None], step=step)

    def hyperparameters(self, values: Mapping[str, bool | int | float | str], trial: str) -> None:
        """Write the hyperparameters of the run in this folder, for the HParams tab."""
        from tensorboard.plugins.hparams import api

        with self._writer.as_default(), self._summary.record_if(True):
            api.hparams(dict(values), trial_id=trial)

    def flush(self) -> None:
        """Make what was written visible to readers."""
        self._writer.flush()

    def close(self) -> None:
        """Finish the event file."""
        self._writer.close()
