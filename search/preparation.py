"""Data, space and settings made ready: what a search, each of its workers and a repeated trial have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import data as data_module
from .base_space import Space
from .data import DataError, Dataset, Preprocessing, with_lengths
from .data.forms import example_shape
from .hypermodel import SparseHyperModel
from .manifest import RunManifest
from .metrics import Adapted
from .oracle import SparseOracle
from .placing import FLAT_ONLY, informative
from .progress import Reporter
from .records import Records
from .settings import Settings
from .spaces import Network, template
from .tuner import SparseTuner
from .yardstick import largest

Part = tuple[Any, Any]


@dataclass(frozen=True)
class Prepared:
    """What a search works on.

    Args:
        data: With the lengths of sequences among the inputs.
        described: The data as the manifest names them.
        preprocessing: Raw inputs to features.
        parts: Features and targets of the training, validation and test part, as the networks see them.
        space: Where to search.
        settings: What for.
        grid: (height, width) of images whose networks may start with local receptive fields; else None.
    """

    data: Dataset
    described: Mapping[str, Any]
    preprocessing: Preprocessing
    parts: list[Part]
    space: Space
    settings: Settings
    grid: tuple[int, ...] | None = None

    def manifest(self, *, epochs: int, patience: int, seed: int, max_trials: int) -> RunManifest:
        """What a run directory is made with."""
        return RunManifest(
            data=self.described,
            space=self.space.to_dict(),
            options={**self.settings.to_options(), "epochs": epochs, "patience": patience},
            seed=seed,
            max_trials=max_trials,
        )

    @property
    def metric(self) -> Adapted | None:
        """The metric to evaluate the winner with; None where it is the task's own."""
        make = self.settings.adapted(self.data.task, self.preprocessing.n_outputs)
        return make and make()

    def fit(self, epochs: int) -> dict[str, Any]:
        """What to call `search`, or `repeat`, of the tuner with."""
        train, validation, test = self.parts
        return {"x": train[0], "y": train[1], "validation_data": validation, "test_data": test, "epochs": epochs}

    def tuner(self, directory: Path, manifest: RunManifest, report: Reporter) -> SparseTuner:
        """The tuner of a run. What f_c is in units of is measured, if it has to be, and noted in the manifest."""
        data, preprocessing, space = self.data, self.preprocessing, self.space
        n_in, n_out, regression = preprocessing.shape, preprocessing.n_outputs, data.task == "regression"
        deviation = preprocessing.y_std if regression else 1.0  # networks predict standardised targets
        metric = self.settings.adapted(data.task, n_out, mean=preprocessing.y_mean, deviation=deviation)
        hypermodel = SparseHyperModel(
            space,
            n_in=n_in,
            n_out=n_out,
            task=data.task,
            n_train=len(data.y_train),
            padded=preprocessing.padded,
            metric=metric,
            informative=informative(self.parts[0][0]) if set(FLAT_ONLY) & set(space.patterns) else None,
            grid=self.grid,
        )
        oracle = SparseOracle(
            Records(directory),
            self.settings.objective(
                data.task,
                reference=self._reference(directory, manifest, hypermodel),
                n_validation=len(data.y_val),
                target_variance=(float(np.var(data.y_train)) or deviation**2) if regression else None,
            ),
            max_trials=manifest.max_trials,
            seed=manifest.seed,
            known=lambda values: space.known(values, n_in, n_out),
        )
        return SparseTuner(
            oracle,
            hypermodel,
            patience=manifest.options["patience"],
            early_stopping=self.settings.stops,
            unit=deviation**2 if metric is None else 1.0,
            on_progress=report,
        )

    def _reference(self, directory: Path, manifest: RunManifest, hypermodel: SparseHyperModel) -> float:
        name = self.settings.measures[0]
        n_in, n_out = self.preprocessing.shape, self.preprocessing.n_outputs
        known = {**self.space.references(n_in, n_out), **manifest.measured}
        if name not in known:
            values, (train, validation, _) = self.space.slowest(n_in, n_out), self.parts
            known[name] = largest(
                hypermodel, name, seed=manifest.seed, train=train, validation=validation, values=values
            )
            replace(manifest, measured={name: known[name]}).write(directory)
        return known[name]


def prepare(
    data: Dataset, space: Space | Mapping[str, Any] | None, network: Network | None, settings: Settings
) -> Prepared:
    """Preprocesses the data and fits the space to them.

    Args:
        data: What `keras_sparse.search.data.load` returns.
        space: See `search`.
        network: See `search`.
        settings: What to search for.

    Raises:
        ValueError: The data do not suit the network or a pattern, or a field of the space is unknown or out of range.
    """
    kind = template(space, network)
    prepared = with_lengths(data) if kind.form == "sequences" else data
    preprocessing = data_module.fit(prepared, kind.form, shared=getattr(kind, "scaling", None) == "shared")
    if not isinstance(space, Space):
        space = type(kind).for_data(preprocessing.shape, len(data.y_train), **(space or {}))
    raw = (
        (prepared.x_train, prepared.y_train),
        (prepared.x_val, prepared.y_val),
        (prepared.x_test, prepared.y_test),
    )
    parts = [(preprocessing.features(x), preprocessing.target(y)) for x, y in raw]
    grid = _grid(prepared) if "local" in space.patterns else None
    return Prepared(prepared, _describe(data, preprocessing), preprocessing, parts, space, settings, grid)


def _grid(data: Dataset) -> tuple[int, ...]:
    try:
        return example_shape(data, "images")[:2]
    except DataError as error:
        raise DataError(
            f'{data.name} cannot be searched with the pattern "local": it is for images, [height, width] or [height, '
            "width, channels]. Reshape x, or take the pattern out of the space."
        ) from error


def _describe(data: Dataset, preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        "name": data.name,
        "task": data.task,
        "fingerprint": data.fingerprint,
        "input_shape": None if isinstance(data.x_train, dict) else list(data.x_train.shape[1:]),
        "n_train": len(data.y_train),
        "n_val": len(data.y_val),
        "n_test": len(data.y_test),
        "n_features": preprocessing.n_features,
        "n_outputs": preprocessing.n_outputs,
    }
