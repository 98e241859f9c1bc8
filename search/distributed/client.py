"""What a worker of a search has in place of the oracle: the chief's, over the network."""

from __future__ import annotations

import _thread
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import grpc
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from ..oracle import AbandonedError, SparseOracle, trial_id
from ..records import TrialRecord
from .messages import OPTIONS, SERVICE, STUBS, Caller, identity, pack, unpack
from .roles import Role, WorkersError, address

PATIENCE: Final = 5
"""A worker waits so many time-outs for its chief to come up."""

_log = logging.getLogger(__name__)
_CALL_SECONDS = 10.0
_PROPOSAL_SECONDS = 600.0
_PAUSE = 0.25
_FILE_SECONDS = 5.0  # until a file that another machine wrote is seen


class ChiefLostError(WorkersError, keras_tuner.errors.FatalError):
    """The chief does not answer, or does not want this worker."""


def await_chief(role: Role) -> None:
    """Returns when the chief answers.

    Raises:
        ChiefLostError: It did not, for five time-outs.
    """
    channel, stub = _connect(role)
    try:
        request = SERVICE.GetSpaceRequest()
        _call(stub.GetSpace, request, role, patience=PATIENCE * role.timeout)
    finally:
        channel.close()


class Client:
    """Asks the chief for trials and hands their records in; everything else it leaves to an oracle of its own.

    Args:
        oracle: Of the same space, objective, seed and run directory as the chief's.
        role: Says where the chief is.

    Attributes:
        finished: Records of the trials that had ended when the last one was proposed, and of those that ran here.
    """

    def __init__(self, oracle: SparseOracle, role: Role) -> None:
        self._oracle = oracle
        self._role = role
        self._me = Caller(role.name, identity(oracle))
        self._channel, self._stub = _connect(role)
        self._trial: Trial | None = None
        self._running: Trial | None = None  # the same, until its record is handed in
        self._pending: list[int] = []
        self._known: list[int] = []
        self._read: dict[int, TrialRecord] = {}
        self._epoch = 0
        self._wake = threading.Event()
        self._over = threading.Event()
        self._lost: Exception | None = None
        self.finished: dict[int, TrialRecord] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    @contextmanager
    def working(self) -> Iterator[None]:
        """While it lasts, the chief hears from this worker, and at its end what became of it.

        Raises:
            ChiefLostError: The chief does not answer for the time-out. The main thread is interrupted for it.
        """
        self._me = Caller(self._role.name, identity(self._oracle))  # the space is whole now
        self._over.clear()
        self._lost = None
        beat = threading.Thread(
            target=self._beat, args=(threading.current_thread() is threading.main_thread(),), daemon=True
        )
        beat.start()
        try:
            yield
        except ChiefLostError:
            raise
        except BaseException as error:
            self._over.set()
            if isinstance(self._lost, ChiefLostError):  # it was the beat that interrupted
                raise self._lost from None
            self._leave(None if isinstance(error, KeyboardInterrupt | SystemExit) else str(error))
            raise
        else:
            self._leave(None)
        finally:
            self._over.set()
            self._wake.set()
            beat.join(timeout=1.0)

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; it waits for one while others run. A stopped one when the search has ended.

        Raises:
            ChiefLostError: The search failed, or the chief does not answer.
        """
        request = SERVICE.CreateTrialRequest(tuner_id=tuner_id)
        while True:
            patience = self._role.timeout * (1 if self._me.chief else PATIENCE)
            answer = self._ask("CreateTrial", request, patience=patience, seconds=_PROPOSAL_SECONDS)
            content, trial, status = unpack(answer.trial)
            if "chief" in content:
                self._me = self._me.of(int(content["chief"]))
            if status != TrialStatus.IDLE:
                break
            time.sleep(_PAUSE)
        hyperparameters = self._oracle.hyperparameters.copy()
        if status == TrialStatus.STOPPED:
            if "error" in content:
                raise ChiefLostError(f"The chief has ended the search: {content['error']}")
            return Trial(hyperparameters, trial_id="", status=status)
        hyperparameters.values = content["hyperparameters"]
        self._pending, self._known = list(content["pending"]), list(content["known"])
        self.finished |= {other: record for other in self._known if (record := self._record(other)) is not None}
        self._lost, self._epoch = None, 0
        self._trial = self._running = Trial(hyperparameters, trial_id=trial, status=status)
        return self._trial

    def get_trial(self, trial_id: str) -> Trial:
        """The trial that runs here."""
        assert self._trial is not None, "no trial was given out"
        return self._trial

    def update_trial(self, trial_id: str, metrics: Any, step: int = 0) -> Trial:
        """Does nothing: the record says it."""
        return self.get_trial(trial_id)

    def end_trial(self, trial: Trial) -> None:
        """The trial is over here: its record was handed in, or was not wanted."""
        self._running = None

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials so far, from their records."""
        self._oracle.reload()
        return self._oracle.get_best_trials(num_trials)

    def pending(self, index: int) -> list[int]:
        """The earlier trials that were running when this one was proposed."""
        return self._pending

    def known_to(self, index: int) -> list[TrialRecord]:
        """The records this trial may know, from the shared folder."""
        until = time.monotonic() + _FILE_SECONDS
        for other in self._known:
            while self._record(other) is None:
                if time.monotonic() > until:
                    _log.warning("The record of trial %d cannot be seen. Trial %d does without it.", other, index)
                    break
                time.sleep(_PAUSE)
        return [self._read[other] for other in self._known if other in self._read]

    def _record(self, index: int) -> TrialRecord | None:
        """A record in the shared folder, which is read once; None if it cannot be seen yet."""
        if index not in self._read and (record := self._oracle.records.read(index)) is not None:
            self._read[index] = record
        return self._read.get(index)

    def network_target(self, index: int) -> Path:
        """Where the network of a trial is written for the chief, which gives it its name."""
        records = self._oracle.records
        return records.path(index).with_name(f".{index:04d}.{self._me.session}.tmp.keras")

    def keep(self, record: TrialRecord) -> None:
        """Hands a record in.

        Raises:
            AbandonedError: Another worker runs the trial by now.
            ChiefLostError: The chief does not answer, or cannot use it.
        """
        content = {"record": record.to_dict(), "upload": self.network_target(record.trial).name}
        message = pack(content, trial=trial_id(record.trial), status=TrialStatus.COMPLETED)
        try:
            self._ask("EndTrial", SERVICE.EndTrialRequest(trial=message), patience=self._role.timeout)
        except Exception:
            with suppress(OSError):
                self.network_target(record.trial).unlink(missing_ok=True)
            raise
        self._running = None
        self.finished[record.trial] = record

    def at_epoch(self, index: int, epoch: int) -> None:
        """Tells the chief, and ends the training of a trial that is in vain."""
        self._epoch = epoch
        self._wake.set()
        if self._lost is not None:
            raise self._lost

    def _beat(self, interrupts: bool) -> None:
        """Tells the chief from time to time that this worker is alive."""
        while not self._over.is_set():
            self._wake.wait(self._role.timeout / 6)
            self._wake.clear()
            trial = self._running
            if trial is None or self._over.is_set():
                continue
            request = SERVICE.UpdateTrialRequest(trial_id=trial.trial_id, step=self._epoch)
            try:
                self._ask("UpdateTrial", request, patience=self._role.timeout)
            except AbandonedError as error:
                if trial is self._running:
                    self._lost = error
            except ChiefLostError as error:
                self._lost = error
                while interrupts and not self._over.wait(1.0):
                    _thread.interrupt_main()  # an exception in a destructor gets lost
                return
            self._over.wait(_PAUSE)

    def _leave(self, error: str | None) -> None:
        """Tells the chief that this worker goes, or that the search cannot go on. If it does not hear: it will see."""
        message = pack({} if error is None else {"error": error})
        request = SERVICE.EndTrialRequest(trial=message)
        with suppress(Exception):
            self._ask("EndTrial", request, patience=0.0, seconds=2.0)
        self._running = None

    def _ask(self, method: str, request: Any, *, patience: float, seconds: float = _CALL_SECONDS) -> Any:
        return _call(
            getattr(self._stub, method),
            request,
            self._role,
            patience=patience,
            seconds=seconds,
            metadata=self._me.metadata(),
        )


def _connect(role: Role) -> tuple[Any, Any]:
    channel = grpc.insecure_channel(address(role.host, role.port), options=OPTIONS)
    return channel, STUBS.OracleStub(channel)


def _call(
    method: Any, request: Any, role: Role, *, patience: float, seconds: float = _CALL_SECONDS, metadata: Any = ()
) -> Any:
    """Calls the chief, again and again while it does not answer.

    Args:
        patience: Seconds after which it is taken for dead.
        seconds: That one call may take.
    """
    until = time.monotonic() + patience
    where = address(role.host, role.port)
    while True:
        try:
            return method(request, timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            answer: Any = error
        code, details = answer.code(), answer.details()
        if code == grpc.StatusCode.FAILED_PRECONDITION:
            raise AbandonedError(details)
        if code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ABORTED):
            raise ChiefLostError(f"The chief at {where}: {details}")
        if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            raise ChiefLostError(f"What answers at {where} is no chief of a search: {details}")
        if time.monotonic() >= until:
            raise ChiefLostError(
                f"No chief has answered at {where} for {patience:g} seconds, so this worker ends. Start the chief "
                "again with --resume (resume=True), then the workers."
            )
        time.sleep(min(_PAUSE, max(0.01, until - time.monotonic())))
