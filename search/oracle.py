"""KerasTuner's oracle, remembering nothing but the trial records."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from .candidates import Known
from .encoding import Encoding
from .expectation import Finished
from .objective import Objective
from .plans import Plan, Plans
from .proposal import propose
from .records import Records, TrialRecord
from .seeds import trial_seed

OBJECTIVE = "objective"
"""Name of the metric the oracle minimises."""


class AbandonedError(keras_tuner.errors.FatalError):
    """A trial is no longer its tuner's: it was taken for dead, and another runs the trial."""


class SparseOracle(keras_tuner.Oracle):
    """Proposes configurations; every result it knows comes from a record on disk.

    A proposal is a function of the space, the seed, the trial's index and the results of the trials before it, so
    nothing has to be saved: a new oracle on the same directory is in the state the old one was in. A trial that was
    running when the process died has no record; it is proposed again, the same. Where several run at a time, what
    was proposed beside others is kept until its record is there, see `plans`.

    It may be called from several threads.

    Args:
        records: Where finished trials are.
        objective: The objective of the search.
        max_trials: Trials to run in all.
        seed: The seed of the search, 0 ≤ seed < 2⁶⁴.
        known: What a configuration costs, as far as that is known before training: measure to value.
        hyperparameters: A space declared beforehand; else the hypermodel declares it.

    Attributes:
        finished: Records by index.
        total: Trials to run in all.
        lock: Held while anything changes. KerasTuner's own stays locked after an exception.
    """

    def __init__(
        self,
        records: Records,
        objective: Objective,
        *,
        max_trials: int,
        seed: int,
        known: Known | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
    ) -> None:
        super().__init__(
            objective=keras_tuner.Objective(OBJECTIVE, "min"),
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            seed=seed or 1,  # KerasTuner draws a random one for 0, from the process-wide generator
            max_consecutive_failed_trials=max_trials + 1,
        )
        self.seed = seed
        self.total = max_trials
        self.records = records
        self.scoring = objective
        self.lock = threading.RLock()
        self._known = known
        self._plans = Plans(records.path(0).parent)
        self._pending: dict[int, list[int]] = {}
        self.finished: dict[int, TrialRecord] = {}
        self.reload()

    def reload(self) -> None:
        """Takes over the records on disk."""
        self.finished = self.records.read_all()
        self.ongoing_trials.clear()
        self.trials = {trial_id(index): self._as_trial(record) for index, record in self.finished.items()}
        self.start_order = list(self.trials)
        self.end_order = list(self.trials)

    def save(self) -> None:
        """Does nothing: the records are the state."""

    def _save_trial(self, trial: Trial) -> None:
        """Does nothing: the tuner writes a record when the trial is finished."""

    def pending(self, index: int) -> list[int]:
        """The earlier trials that were running when a trial was proposed."""
        return self._pending.get(index, [])

    def known_to(self, index: int) -> list[TrialRecord]:
        """The records a trial may know: those of the trials before it that had ended when it was proposed."""
        pending = self.pending(index)
        return [record for i, record in sorted(self.finished.items()) if i < index and i not in pending]

    def unfinished(self, index: int, values: Mapping[str, Any], **facts: Any) -> TrialRecord:
        """The record of a trial that has come to nothing so far.

        Args:
            index: Of the trial.
            values: Its hyperparameters.
            **facts: Other fields of the record, `pending` among them.
        """
        return TrialRecord(
            trial=index,
            status="failed",
            seed=trial_seed(self.seed, index),
            hyperparameters=dict(values),
            metric=self.scoring.metric,
            direction=self.scoring.direction,
            **facts,
        )

    def network_target(self, index: int) -> Path:
        """Where the tuner writes the network of a trial, before it hands in the record."""
        return self.records.network_path(index)

    def keep(self, record: TrialRecord) -> None:
        """Takes a trial's record, and writes it.

        Raises:
            OSError: It cannot be written.
        """
        self.records.write(record)

    def at_epoch(self, index: int, epoch: int) -> None:
        """Hears of the end of an epoch; an exception ends the training."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The configuration of a trial, from the records of the trials before it."""
        index = int(trial_id)
        encoding = Encoding(self.hyperparameters.space)
        running = [self._values(other) for other in self.pending(index)]
        values = self._propose(encoding, index, running)
        # A record that was lost may leave later ones behind which were made with knowledge of it.
        later = [dict(trial.hyperparameters.values) for trial in self.trials.values() if int(trial.trial_id) > index]
        if values is not None and encoding.key(values) in map(encoding.key, later):
            values = self._propose(encoding, index, [*running, *later])
        if values is None:
            return {"status": TrialStatus.STOPPED}
        return {"status": TrialStatus.RUNNING, "values": values}

    def _propose(self, encoding: Encoding, index: int, running: list[dict[str, Any]]) -> dict[str, Any] | None:
        goal = self.scoring
        return propose(
            encoding,
            seed=self.seed,
            index=index,
            finished=[_as_finished(record) for record in self.known_to(index)],
            running=running,
            weight=goal.weight,
            complexity=goal.complexity,
            reference=goal.reference,
            pareto=goal.pareto,
            limits=goal.limits,
            known=self._known,
        )

    def _values(self, index: int) -> dict[str, Any]:
        return dict(self.trials[trial_id(index)].hyperparameters.values)

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial without a record, or a stopped one when there is none left."""
        with self.lock:
            if tuner_id in self.ongoing_trials:
                return self.ongoing_trials[tuner_id]
            running = {int(trial.trial_id) for trial in self.ongoing_trials.values()}
            index = next((i for i in range(self.total) if i not in self.finished and i not in running), None)
            response: dict[str, Any] = {"status": TrialStatus.STOPPED} if index is None else self._plan(index, running)
            hyperparameters = self.hyperparameters.copy()
            hyperparameters.values = response.get("values", {})
            trial = Trial(hyperparameters, trial_id=trial_id(index or 0), status=response["status"])
            if trial.status == TrialStatus.RUNNING:
                self.tuner_ids.add(tuner_id)
                self.ongoing_trials[tuner_id] = trial
                self.trials[trial.trial_id] = trial
                self.start_order.append(trial.trial_id)
            else:
                self.tuner_ids.discard(tuner_id)
            return trial

    def _plan(self, index: int, running: set[int]) -> dict[str, Any]:
        """What a trial tries: what it was to try before, if it was given up without a record; else a proposal."""
        if (plan := self._plans.get(index)) is not None:
            self._pending[index] = list(plan.pending)
            return {"status": TrialStatus.RUNNING, "values": dict(plan.hyperparameters)}
        self._pending[index] = sorted(other for other in running if other < index)
        response = self.populate_space(trial_id(index))
        if response["status"] == TrialStatus.RUNNING:
            self._plans.keep(index, Plan(response["values"], self._pending[index]))
        return response

    def end_trial(self, trial: Trial) -> None:
        """Takes the trial's result from its record; without one the trial stays to be run."""
        with self.lock:
            index = int(trial.trial_id)
            record = self.records.read(index)
            if record is None:
                self.trials.pop(trial.trial_id, None)
            else:
                self.finished[index] = record
                self.trials[trial.trial_id] = self._as_trial(record)
                self.end_order.append(trial.trial_id)
                self._plans.drop(index)
            for tuner_id, ongoing in list(self.ongoing_trials.items()):
                if ongoing.trial_id == trial.trial_id:
                    del self.ongoing_trials[tuner_id]

    def give_back(self, tuner_id: str) -> None:
        """Takes a tuner's trial back, to be run again, the same."""
        with self.lock:
            trial = self.ongoing_trials.pop(tuner_id, None)
            if trial is not None:
                self.trials.pop(trial.trial_id, None)
                self.start_order.remove(trial.trial_id)

    def forget(self, index: int, reason: str) -> None:
        """Sets a trial's record aside so that the trial is run again, the same."""
        with self.lock:
            if (record := self.finished.get(index)) is not None:
                self._plans.keep(index, Plan(record.hyperparameters, record.pending))
            self.records.set_aside(index, reason)
            self.reload()

    def _as_trial(self, record: TrialRecord) -> Trial:
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(record.hyperparameters)
        status = TrialStatus.COMPLETED if record.completed else TrialStatus.FAILED
        trial = Trial(hyperparameters, trial_id=trial_id(record.trial), status=status, message=record.error)
        if record.objective is not None:
            trial.score = record.objective
            trial.best_step = (record.best_epoch or 1) - 1
            trial.metrics.register(OBJECTIVE, direction="min")
            trial.metrics.update(OBJECTIVE, record.objective, step=trial.best_step)
        return trial


def trial_id(index: int) -> str:
    """KerasTuner's name of trial `index`: four digits or more."""
    return f"{index:04d}"


def _as_finished(record: TrialRecord) -> Finished:
    measures = dict(record.measures)
    if record.connections is not None:
        measures.setdefault("connections", record.connections)
    feasible = record.infeasible is None
    return Finished(record.hyperparameters, record.objective, record.prediction_loss, measures, feasible)
