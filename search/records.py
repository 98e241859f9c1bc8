"""One atomic JSON file per trial: the only memory a search has."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from keras_sparse.files import atomic, read_json

from .errors import RunDirectoryError
from .objective import Direction

SCHEMA: Final = 1
"""Version of the record's layout. It rises when an old reader would misunderstand a new record; added fields do not."""

Status = Literal["completed", "failed"]

_log = logging.getLogger(__name__)
_NAME = re.compile(r"(\d{4,})\.json")
_NUMBERS = ("objective", "prediction_loss", "complexity", "val_metric", "test_metric", "density")
_COUNTS = ("connections", "parameters", "best_epoch", "stopped_early", "threads")
_TEXTS = ("infeasible", "worker", "kernels")


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial. It holds nothing that depends on the clock: equal trials give equal files.

    Unless seconds were asked for, as an objective or a limit. Trained again with the same `threads` and `kernels`, by
    `repeat`, it gives the same numbers.

    Args:
        trial: Index, from 0.
        status: "completed" or "failed".
        seed: What the trial trained with (`keras.utils.set_random_seed`).
        hyperparameters: Values of its active hyperparameters.
        metric: Name of the metric: "accuracy", or "mse" in the square of the target's unit.
        objective: f, or None if the trial failed; so are the following.
        prediction_loss: f_p.
        complexity: f_c.
        val_metric: The metric on the validation part, at the best epoch.
        test_metric: The same on the test part; no choice rests on it. None also where there was no test part.
        connections: Number of connections, at the best epoch.
        density: Connections over the positions of the network's own junctions.
        parameters: Connections, biases and other trainable numbers.
        best_epoch: The epoch the network is saved from, from 1.
        curve: Name to one number per epoch: "loss", "val_loss", "val_metric", "connections"; None where not finite.
        network: The saved network, relative to the run directory.
        error: What went wrong, if the trial failed.
        worker: Who ran it, where several did.
        direction: Whether the metric shall be large ("max") or small ("min"). None: as the name says, accuracy up.
        measures: What the network costs, by the names of `measures.NAMES`; seconds only where they were asked for.
        infeasible: Which limit the network breaks. It is compared with no other then. Without a network ("failed") it
            was not trained, as that was known before.
        stopped_early: The epoch after which the trial was given up as hopeless, if it was.
        pending: Earlier trials that were still running when this one was proposed, so that it knew nothing of them.
        threads: Threads an operation could use; None in records of earlier versions.
        kernels: What computed: the instruction set of the native kernels, "stock" without them, or "gpu".
    """

    trial: int
    status: Status
    seed: int
    hyperparameters: Mapping[str, Any]
    metric: str
    objective: float | None = None
    prediction_loss: float | None = None
    complexity: float | None = None
    val_metric: float | None = None
    test_metric: float | None = None
    connections: int | None = None
    density: float | None = None
    parameters: int | None = None
    best_epoch: int | None = None
    curve: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    network: str | None = None
    error: str | None = None
    worker: str | None = None
    direction: Direction | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    infeasible: str | None = None
    stopped_early: int | None = None
    pending: Sequence[int] = field(default_factory=list)
    threads: int | None = None
    kernels: str | None = None

    @property
    def completed(self) -> bool:
        """Whether the trial gave a network."""
        return self.status == "completed"

    @property
    def feasible(self) -> bool:
        """Whether the trial gave a network that keeps every limit."""
        return self.completed and self.infeasible is None

    def measure(self, name: str) -> float | None:
        """What the network costs; None if that was not measured."""
        return self.measures.get(name, self.connections if name == "connections" else None)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON: what `from_dict` reads."""
        return {"schema": SCHEMA} | dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Reads and checks what `to_dict` wrote. Fields it does not know are left out.

        Raises:
            ValueError: The data are no record.
            RunDirectoryError: A newer version wrote the record.
        """
        if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
            raise ValueError("no record of a trial")
        if data["schema"] > SCHEMA:
            raise RunDirectoryError(
                f"A record has schema {data['schema']}; this version of keras_sparse reads up to {SCHEMA}. Update it."
            )
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            record = cls(**{name: value for name, value in data.items() if name in names})
        except TypeError as error:
            raise ValueError(f"fields are missing ({error})") from None
        record._check()
        return record

    def _check(self) -> None:
        needed = ("objective", "complexity", "val_metric", "connections", "density", "parameters", "network")
        wrong = [name for name in _NUMBERS if not _is_number(getattr(self, name))]
        wrong += [name for name in _COUNTS if not _is_count(getattr(self, name))]
        wrong += [name for name in ("trial", "seed") if not isinstance(getattr(self, name), int)]
        wrong += [
            name for name in ("hyperparameters", "curve", "measures") if not isinstance(getattr(self, name), dict)
        ]
        if isinstance(self.measures, dict) and not all(map(_is_number, self.measures.values())):
            wrong.append("measures")
        if not isinstance(self.pending, list | tuple) or not all(map(_is_count, self.pending)):
            wrong.append("pending")
        wrong += [name for name in ("metric", "status") if not isinstance(getattr(self, name), str)]
        wrong += [name for name in ("error", "worker") if not isinstance(getattr(self, name), str | None)]
        if self.network is not None and not _is_inside(self.network):
            wrong.append("network")
        if self.direction not in (None, "min", "max"):
            wrong.append("direction")
        wrong += [name for name in _TEXTS if not isinstance(getattr(self, name), str | None)]
        if self.status == "completed":
            wrong += [name for name in needed if getattr(self, name) is None]
        elif self.status != "failed" or self.objective is not None:
            wrong.append("status")
        if wrong:
            raise ValueError(f"unexpected {', '.join(sorted(set(wrong)))}")


class Records:
    """The trial records of one run directory.

    Args:
        directory: The run directory; `trials/` is made in it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folder = directory / "trials"
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, index: int) -> Path:
        """Where the record of trial `index` is, or will be."""
        return self._folder / f"{index:04d}.json"

    def network_path(self, index: int) -> Path:
        """Where the network of trial `index` is, or will be."""
        return self._folder / f"{index:04d}.keras"

    def write(self, record: TrialRecord) -> None:
        """Writes one record; a reader sees all of it or nothing, also after a power failure.

        Raises:
            OSError: The disk is full, or the directory cannot be written.
        """
        write_json(self.path(record.trial), record.to_dict())

    def read(self, index: int) -> TrialRecord | None:
        """The record of a trial; None if there is none. A file that is no record is set aside.

        Raises:
            RunDirectoryError: The record cannot be read, or a newer version wrote it.
        """
        path = self.path(index)
        try:
            record = TrialRecord.from_dict(read_json(path))
            if record.trial != index:
                raise ValueError(f"the record of trial {record.trial}")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunDirectoryError(f"Cannot read {path}: {error.strerror or error}.") from error
        except ValueError as error:
            self.set_aside(index, str(error))
            return None
        return record

    def read_all(self) -> dict[int, TrialRecord]:
        """Every record, by index in ascending order."""
        names = sorted(int(match[1]) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name)))
        return {index: record for index in names if (record := self.read(index)) is not None}

    def set_aside(self, index: int, reason: str) -> Path:
        """Renames the record of a trial to `….json.corrupt`, so that the trial is run again.

        Returns:
            The new name.
        """
        path = self.path(index)
        target = path.with_name(f"{path.name}.corrupt")
        number = 1
        while target.exists():
            number += 1
            target = path.with_name(f"{path.name}.corrupt{number}")
        path.rename(target)
        _log.warning("%s is not usable (%s). It is kept as %s and the trial is run again.", path, reason, target.name)
        return target


def write_json(path: Path, data: Any) -> None:
    """Writes data as JSON in one step: a reader sees the old file or the new one."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", "utf-8")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _is_inside(value: Any) -> bool:
    """Whether `value` names a file inside the run directory."""
    return isinstance(value, str) and not Path(value).is_absolute() and ".." not in Path(value).parts


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)
