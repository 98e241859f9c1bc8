"""What running trials try, where that does not follow from the records alone.

A trial that is proposed while earlier ones are running does without their results. Were it proposed again, after its
worker or the whole search has died, it would become another one; so its proposal is kept until its record is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_sparse.files import read_json

from .records import write_json

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """A trial that was proposed and has no record yet.

    Args:
        hyperparameters: What to try.
        pending: Earlier trials that were running when it was proposed.
    """

    hyperparameters: Mapping[str, Any]
    pending: Sequence[int]


class Plans:
    """The plans of one run directory: in memory, and in `trials/NNNN.plan` where trials were pending.

    Args:
        folder: Where the records are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, Plan] = {}

    def get(self, index: int) -> Plan | None:
        """The plan of a trial, from this process or an earlier one; a damaged file is as good as none."""
        if index not in self._known and (plan := self._read(index)) is not None:
            self._known[index] = plan
        return self._known.get(index)

    def keep(self, index: int, plan: Plan) -> None:
        """Notes what a trial tries.

        Raises:
            OSError: The disk is full, or the directory cannot be written.
        """
        if plan.pending:
            content = {"hyperparameters": dict(plan.hyperparameters), "pending": list(plan.pending)}
            write_json(self._path(index), content)
        self._known[index] = plan

    def drop(self, index: int) -> None:
        """Forgets a trial that has a record."""
        self._known.pop(index, None)
        self._path(index).unlink(missing_ok=True)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:04d}.plan"

    def _read(self, index: int) -> Plan | None:
        path = self._path(index)
        try:
            data = read_json(path)
            values, pending = data["hyperparameters"], data["pending"]
            if not isinstance(values, dict) or not all(isinstance(i, int) and 0 <= i < index for i in pending):
                raise ValueError("not what a plan holds")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is not usable (%s). The trial is proposed anew.", path, error)
            return None
        return Plan(values, pending)
