"""What a running search tells its caller."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .records import TrialRecord


@dataclass(frozen=True)
class Progress:
    """One step of a search.

    Args:
        event: "search" (it starts or goes on), "trial" (one starts), "epoch" (one of its epochs ended), "result" (the
            trial ended), "workers" (one has joined, left or died, or waits for its chief), "finish" (the winner is
            being written) or "done".
        done: Trials finished so far, those of an earlier run included. A worker counts those it knows of: what had
            ended when its trial was proposed, and its own.
        total: Trials to run in all.
        trial: Index of the trial, with "trial", "epoch" and "result".
        epoch: Epochs of the trial done.
        epochs: Epochs the trial runs at most.
        record: The trial's record, with "result".
        best: The best completed trial so far.
        front: Trials on the Pareto front so far.
        remaining_s: Seconds left by the mean of the trials of this run; None before the first one ended.
        workers: Processes that run trials for this one; 0 where it runs them itself.
        note: What happened, with "workers".
    """

    event: Literal["search", "trial", "epoch", "result", "workers", "finish", "done"]
    done: int
    total: int
    trial: int | None = None
    epoch: int = 0
    epochs: int = 0
    record: TrialRecord | None = None
    best: TrialRecord | None = None
    front: int = 0
    remaining_s: float | None = None
    workers: int = 0
    note: str | None = None


class Reporter:
    """Calls a progress function, and never lets it break a trial.

    Args:
        function: Called with each `Progress`; None for nobody. If it raises it is not called again.
    """

    def __init__(self, function: Callable[[Progress], object] | None) -> None:
        self._function = function

    def __call__(self, progress: Progress) -> None:
        """Reports one step."""
        if self._function is None:
            return
        try:
            self._function(progress)
        except Exception as error:
            self._function = None
            warnings.warn(f"Progress is no longer reported: {type(error).__name__}: {error}", stacklevel=2)
