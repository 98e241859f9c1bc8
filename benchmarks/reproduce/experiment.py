"""What an experiment is: settings, and a function that trains one of them with one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Results = dict[str, Any]
"""What a run found, as JSON data: numbers stand in the table, lists are kept for later or drawn as curves.

A run that may go on after an interruption says under "seconds" how long it took in all."""


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        name: unique within the experiment.
        parameters: everything that `run` needs to know beside the seed, as JSON data. Runs of other parameters are
            other runs, also under the same name.
        published: figure to compare with, and whose.
    """

    name: str
    parameters: Mapping[str, Any]
    published: str = ""


@dataclass(frozen=True)
class Run:
    """One training: a setting and a seed.

    Attributes:
        setting: what is trained.
        seed: of data order, connections and values.
        data_dir: where data sets lie; None for the usual place.
        progress: to be called with the share done, 0 to 1.
        scratch: a folder for this run alone, which stays until it is finished: a run that is begun again finds there
            what it left. It does not exist at first.
    """

    setting: Setting
    seed: int
    data_dir: Path | None
    progress: Callable[[float], None]
    scratch: Path

    def __getitem__(self, name: str) -> Any:
        return self.setting.parameters[name]


@dataclass(frozen=True)
class Experiment:
    """A published result to be reproduced.

    Attributes:
        name: of the command and the files.
        title: of the table.
        protocol: what is the same for all settings, and how it differs from the paper.
        settings: rows of the table.
        run: trains one setting with one seed.
        columns: result to title of a column. Numbers are averaged over seeds; those that end in % are fractions.
        seeds: how many, by default.
        curves: result that is a list, one number an epoch, to title of a table with the settings side by side.
    """

    name: str
    title: str
    protocol: str
    settings: Sequence[Setting]
    run: Callable[[Run], Results]
    columns: Mapping[str, str]
    seeds: int = 3
    curves: Mapping[str, str] = field(default_factory=dict)
