"""Workers on this machine: started, watched, replaced and ended by the process of the chief."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import spawn
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

from keras_sparse.compute.threads import threads

from ..quiet import FOLDER
from .roles import Role, WorkersError

if TYPE_CHECKING:
    from .chief import Chief

DEATHS: Final = 3
"""So many deaths per worker without one result between them end the search."""

_PATIENCE = 5.0  # seconds between asking a worker to end and killing it
_LINES = 12  # of what a worker said last

# A worker ends when the pipe from this process does, from its first moment on; TensorFlow's import takes long. What
# __main__ is here is made importable then, as multiprocessing does it: a space may be defined there.
_BOOT = """
import io, multiprocessing, os, pickle, sys, threading
from multiprocessing import spawn
size = int.from_bytes(sys.stdin.buffer.read(8), "big")
payload = io.BytesIO(sys.stdin.buffer.read(size))
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
process = multiprocessing.current_process()
process._inheriting = True
spawn.prepare(pickle.load(payload))
del process._inheriting
function, arguments = pickle.load(payload)
function(**arguments)
"""


def check_main() -> None:
    """Refuses to search while a worker imports the script that started it.

    Raises:
        WorkersError: It does; the message says what the script lacks.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise WorkersError(
            "A script that searches with workers is imported by each of them, so it must search under "
            '`if __name__ == "__main__":`.'
        )


def share(workers: int) -> int:
    """Threads of each of so many workers: an equal part of those of this process."""
    return max(1, threads() // workers)


@dataclass
class _Process:
    """One worker."""

    name: str
    popen: subprocess.Popen[bytes]
    said: IO[bytes]


class LocalWorkers:
    """Keeps a number of workers running while the context lasts; none outlives it, nor this process.

    Args:
        count: Workers.
        chief: Whom they work for.
        function: What each of them calls; it finds its role in the environment. Importable by name.
        arguments: What with; they are pickled.
        timeout: See `Role`.

    Raises:
        WorkersError: The arguments cannot be pickled.
    """

    def __init__(
        self,
        count: int,
        chief: Chief,
        function: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        timeout: float,
    ) -> None:
        self._chief = chief
        self._timeout = timeout
        self._count = count
        self._processes: list[_Process] = []
        self._deaths = 0
        self._results = 0
        self._quiet = tempfile.TemporaryDirectory(prefix="keras-sparse-")
        try:
            self._payload = _payload(function, arguments)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise WorkersError(f"Workers cannot be handed the arguments of the search: {error}.") from error

    def __enter__(self) -> Self:
        try:
            for number in range(1, self._count + 1):
                self._processes.append(self._start(f"local-{number}"))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.popen.terminate()
        until = time.monotonic() + _PATIENCE
        for process in self._processes:
            try:
                process.popen.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
            self._chief.dismiss(process.name)
            _close(process)
        self._quiet.cleanup()

    def check(self) -> None:
        """Replaces workers that have ended, and gives their trials to others.

        Raises:
            WorkersError: They end again and again, or cannot even start.
        """
        if self._chief.results > self._results:
            self._results, self._deaths = self._chief.results, 0
        for place, process in enumerate(self._processes):
            code = process.popen.poll()
            if code is None:
                continue
            why = _why(code)
            started = self._chief.has_met(process.name)
            self._chief.lose(process.name, why)
            self._deaths += 1
            if self._deaths > DEATHS * self._count or (code >= 0 and not started):
                raise WorkersError(f"Worker {process.name} {why}. What it said last:\n{_last_words(process.said)}")
            _close(process)
            self._processes[place] = self._start(process.name)

    def _start(self, name: str) -> _Process:
        role = Role("worker", name, self._chief.host, self._chief.port, self._timeout)
        limit = str(share(self._count))
        environment = {
            # Workers of one machine share its GPUs.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            **os.environ,
            **role.environment(),
            FOLDER: self._quiet.name,
            **dict.fromkeys(
                ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "KERAS_SPARSE_THREADS"), limit
            ),
        }
        said = tempfile.TemporaryFile()  # noqa: SIM115 - kept for as long as the worker
        # A session of its own: Ctrl-C at the terminal is for the chief, which ends its workers.
        popen = subprocess.Popen(
            [sys.executable, "-c", _BOOT],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        threading.Thread(target=_feed, args=(popen, self._payload), daemon=True).start()
        return _Process(name, popen, said)


def _payload(function: Callable[..., object], arguments: Mapping[str, Any]) -> bytes:
    """What a worker reads: how to import __main__, then what to call."""
    preparation = spawn.get_preparation_data("worker")
    for name in ("authkey", "start_method"):  # a secret, and a setting of this process
        preparation.pop(name, None)
    stream = io.BytesIO()
    pickle.dump(preparation, stream)
    pickle.dump((function, dict(arguments)), stream, protocol=pickle.HIGHEST_PROTOCOL)
    payload = stream.getvalue()
    return len(payload).to_bytes(8, "big") + payload


def _feed(popen: subprocess.Popen[bytes], payload: bytes) -> None:
    """Hands a worker its task. The pipe stays open: its end tells the worker that this process is gone."""
    assert popen.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        popen.stdin.write(payload)
        popen.stdin.flush()


def _close(process: _Process) -> None:
    assert process.popen.stdin is not None
    with contextlib.suppress(OSError):
        process.popen.stdin.close()
    process.said.close()


def _why(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _last_words(said: IO[bytes]) -> str:
    said.seek(0, io.SEEK_END)
    said.seek(max(0, said.tell() - 8192))
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LINES:]) or "  nothing"
