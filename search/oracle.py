"""KerasTuner's oracle, remembering nothing but the trial records."""

from __future__ import annotations

from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from .candidates import Known
from .encoding import Encoding
from .expectation import Finished
from .objective import Objective
from .proposal import propose
from .records import Records, TrialRecord

OBJECTIVE = "objective"
"""Name of the metric the oracle minimises."""


class SparseOracle(keras_tuner.Oracle):
    """Proposes configurations; every result it knows comes from a record on disk.

    A proposal is a function of the space, the seed, the trial's index and the results of the trials before it, so
    nothing has to be saved: a new oracle on the same directory is in the state the old one was in. A trial that was
    running when the process died has no record; it is proposed again, the same.

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
        self._known = known
        self._running_at_proposal: dict[int, list[int]] = {}
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
        """The trials that were running when a trial was proposed."""
        return self._running_at_proposal.get(index, [])

    def known_to(self, index: int) -> list[TrialRecord]:
        """The records a trial may know: those of the trials before it that had ended when it was proposed."""
        pending = self.pending(index)
        return [record for i, record in sorted(self.finished.items()) if i < index and i not in pending]

    def _running(self, index: int) -> list[dict[str, Any]]:
        return [dict(self.trials[trial_id(other)].hyperparameters.values) for other in self.pending(index)]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The configuration of a trial, from the records of the trials before it."""
        index = int(trial_id)
        goal = self.scoring
        values = propose(
            Encoding(self.hyperparameters.space),
            seed=self.seed,
            index=index,
            finished=[_as_finished(record) for record in self.known_to(index)],
            running=self._running(index),
            weight=goal.weight,
            complexity=goal.complexity,
            reference=goal.reference,
            pareto=goal.pareto,
            limits=goal.limits,
            known=self._known,
        )
        if values is None:
            return {"status": TrialStatus.STOPPED}
        return {"status": TrialStatus.RUNNING, "values": values}

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial without a record, or a stopped one when there is none left."""
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        self.tuner_ids.add(tuner_id)
        running = {int(trial.trial_id) for trial in self.ongoing_trials.values()}
        index = next((i for i in range(self.total) if i not in self.finished and i not in running), None)
        if index is not None:
            self._running_at_proposal[index] = sorted(running)
        response: dict[str, Any] = (
            {"status": TrialStatus.STOPPED} if index is None else self.populate_space(trial_id(index))
        )
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = response.get("values", {})
        trial = Trial(hyperparameters, trial_id=trial_id(index or 0), status=response["status"])
        if trial.status == TrialStatus.RUNNING:
            self.ongoing_trials[tuner_id] = trial
            self.trials[trial.trial_id] = trial
            self.start_order.append(trial.trial_id)
        else:
            self.tuner_ids.discard(tuner_id)
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes the trial's result from its record; without one the trial stays to be run."""
        index = int(trial.trial_id)
        record = self.records.read(index)
        if record is None:
            self.trials.pop(trial.trial_id, None)
        else:
            self.finished[index] = record
            self.trials[trial.trial_id] = self._as_trial(record)
            self.end_order.append(trial.trial_id)
        for tuner_id, ongoing in list(self.ongoing_trials.items()):
            if ongoing.trial_id == trial.trial_id:
                del self.ongoing_trials[tuner_id]

    def forget(self, index: int, reason: str) -> None:
        """Sets a trial's record aside so that the trial is run again."""
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
