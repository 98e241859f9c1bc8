"""Finished runs, one JSON line each; what is in the file is never trained again."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_sparse.files import atomic

from .experiment import Setting


class Records:
    """The finished runs of one experiment. Several processes may add to one file.

    Args:
        path: the file, NAME.jsonl; made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[dict[str, Any]]:
        """Return every record, the oldest first.

        Raises:
            ValueError: when a line is no record.
        """
        if not self.path.is_file():
            return []
        records = []
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            try:
                record = json.loads(line)
                missing = {"setting", "parameters", "seed", "seconds", "results"} - record.keys()
                if missing:
                    raise ValueError(f"{missing} are missing")
            except (ValueError, AttributeError):
                raise ValueError(f"{self.path}, line {number}, is no finished run: remove that line.") from None
            records.append(record)
        return records

    def of(self, setting: Setting) -> dict[int, dict[str, Any]]:
        """Return the records of `setting` by seed; those of other parameters do not count."""
        wanted = _json(setting.parameters)
        return {
            record["seed"]: record
            for record in self.all()
            if record["setting"] == setting.name and _json(record["parameters"]) == wanted
        }

    def add(self, setting: Setting, seed: int, results: Mapping[str, Any], *, seconds: float, **more: Any) -> None:
        """Append a finished run that took so many seconds, with `more` facts about it."""
        record = {
            "setting": setting.name,
            "parameters": dict(setting.parameters),
            "seed": seed,
            "seconds": seconds,
            **more,
        }
        line = json.dumps({**record, "results": dict(results)}, sort_keys=True)
        with self._locked(), atomic(self.path) as temporary:
            lines = self.path.read_text() if self.path.is_file() else ""
            temporary.write_text(f"{lines}{line}\n")

    def scratch(self, setting: Setting, seed: int) -> Path:
        """Return the folder where a run of `setting` keeps what it needs to go on after an interruption."""
        key = json.dumps([setting.name, dict(setting.parameters), seed], sort_keys=True)
        return self.path.parent / f"{self.path.stem}-unfinished" / hashlib.sha256(key.encode()).hexdigest()[:16]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _json(parameters: Mapping[str, Any]) -> str:
    return json.dumps(dict(parameters), sort_keys=True)
