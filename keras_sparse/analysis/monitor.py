"""`Monitor`: the callback that writes down what becomes of the connections while a model trains."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..callback_list import running
from ..junctions import Junction, junctions, layers
from ..rewiring.rewire import Rewire
from .maps import input_map
from .network import Stage
from .power_law import power_law, set_paper_p_value
from .summaries import Writer
from .tracking import Tracker


class Monitor(keras.callbacks.Callback):
    """Records degrees, density, age and turnover of the connections, at the end of epochs and of the training.

    List it after `Rewire`. It changes nothing. Between records it holds 8 bytes per connection (12 above 2**31
    positions); a record takes O(K) time.

    A connection is known by its position: one that SET removes and draws again in one update counts as never gone, so
    turnover is a little below what `Rewire.history` calls "added". A new process, such as a run resumed by `ks.Backup`,
    begins a new history, and ages count from there.

    Args:
        log_dir: folder for TensorBoard summaries: scalars, histograms of degrees and ages, and, with `picture`, images
            of the input map; by default none are written.
        every: number of epochs from record to record. What comes and goes between two records is not seen.
        picture: shape of the first junction's inputs as a picture, (height, width) or (height, width, channels), for
            the map of connections per input.
        power_law_sets: number of synthetic sets for the p-values of each junction's in-degrees, see
            `ks.analysis.power_law`; this can take longer than a short epoch. Default None: no p-values.

    Attributes:
        history: per junction a dict of NumPy arrays with one entry per record: "epoch" (counted on over several fits),
            "connections", "density", "turnover" (share of the connections that were not there at the last record, or
            at the begin of training), "explored" (R_s; NaN without a `Rewire`), "final" (True for one more record when
            the topology changed after the last epoch, as by SET's final removal). As counts, [records, largest + 1]:
            "in_degrees" and "out_degrees" (units with k connections), "ages" (connections that came k epochs ago; those
            of the first record are as old as it). With `picture`, the first junction has "input_map", [records,
            *picture]; with `power_law_sets`, all have "power_law_p" (large supports a power law) and "set_paper_p"
            (small is read as scale-free).

    Raises:
        ValueError: for arguments out of range; when training begins, for a model without sparse kernels, for a
            `picture` that does not fit, and when a `Rewire` is listed after it.

    Example:
        >>> import keras_sparse as ks
        >>> monitor = ks.analysis.Monitor(picture=(28, 28))
        >>> # model.fit(x, y, epochs=10, callbacks=[ks.Rewire(ks.SET()), monitor])
        >>> # monitor.history["dense"]["turnover"]
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        every: int = 1,
        *,
        picture: Sequence[int] | None = None,
        power_law_sets: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
            raise ValueError(f"`every` is a positive number of epochs; got {every!r}.")
        if picture is not None and (len(picture) not in (2, 3) or min(picture) < 1):
            raise ValueError(f"`picture` is (height, width) or (height, width, channels); got {picture!r}.")
        if power_law_sets is not None and power_law_sets < 1:
            raise ValueError(f"`power_law_sets` is a positive number of synthetic sets; got {power_law_sets!r}.")
        self.log_dir, self.every = log_dir, int(every)
        self.picture = None if picture is None else tuple(picture)
        self.power_law_sets = power_law_sets
        self._records: dict[str, list[dict[str, Any]]] = {}
        self._junctions: list[Junction] = []
        self._trackers: list[Tracker] = []
        self._rewires: list[Rewire] = []
        self._explored: dict[str, float] = {}
        self._read: list[int] = []  # entries of each Rewire's history that `_explored` knows
        self._writer: Writer | None = None
        self._epoch = self._recorded = -1

    @property
    def history(self) -> dict[str, dict[str, NDArray[Any]]]:
        """What was recorded so far; see the class."""
        return {
            name: {key: _stack([record[key] for record in records]) for key in records[0]}
            for name, records in self._records.items()
        }

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Look at the connections to start from."""
        model = self.model
        callbacks = running(self)
        self._rewires = [callback for callback in callbacks if isinstance(callback, Rewire)]
        if any(isinstance(callback, Rewire) for callback in callbacks[callbacks.index(self) :] if callbacks):
            raise ValueError("List Monitor after Rewire: it records what that did.")
        self._read, self._explored = [0] * len(self._rewires), {}
        self._attach_when_built(model)
        if self.log_dir is not None:
            self._writer = Writer(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record, if it is time to."""
        model = self.model
        self._epoch = max(self._epoch + 1, epoch)  # goes on over several fits, and from `initial_epoch`
        if self._epoch % self.every == 0 and self._attach_when_built(model):
            self._record(final=False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Record the last epoch, if that was not done, or what happened to the connections after it."""
        if self._attach_when_built(self.model):
            if self._recorded < self._epoch:
                self._record(final=False)
            elif self._epoch >= 0 and any(tracker.changed for tracker in self._trackers):
                self._epoch += 1
                self._record(final=True)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _attach_when_built(self, model: Any) -> bool:
        """Follow the kernels of `model`, once it is built: without an Input that is after the first step."""
        if not all(layer.built for layer in layers(model)):
            return False
        found = junctions(model)
        if not found:
            raise ValueError("The model has no sparse kernel to monitor: use layers such as ks.SparseDense.")
        if [id(j.kernel) for j in found] != [id(tracker.kernel) for tracker in self._trackers]:
            pixels = found[0].kernel.shape[0]
            if self.picture is not None and math.prod(self.picture) != pixels:
                raise ValueError(
                    f"A picture of shape {self.picture} has {math.prod(self.picture)} pixels, but {found[0].name} has "
                    f"{pixels} inputs."
                )
            self._trackers = [Tracker(junction.kernel) for junction in found]
        self._junctions = found
        return True

    def _record(self, *, final: bool) -> None:
        self._look_up_explored()
        for junction, tracker in zip(self._junctions, self._trackers, strict=True):
            turnover = tracker.look(self._epoch)
            into, out = Stage(junction.name, junction.kernel.shape, junction.kernel).degrees()
            density = junction.kernel.density
            # Before the first update, and in a layer that is not rewired, what was tried is what there is.
            explored = self._explored.get(junction.name, density) if self._rewires else math.nan
            record: dict[str, Any] = {
                "epoch": self._epoch,
                "connections": len(junction.kernel),
                "density": density,
                "turnover": turnover,
                "explored": explored,
                "final": final,
                "in_degrees": np.bincount(into),
                "out_degrees": np.bincount(out),
                "ages": tracker.ages(),
            }
            if self.power_law_sets is not None:
                record["power_law_p"] = power_law(into, sets=self.power_law_sets).p_value
                record["set_paper_p"] = set_paper_p_value(into)
            if self.picture is not None and junction.number == 0:
                record["input_map"] = input_map(junction.kernel, shape=self.picture)
            self._records.setdefault(junction.name, []).append(record)
            if self._writer is not None:
                _summarise(self._writer, junction.name, record)
        self._recorded = self._epoch
        if self._writer is not None:
            self._writer.flush()

    def _look_up_explored(self) -> None:
        for number, rewire in enumerate(self._rewires):
            for entry in rewire.history[self._read[number] :]:
                self._explored[entry["layer"]] = entry["explored"]
            self._read[number] = len(rewire.history)


def _summarise(writer: Writer, name: str, record: dict[str, Any]) -> None:
    """Write a record: counts as histograms, the input map as an image, numbers as scalars."""
    step = record["epoch"]
    for key, value in record.items():
        tag = f"{name}/{key}"
        if key == "input_map":
            writer.image(tag, value, step)
        elif isinstance(value, np.ndarray):
            writer.counts(tag, value, step)
        elif key not in ("epoch", "final") and not math.isnan(value):
            writer.scalar(tag, float(value), step)


def _stack(values: list[Any]) -> NDArray[Any]:
    """Return records as one array; counts are filled up with zeros."""
    if not isinstance(values[0], np.ndarray) or values[0].ndim > 1:
        return np.array(values)
    stacked = np.zeros((len(values), max(map(len, values))), values[0].dtype)
    for row, value in zip(stacked, values, strict=True):
        row[: len(value)] = value
    return stacked
