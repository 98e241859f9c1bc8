"""Searches for the smallest accurate sparse network.

`search` does the whole job on a data set that `keras_sparse.search.data.load` returns. Its parts can be used alone:
`MLPSpace` (where), `Objective` (what for), `propose` (what next), `Halving` (what to give up), `SparseHyperModel`,
`SparseOracle` and `SparseTuner` (how, on KerasTuner), `Records`, `load_result`, `pareto_front` and `hypervolume` (what
came out). They are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoding import Encoding
    from .errors import (
        LimitsError,
        NoTrialCompletedError,
        OutputDirectoryError,
        ResumeMismatchError,
        RunDirectoryError,
        SearchError,
    )
    from .expectation import Finished
    from .front import front_hypervolume, pareto_front, winner
    from .halving import Halving
    from .hypermodel import SparseHyperModel
    from .hypervolume import hypervolume
    from .manifest import RunManifest
    from .objective import Objective, Score
    from .oracle import SparseOracle
    from .progress import Progress
    from .proposal import propose
    from .records import Records, TrialRecord
    from .result import SearchResult, load_result
    from .run import search
    from .space import MLPSpace
    from .tuner import SparseTuner

_HOME = {
    "Encoding": "encoding",
    "Finished": "expectation",
    "Halving": "halving",
    "LimitsError": "errors",
    "MLPSpace": "space",
    "NoTrialCompletedError": "errors",
    "Objective": "objective",
    "OutputDirectoryError": "errors",
    "Progress": "progress",
    "Records": "records",
    "ResumeMismatchError": "errors",
    "RunDirectoryError": "errors",
    "RunManifest": "manifest",
    "Score": "objective",
    "SearchError": "errors",
    "SearchResult": "result",
    "SparseHyperModel": "hypermodel",
    "SparseOracle": "oracle",
    "SparseTuner": "tuner",
    "TrialRecord": "records",
    "front_hypervolume": "front",
    "hypervolume": "hypervolume",
    "load_result": "result",
    "pareto_front": "front",
    "propose": "proposal",
    "search": "run",
    "winner": "front",
}

__all__ = [
    "Encoding",
    "Finished",
    "Halving",
    "LimitsError",
    "MLPSpace",
    "NoTrialCompletedError",
    "Objective",
    "OutputDirectoryError",
    "Progress",
    "Records",
    "ResumeMismatchError",
    "RunDirectoryError",
    "RunManifest",
    "Score",
    "SearchError",
    "SearchResult",
    "SparseHyperModel",
    "SparseOracle",
    "SparseTuner",
    "TrialRecord",
    "front_hypervolume",
    "hypervolume",
    "load_result",
    "pareto_front",
    "propose",
    "search",
    "winner",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
