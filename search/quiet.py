"""Silence while a network is timed: workers of one machine stop at the end of an epoch while one of them measures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FOLDER: Final = "KERAS_SPARSE_QUIET"
"""Environment variable by which a chief names its local workers a folder for their locks."""


class Quiet:
    """Locks between the workers of one machine. Without a folder, or without locks, it does nothing.

    Those that train share a room, and leave it after every epoch to let in whoever wants it alone. Before they enter
    again they pass a gate, which is shut as long as somebody waits; so nobody waits for ever. The system opens the
    locks of a process that dies.

    Args:
        folder: For the locks; None for none.
    """

    def __init__(self, folder: str | None) -> None:
        self._gate: int | None = None
        self._room: int | None = None
        self._at_work = False
        with contextlib.suppress(ImportError, OSError):  # not on Windows; not in every file system
            import fcntl

            self._lock = fcntl.flock
            self._shared, self._alone, self._free = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN
            if folder is not None:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._gate = os.open(Path(folder) / "gate", flags, 0o600)
                self._room = os.open(Path(folder) / "room", flags, 0o600)

    @classmethod
    def of_environment(cls, wanted: bool) -> Quiet:
        """That of the local workers of a chief, if it is wanted."""
        return cls(os.environ.get(FOLDER) if wanted else None)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Trains, and is not heard by those who measure."""
        self._at_work = True
        self._enter()
        try:
            yield
        finally:
            self._at_work = False
            self._leave()

    def pause(self) -> None:
        """Lets those measure who wait for it."""
        if self._at_work:
            self._leave()
            self._enter()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until nobody trains, and keeps them from it."""
        if self._gate is None or self._room is None:
            yield
            return
        self._leave()
        self._lock(self._gate, self._alone)
        try:
            self._lock(self._room, self._alone)
            yield
        finally:
            self._leave()
            self._lock(self._gate, self._free)
            if self._at_work:
                self._enter()

    def _enter(self) -> None:
        if self._gate is not None and self._room is not None:
            self._lock(self._gate, self._shared)
            self._lock(self._room, self._shared)
            self._lock(self._gate, self._free)

    def _leave(self) -> None:
        if self._room is not None:
            self._lock(self._room, self._free)
