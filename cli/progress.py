"""Progress of a search on stderr: a live bar with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .failures import check_interrupt
from .output import number


class SearchProgress:
    """Shows the events of `keras_sparse.search.Progress`; call it with each."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(), console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._trials = self._bar.add_task("trials", total=None, note="")
        self._epochs = self._bar.add_task("epochs", total=None, note="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Any) -> None:
        """Show one event."""
        check_interrupt()
        left = _left(event.remaining_s)
        self._bar.update(self._trials, total=event.total, completed=event.done, note=f"{left}{_best(event.best)}")
        if event.event == "trial":
            self._bar.reset(self._epochs, total=event.epochs, description=f"trial {event.trial}", visible=True)
        elif event.event == "epoch":
            self._bar.update(self._epochs, completed=event.epoch)
        elif event.event == "search" and event.done:
            self._console.print(f"Resuming: {event.done} of {event.total} trials are done.")
        elif event.event == "result" and event.record is not None:
            self._console.print(
                f"trial {event.record.trial:>3} ({event.done}/{event.total}): {_result(event.record)}  {left}".rstrip(),
                soft_wrap=True,
            )
        elif event.event == "finish":
            self._bar.update(self._epochs, visible=False)
            self._console.print("Writing the winner.")


def _result(record: Any) -> str:
    if not record.completed:
        return f"failed: {record.error}"
    return (
        f"objective {record.objective:.3f}, val {record.metric} {number(record.val_metric)}, "
        f"{record.connections:,} connections"
    )


def _best(record: Any) -> str:
    return f"best {record.objective:.3f}" if record is not None and record.objective is not None else ""


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left  "
