"""Searches for the smallest accurate sparse network.

`search` does the whole job on a data set that `keras_sparse.search.data.load` returns. Its parts can be used alone:
`MLPSpace`, `ConvSpace` and `RecurrentSpace` (where), `Objective` (what for), `propose` (what next), `Halving` (what to
give up), `SparseHyperModel`, `SparseOracle` and `SparseTuner` (how, on KerasTuner), `Records`, `load_result`,
`pareto_front` and `hypervolume` (what came out), `repeat` (a trial trained again). They are imported when they are
first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# gRPC stops its threads around every fork and starts them again, in the child, too, where it fails (grpc/grpc#43055);
# after that a worker waited for ever. Children of ours never use its connections. gRPC reads this when it is imported,
# and KerasTuner imports it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

if TYPE_CHECKING:
    from .base_space import Space
    from .conv_space import ConvSpace
    from .distributed.roles import WorkersError
    from .dominance import hypervolume
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
    from .manifest import RunManifest
    from .objective import Objective, Score
    from .oracle import SparseOracle
    from .progress import Progress
    from .proposal import propose
    from .records import Records, TrialRecord
    from .recurrent_space import RecurrentSpace
    from .repetition import repeat
    from .result import SearchResult, load_result
    from .run import search
    from .space import MLPSpace
    from .tuner import SparseTuner

_HOME = {
    "ConvSpace": "conv_space",
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
    "RecurrentSpace": "recurrent_space",
    "ResumeMismatchError": "errors",
    "RunDirectoryError": "errors",
    "RunManifest": "manifest",
    "Score": "objective",
    "SearchError": "errors",
    "SearchResult": "result",
    "Space": "base_space",
    "SparseHyperModel": "hypermodel",
    "SparseOracle": "oracle",
    "SparseTuner": "tuner",
    "TrialRecord": "records",
    "WorkersError": "distributed.roles",
    "front_hypervolume": "front",
    "hypervolume": "dominance",
    "load_result": "result",
    "pareto_front": "front",
    "propose": "proposal",
    "repeat": "repetition",
    "search": "run",
    "winner": "front",
}

__all__ = [
    "ConvSpace",
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
    "RecurrentSpace",
    "ResumeMismatchError",
    "RunDirectoryError",
    "RunManifest",
    "Score",
    "SearchError",
    "SearchResult",
    "Space",
    "SparseHyperModel",
    "SparseOracle",
    "SparseTuner",
    "TrialRecord",
    "WorkersError",
    "front_hypervolume",
    "hypervolume",
    "load_result",
    "pareto_front",
    "propose",
    "repeat",
    "search",
    "winner",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
