"""KerasTuner's tuner, running trials that can be repeated anywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_sparse.compute.threads import kernels, threads
from keras_sparse.files import atomic

from .attempt import Attempt
from .distributed.roles import role
from .exploring import explore, explore_fit
from .front import pareto_front, winner
from .hparams import TrialSummaries
from .hypermodel import SparseHyperModel
from .metrics import canonical
from .oracle import OBJECTIVE, AbandonedError, SparseOracle
from .progress import Progress, Reporter
from .quiet import Quiet
from .records import TrialRecord


class StorageError(keras_tuner.errors.FatalError):
    """A trial's result could not be written. The search stops; the trial is run again on resume."""


class SparseTuner(keras_tuner.Tuner):
    """Runs the trials of a search: builds, trains, scores and saves one network each.

    Every trial starts from a cleared session and a seed of its own, so it gives the same result as the first of a fresh
    process or the fifth of an old one. It is scored and saved at its best epoch, with the topology of that epoch. An
    exception, too little memory or a loss that is not finite fails the trial, not the search.

    Works with any `keras_tuner.HyperModel`: it must compile with the objective's metric. `build` is called with each
    hyperparameter at its ends before the first trial, so that all are known then; an own `fit`, too, up to where it
    first uses the model. One that turns up later ends the search with an error. It may have two more things:
    `fixed_size = True` says that training does not change the number of connections, so that a network that breaks a
    limit is not trained at all; `finished(model)` returns the network to score and keep for a trained one.

    With KerasTuner's environment variables (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT) it is
    the chief of a search on several processes, whose `search` ends when every trial has, or one of its workers; see
    `distributed`.

    Args:
        oracle: A `SparseOracle`; its records are the search's memory.
        hypermodel: Builds and trains the networks.
        patience: Epochs without a better one before a trial stops; None never stops it.
        early_stopping: Whether hopeless trials are given up, see `halving`.
        unit: What logged metrics are multiplied with (regression: the squared unit of standardised targets).
        on_progress: Called with each `Progress`.

    Attributes:
        role: What this process does in the search.
        seconds: What the trials of this run took.

    Raises:
        RoleError: The environment variables say nothing that can be done.

    Example:
        >>> tuner = SparseTuner(oracle, hypermodel)  # doctest: +SKIP
        >>> tuner.search(x, y, validation_data=(x_val, y_val), test_data=(x_test, y_test), epochs=30)  # doctest: +SKIP
    """

    oracle: SparseOracle

    def __init__(
        self,
        oracle: SparseOracle,
        hypermodel: keras_tuner.HyperModel,
        *,
        patience: int | None = None,
        early_stopping: bool = False,
        unit: float = 1.0,
        on_progress: Any = None,
        tuner_id: str | None = None,
    ) -> None:
        self.patience = patience
        self.early_stopping = early_stopping
        self.unit = unit
        self.report = on_progress if isinstance(on_progress, Reporter) else Reporter(on_progress)
        self.seconds: list[float] = []
        self.role = role()
        self.summaries: TrialSummaries | None = TrialSummaries(oracle.records.directory)
        self._quiet = Quiet.of_environment("latency" in oracle.scoring.measures)
        directory = oracle.records.directory
        super().__init__(
            oracle, hypermodel, directory=str(directory.parent), project_name=directory.name, tuner_id=tuner_id
        )
        if self.role.kind == "worker":
            from .distributed.client import Client

            client: Any = Client(oracle, self.role)
            self.oracle = client
            self.summaries = None  # the chief writes them

    def _populate_initial_space(self) -> None:
        """Declares the space without building networks, where the hypermodel can do that."""
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)
        if not hp.space:
            self.hypermodel.build(hp)  # what is wrong with it is seen here
            self.oracle.update_space(hp)
            explore(self.hypermodel, self.oracle)
            self._activate_all_conditions()

    def _explore_fit(self, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
        """Declares what `fit` asks for, if it is the hypermodel's own."""
        own: Any = type(self.hypermodel)
        if own.fit not in (keras_tuner.HyperModel.fit, SparseHyperModel.fit):
            given = {name: value for name, value in fit_kwargs.items() if name != "test_data"}
            explore_fit(self.hypermodel, self.oracle, fit_args, given)

    def save(self) -> None:
        """Does nothing: the records are the state."""

    def reload(self) -> None:
        """Takes over the records on disk."""
        self.oracle.reload()

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs the trials that have no record yet, or hands them out, or runs some of them, as is its role.

        Args:
            *fit_args: See `run_trial`.
            **fit_kwargs: See `run_trial`.
        """
        self._explore_fit(fit_args, fit_kwargs)
        if self.role.kind == "chief":
            from .distributed.chief import Chief

            me, epochs = self.role, fit_kwargs.get("epochs", 1)
            with Chief(self, host=me.host, port=me.port, timeout=me.timeout, epochs=epochs) as chief:
                chief.run()
        elif self.role.kind == "worker":
            client: Any = self.oracle
            with client.working():
                super().search(*fit_args, **fit_kwargs)
        else:
            super().search(*fit_args, **fit_kwargs)

    def on_search_begin(self) -> None:
        """Reports where the search starts."""
        if self.summaries is not None:
            self.summaries.complete(self.oracle.finished)
        self.report(self.progress("search"))

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> Any:
        """Runs one trial and writes its record.

        Args:
            trial: What to try.
            *fit_args: For `HyperModel.fit`, e.g. x and y.
            **fit_kwargs: The same, e.g. validation_data and epochs. `callbacks` are copied for each trial; `test_data`
                (x, y) is evaluated for the report only.

        Returns:
            The objective, as {"objective": f}.

        Raises:
            keras_tuner.errors.FailedTrialError: The trial failed; the record says why.
            StorageError: The result could not be written.
        """
        index = int(trial.trial_id)
        began = time.monotonic()
        epochs = fit_kwargs.get("epochs", 1)
        self.report(self.progress("trial", trial=index, epochs=epochs))

        def on_epoch(epoch: int) -> None:
            self.report(self.progress("epoch", trial=index, epoch=epoch, epochs=epochs))
            self.oracle.at_epoch(index, epoch)
            self._quiet.pause()

        values = trial.hyperparameters.values
        record = self.oracle.unfinished(
            index, values, pending=self.oracle.pending(index), threads=threads(), kernels=kernels()
        )
        known = self.oracle.known_to(index) if self.early_stopping else []
        try:
            with self._quiet.working():
                record, model = self._attempt().run(record, known, on_epoch, fit_args, fit_kwargs)
            record = self._with_network(record)
            self._store(record, model)
        except AbandonedError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        self.seconds.append(time.monotonic() - began)
        if not record.completed:
            raise keras_tuner.errors.FailedTrialError(record.error or "failed")
        assert record.objective is not None
        return {OBJECTIVE: record.objective}

    def _try_run_and_update_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs a trial. KerasTuner's own prints a traceback of each that fails: here its record says why."""
        try:
            self._run_and_update_trial(trial, *fit_args, **fit_kwargs)
            trial.status = TrialStatus.COMPLETED
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)

    def repeat(self, record: TrialRecord, *fit_args: Any, **fit_kwargs: Any) -> TrialRecord:
        """Trains a trial again, as its record says. Nothing is written.

        Args:
            record: The trial; those it knew when it was proposed must be in the run directory (they decide whether it
                is given up).
            *fit_args: As in the search.
            **fit_kwargs: As in the search.

        Returns:
            The new record; with the same number of threads on such a machine it is equal, but for measured seconds.
        """
        self._explore_fit(fit_args, fit_kwargs)
        finished = self.oracle.records.read_all()
        known = [other for i, other in finished.items() if i < record.trial and i not in record.pending]
        start = TrialRecord(
            trial=record.trial,
            status="failed",
            seed=record.seed,
            hyperparameters=dict(record.hyperparameters),
            metric=self.oracle.scoring.metric,
            direction=self.oracle.scoring.direction,
            worker=record.worker,
            pending=record.pending,
            threads=threads(),
            kernels=kernels(),
        )
        again, _ = self._attempt().run(start, known, lambda epoch: None, fit_args, fit_kwargs)
        return self._with_network(again)

    def _attempt(self) -> Attempt:
        return Attempt(
            self.oracle.scoring,
            self.hypermodel,
            self.oracle.get_space(),
            patience=self.patience,
            early_stopping=self.early_stopping,
            unit=self.unit,
            quiet=self._quiet,
        )

    def _with_network(self, record: TrialRecord) -> TrialRecord:
        """The record of a trial, with the place of its network if there is one."""
        if not record.completed:
            return record
        path = self.oracle.records.network_path(record.trial)
        return replace(record, network=path.relative_to(self.oracle.records.directory).as_posix())

    def on_trial_end(self, trial: Trial) -> None:
        """Hands the result to the oracle, to TensorBoard, and reports it."""
        self.oracle.end_trial(trial)
        index = int(trial.trial_id)
        if (record := self.oracle.finished.get(index)) is not None and self.summaries is not None:
            self.summaries.write(record)
        self.report(self.progress("result", trial=index, record=record))

    def load_model(self, trial: Trial) -> keras.Model:
        """The network of a completed trial, as it was at its best epoch, compiled for evaluation."""
        network: Any = keras.models.load_model(self.oracle.records.network_path(int(trial.trial_id)))
        return network

    def _store(self, record: TrialRecord, model: keras.Model | None) -> None:
        """Writes the network, then the record: a record never names a network that is not there."""
        try:
            if record.completed and model is not None:
                # The optimizer has gone on since the best epoch; plain SGD has nothing that would be saved with it.
                # Only metrics that Keras can load by name are kept.
                metric = canonical(None, self.oracle.scoring.task)
                if model.compiled:  # not where it was trained by a loop of its own
                    model.compile("sgd", loss=model.loss, metrics=[metric])
                with atomic(self.oracle.network_target(record.trial)) as temporary:
                    model.save(temporary)
            self.oracle.keep(record)
        except OSError as error:
            path = self.oracle.records.path(record.trial)
            raise StorageError(f"Cannot write {path}: {error.strerror or error}.") from error

    def progress(self, event: Any, *, workers: int = 0, **details: Any) -> Progress:
        """What to report of an event.

        Args:
            event: See `Progress`.
            workers: Processes that run trials for this one.
            **details: Other fields of `Progress`.
        """
        done, total = len(self.oracle.finished), self.oracle.total
        remaining = None
        if self.seconds:
            mean = sum(self.seconds) / len(self.seconds)
            remaining = mean * max(0, total - done) / max(1, min(workers, total - done))
        records = self.oracle.finished.values()
        best, front = winner(records), len(pareto_front(records, self.oracle.scoring.minimised))
        fields = {"best": best, "front": front, "remaining_s": remaining, "workers": workers}
        return Progress(event, done, total, **fields, **details)
