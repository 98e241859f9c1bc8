"""The chief of a search: hands out trials, takes in records, and gives those of dead workers to others."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from keras_tuner.engine.trial import TrialStatus

from ..errors import RunDirectoryError, SearchError
from ..oracle import trial_id
from ..records import TrialRecord
from .messages import OPTIONS, STUBS, Caller, identity, pack
from .roles import LOOPBACK, WorkersError, address
from .service import RefusedError, Service

if TYPE_CHECKING:
    from ..tuner import SparseTuner

ATTEMPTS: Final = 3
"""A trial that so many workers did not survive is closed as failed."""

_THREADS = 64  # of the server: one that proposes keeps others waiting
_FAREWELL = 5.0  # seconds in which workers of other machines hear that the search has ended
_UPLOAD = re.compile(r"\.\d{4,}\.\d+\.tmp\.keras")


@dataclass
class _Worker:
    """What the chief knows of one worker."""

    session: int
    heard: float
    trial: int | None = None
    began: float = 0.0
    epoch: int = 0
    ended: tuple[int, int] | None = None  # session and trial it handed in last
    told: bool = False  # that the search has ended


class Chief:
    """Serves the trials of a tuner's oracle while the context lasts. It runs none itself.

    KerasTuner's own chief waits for ever for workers that died, keeps its lock after an exception, and does not see
    whether the port is taken.

    Args:
        tuner: Its oracle is served; its progress is reported, and its summaries are written, by the thread that runs.
        host: Address to listen on: "127.0.0.1" for workers of this machine; "0.0.0.0" for whoever reaches it. There is
            no TLS and no password.
        port: 0: a free one.
        timeout: Seconds of silence after which a worker is taken for dead, and its trial given to another.
        epochs: Epochs a trial runs at most; for the progress.

    Attributes:
        host: Where workers of this machine reach it.
        port: On which port.

    Raises:
        WorkersError: The address cannot be listened on.
    """

    def __init__(
        self, tuner: SparseTuner, *, host: str = LOOPBACK, port: int = 0, timeout: float, epochs: int = 0
    ) -> None:
        self._tuner, self._oracle = tuner, tuner.oracle
        self._timeout = timeout
        self._epochs = epochs
        self._me = Caller("chief", identity(tuner.oracle))
        self._workers: dict[str, _Worker] = {}
        self._deaths: Counter[int] = Counter()
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._error: BaseException | None = None
        self._exhausted = False
        self._end: dict[str, Any] | None = None
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="chief"), options=OPTIONS)
        STUBS.add_OracleServicer_to_server(Service(self), self._server)
        try:
            self.port = self._server.add_insecure_port(address(host, port))
        except RuntimeError:
            self.port = 0  # what earlier versions of gRPC return
        if not self.port:
            raise WorkersError(
                f"The chief cannot listen on {address(host, port)}: the address is not this machine's, or the port is "
                "taken. Choose another."
            )
        self.host = LOOPBACK if host in ("0.0.0.0", "localhost") else "::1" if host == "::" else host  # noqa: S104

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._oracle.lock:
            interrupted = isinstance(error, KeyboardInterrupt)
            why = "it was interrupted." if interrupted else str(error) or type(error).__name__
            self._end = {} if error is None else {"error": why}
        until = time.monotonic() + (_FAREWELL if error is None else 1.0)
        while time.monotonic() < until and not all(worker.told for worker in self._workers.values()):
            time.sleep(0.05)
        self._server.stop(grace=1.0).wait()

    def run(self, watch: Callable[[], None] = lambda: None) -> None:
        """Returns when every trial has ended. Workers wait then, for another `run` or the end of the context.

        Args:
            watch: Called several times a second.

        Raises:
            SearchError: No trial can be proposed, or a file cannot be written.
        """
        with self._oracle.lock:
            self._exhausted = False
        self._tuner.on_search_begin()
        while True:
            watch()
            self._bury_silent()
            try:
                self._events.get(timeout=0.1)()
                while True:
                    self._events.get_nowait()()
            except Empty:
                pass
            if self._error is not None:
                raise self._error
            if self._complete() and self._events.empty():
                return

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self._oracle.records.directory

    @property
    def active(self) -> int:
        """Workers that take trials."""
        return len(self._workers)

    @property
    def results(self) -> int:
        """Records there are."""
        return len(self._oracle.finished)

    def has_met(self, worker: str) -> bool:
        """Whether a worker has asked for a trial."""
        return worker in self._workers

    def lose(self, worker: str, why: str) -> None:
        """Takes the trial of a worker that has gone, to be run again; after a few times it is closed as failed.

        Args:
            worker: Its name.
            why: What became of it, e.g. "was killed by SIGKILL".
        """
        with self._oracle.lock:
            gone = self._workers.pop(worker, None)
            trial = self._oracle.ongoing_trials.get(worker)
            if trial is None:
                if gone is not None:
                    self._say(f"Worker {worker} {why}.")
                return
            index = int(trial.trial_id)
            self._deaths[index] += 1
            if self._deaths[index] < ATTEMPTS:
                self._oracle.give_back(worker)
                self._say(f"Worker {worker} {why}; trial {index} is run again.")
                return
            self._say(f"Worker {worker} {why}; trial {index} was tried {ATTEMPTS} times and is closed as failed.")
            why = f"WorkerDied: {ATTEMPTS} workers that ran it ended before it did; the last one {why}"
            record = self._oracle.unfinished(
                index, trial.hyperparameters.values, pending=self._oracle.pending(index), worker=worker, error=why
            )
            self._close(trial, record, None)

    def create(self, caller: Caller) -> Any:
        """Answers a worker that asks for a trial."""
        with self._waiting(caller), self._oracle.lock:
            worker = self._greet(caller)
            if self._error is not None or self._end is not None:
                worker.told = True
                content = self._end if self._end is not None else {"error": str(self._error)}
                return pack(content, status=TrialStatus.STOPPED)
            trial = self._oracle.create_trial(caller.worker)
            if trial.status != TrialStatus.RUNNING:
                running = bool(self._oracle.ongoing_trials)
                self._exhausted = self._exhausted or not running
                return pack({"chief": self._me.session}, status=TrialStatus.IDLE)
            index = int(trial.trial_id)
            if worker.trial != index:
                worker.trial, worker.began, worker.epoch = index, time.monotonic(), 0
                self._events.put(lambda: self._report("trial", trial=index, epochs=self._epochs))
            content = {
                "chief": self._me.session,
                "hyperparameters": dict(trial.hyperparameters.values),
                "pending": self._oracle.pending(index),
                "known": [record.trial for record in self._oracle.known_to(index)],
            }
            return pack(content, trial=trial.trial_id)

    def hear(self, caller: Caller, trial: str, epoch: int) -> Any:
        """Answers a worker that says how far it is."""
        worker = self._owner(caller, trial)
        if epoch > worker.epoch:
            worker.epoch = epoch
            self._events.put(lambda: self._report("epoch", trial=int(trial), epoch=epoch, epochs=self._epochs))
        return pack({}, trial=trial)

    def take(self, caller: Caller, content: dict[str, Any], trial: str) -> None:
        """Takes what a worker hands in."""
        with self._oracle.lock:
            if "record" not in content:
                self._part(caller, content.get("error"))
                return
            known = self._workers.get(caller.worker)
            if known is not None and known.ended == (caller.session, int(trial)):
                return  # the answer to the first time got lost
            worker = self._owner(caller, trial)
            ongoing = self._oracle.ongoing_trials[caller.worker]
            try:
                record = TrialRecord.from_dict(content["record"])
                values = dict(ongoing.hyperparameters.values)
                if record.trial != int(trial) or dict(record.hyperparameters) != values:
                    raise ValueError("it is that of another trial")
            except (ValueError, SearchError) as error:
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"The record is not usable: {error}.") from error
            upload = self._upload(content.get("upload")) if record.completed else None
            worker.ended, worker.trial = (caller.session, record.trial), None
            self._close(ongoing, replace(record, worker=caller.worker), upload, time.monotonic() - worker.began)

    def dismiss(self, worker: str) -> None:
        """Forgets a worker that was ended at the end of the search."""
        self._workers.pop(worker, None)

    def fail(self, error: BaseException) -> None:
        """Ends the search with an error."""
        self._error = self._error or error

    def _close(self, trial: Any, record: TrialRecord, upload: Path | None, seconds: float | None = None) -> None:
        """Writes the network's name, then the record; a record never names a network that is not there."""
        records = self._oracle.records
        if upload is not None:
            upload.replace(records.network_path(record.trial))
        records.write(record)
        self._oracle.end_trial(trial)
        done = len(self._oracle.finished)

        def report() -> None:
            if self._tuner.summaries is not None:
                self._tuner.summaries.write(record)
            if seconds is not None:
                self._tuner.seconds.append(seconds)
            self._report("result", trial=record.trial, record=record, done=done)

        self._events.put(report)

    def _upload(self, name: Any) -> Path:
        if not isinstance(name, str) or not _UPLOAD.fullmatch(name):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"A network is not handed in as {name!r}.")
        path = self._oracle.records.path(0).with_name(name)
        if not path.is_file():
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"The network that the worker wrote is not in {path.parent} of the chief. The output directory must be "
                "one folder that all machines share.",
            )
        return path

    def _greet(self, caller: Caller) -> _Worker:
        """The worker that asks for a trial, known from now on."""
        if caller.search != self._me.search:
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                "This worker's space, objective or seed are not the chief's. Start it with the chief's arguments.",
            )
        if caller.chief not in (0, self._me.session):
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                "Another chief has taken over from the one this worker worked for. Start the worker again.",
            )
        worker = self._workers.get(caller.worker)
        if worker is not None and worker.session != caller.session:
            if caller.chief:  # it was here before the other one, or was thought dead
                raise RefusedError(
                    grpc.StatusCode.PERMISSION_DENIED,
                    f"Another worker is called {caller.worker!r}, too. Give each a KERASTUNER_TUNER_ID of its own.",
                )
            self.lose(caller.worker, "was started again")
            worker = None
        if worker is None:
            worker = self._workers[caller.worker] = _Worker(caller.session, time.monotonic())
            self._say(f"Worker {caller.worker} has joined.")
        worker.heard = time.monotonic()
        return worker

    def _owner(self, caller: Caller, trial: str) -> _Worker:
        """The worker a call is from, if the trial is its own. It takes no lock, so that it never waits."""
        worker = self._workers.get(caller.worker)
        if worker is not None and worker.session == caller.session and caller.chief == self._me.session:
            worker.heard = time.monotonic()
            if worker.trial is not None and trial_id(worker.trial) == trial:
                return worker
        raise RefusedError(
            grpc.StatusCode.FAILED_PRECONDITION, f"Trial {trial} is not {caller.worker}'s, or is no longer."
        )

    def _part(self, caller: Caller, error: str | None) -> None:
        worker = self._workers.get(caller.worker)
        if worker is None or worker.session != caller.session:
            return
        if error is not None:
            self.fail(RunDirectoryError(f"Worker {caller.worker}: {error}"))
        del self._workers[caller.worker]
        again = "" if worker.trial is None else f"; trial {worker.trial} is run again"
        self._oracle.give_back(caller.worker)
        self._say(f"Worker {caller.worker} has left{again}.")

    @contextmanager
    def _waiting(self, caller: Caller) -> Iterator[None]:
        """A worker that waits for a trial is silent, but alive."""
        known = self._workers.get(caller.worker)
        if known is not None and known.session == caller.session:
            known.heard = math.inf
        try:
            yield
        finally:
            if (known := self._workers.get(caller.worker)) is not None and known.session == caller.session:
                known.heard = time.monotonic()

    def _bury_silent(self) -> None:
        now = time.monotonic()
        for name, worker in list(self._workers.items()):
            if now - worker.heard > self._timeout:
                self.lose(name, f"was not heard of for {self._timeout:g} seconds")

    def _complete(self) -> bool:
        with self._oracle.lock:
            ended = self._exhausted or all(index in self._oracle.finished for index in range(self._oracle.total))
            return ended and not self._oracle.ongoing_trials

    def _say(self, note: str) -> None:
        self._events.put(lambda: self._report("workers", note=note))

    def _report(self, event: Any, *, done: int | None = None, **details: Any) -> None:
        with self._oracle.lock:
            progress = self._tuner.progress(event, workers=self.active, **details)
        self._tuner.report(progress if done is None else replace(progress, done=done))
