"""One trial: a network built, trained and scored. Nothing is written."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import keras_tuner

import keras_sparse as ks

from . import measures
from .best_epoch import BestEpoch
from .exploring import undeclared
from .halving import Halving
from .measures import EpochTimes
from .networks import evaluation_batch
from .objective import Objective
from .quiet import Quiet
from .records import TrialRecord

_log = logging.getLogger(__name__)
_MESSAGE_LENGTH = 500


class Attempt:
    """Trains what a record says, each time from a cleared session and with the record's seed.

    Args:
        goal: What networks are scored by.
        hypermodel: Builds and trains them, see `SparseTuner`.
        space: The hyperparameters there are.
        patience: Epochs without a better one before a trial stops; None never stops it.
        early_stopping: Whether hopeless trials are given up.
        unit: What logged metrics are multiplied with.
        quiet: Keeps other workers still while a network is timed.
    """

    def __init__(
        self,
        goal: Objective,
        hypermodel: Any,
        space: keras_tuner.HyperParameters,
        *,
        patience: int | None,
        early_stopping: bool,
        unit: float,
        quiet: Quiet,
    ) -> None:
        self._goal = goal
        self._hypermodel = hypermodel
        self._space = space
        self._patience = patience
        self._early_stopping = early_stopping
        self._unit = unit
        self._quiet = quiet

    def run(
        self,
        record: TrialRecord,
        known: Sequence[TrialRecord],
        on_epoch: Callable[[int], object],
        fit_args: tuple[Any, ...],
        fit_kwargs: dict[str, Any],
    ) -> tuple[TrialRecord, keras.Model | None]:
        """Trains a trial.

        Args:
            record: Its seed and hyperparameters, and how it is kept if it fails.
            known: The trials it is compared with, where hopeless ones are given up.
            on_epoch: Called with the number of epochs done.
            fit_args: For `HyperModel.fit`.
            fit_kwargs: The same, and `test_data`.

        Returns:
            The record, completed but for the network's place or with an error; and the network to keep, if there is
            one.

        Raises:
            keras_tuner.errors.FatalError: No trial can be run, or `on_epoch` wants no more.
        """
        fit_kwargs = dict(fit_kwargs)
        test_data = fit_kwargs.pop("test_data", None)
        halving = Halving(self._goal, known, fit_kwargs.get("epochs", 1)) if self._early_stopping else None
        hp = self._space.copy()
        hp.values = dict(record.hyperparameters)

        def at_epoch(epoch: int) -> None:
            self._check_declared(hp)  # not only when all epochs have been trained
            on_epoch(epoch)

        best = BestEpoch(self._goal, unit=self._unit, patience=self._patience, halving=halving, on_epoch=at_epoch)
        model = None
        times = EpochTimes()
        try:
            model = self._build(hp, record.seed)
            self._check_declared(hp)
            if (sizes := self._too_large(model)) is not None:
                broken = self._goal.broken(sizes)
                record = replace(record, error=f"not trained: {broken}", infeasible=broken, measures=sizes)
            else:
                self._train(hp, model, [best, times], fit_args, fit_kwargs)
                self._check_declared(hp)
                model, figures = self._figures(model, best, times, test_data, fit_kwargs.get("validation_data"))
                record = replace(record, status="completed", curve=best.curve, **figures)
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            _log.debug("Trial %d failed.", record.trial, exc_info=True)
            message = f"{type(error).__name__}: {error}"[:_MESSAGE_LENGTH]
            record = replace(record, error=message, curve=best.curve)
        return record, model

    def _build(self, hp: keras_tuner.HyperParameters, seed: int) -> keras.Model:
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        model = self._hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            raise keras_tuner.errors.FatalTypeError(f"HyperModel.build must return a keras.Model, got {model!r}.")
        return model

    def _check_declared(self, hp: keras_tuner.HyperParameters) -> None:
        """Raises where a hyperparameter is asked for of which no proposal and no record would ever know."""
        if new := undeclared(hp, self._space):
            raise keras_tuner.errors.FatalValueError(
                f"The hypermodel asked for {', '.join(map(repr, new))} in a trial, but not when `build` and `fit` were "
                "called before the search, so it would keep its default in all trials. Ask for it in `build` (or "
                "`declare_hyperparameters`, if the hypermodel has one) whatever the other values are, or within "
                "`hp.conditional_scope`; `fit` can read it with `hp.get`."
            )

    def _too_large(self, model: keras.Model) -> dict[str, float] | None:
        """What the network costs, if it is known not to keep a limit whatever the training does."""
        if not self._goal.limits or not getattr(self._hypermodel, "fixed_size", False) or not model.built:
            return None
        sizes = measures.static(self._kept(model))
        return sizes if self._goal.broken(sizes) else None

    def _kept(self, model: keras.Model) -> keras.Model:
        """The network that a model is kept as."""
        finished: Any = getattr(self._hypermodel, "finished", None)
        return model if finished is None else finished(model)

    def _train(
        self, hp: Any, model: keras.Model, own: list[Any], fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> None:
        fit_kwargs = {"verbose": 0, **fit_kwargs}
        callbacks = [*copy.deepcopy(keras.tree.flatten(fit_kwargs.pop("callbacks", None) or [])), *own]
        self._hypermodel.fit(hp, model, *fit_args, callbacks=callbacks, **fit_kwargs)

    def _figures(
        self, model: keras.Model, best: BestEpoch, times: EpochTimes, test_data: Any, validation_data: Any
    ) -> tuple[keras.Model, dict[str, Any]]:
        """Restores the best epoch and says what its network is like; returns the network to keep, too."""
        goal = self._goal
        best.restore()
        metric = best.metric
        kept = self._kept(model)
        if kept is not model and isinstance(validation_data, tuple):
            metric = self._evaluate(kept, validation_data)
        sizes = measures.static(kept)
        if "latency" in goal.measures:
            with self._quiet.alone():
                sizes["latency"] = measures.latency(kept)
        if "train-time" in goal.measures:
            sizes["train-time"] = times.train_time()
        size = ks.inspect(kept)
        score = goal.score(metric, sizes[goal.complexity])
        return kept, {
            "objective": score.objective,
            "prediction_loss": score.f_p,
            "complexity": score.f_c,
            "val_metric": metric,
            "test_metric": None if test_data is None else self._evaluate(kept, test_data),
            "connections": size.connections,
            "density": size.density,
            "parameters": size.parameters,
            "best_epoch": best.epoch,
            "measures": sizes,
            "infeasible": goal.broken(sizes),
            "stopped_early": best.stopped_early,
        }

    def _evaluate(self, model: Any, data: Any) -> float:
        logs = model.evaluate(*data, batch_size=evaluation_batch(model), verbose=0, return_dict=True)
        return float(logs[self._goal.metric]) * self._unit
