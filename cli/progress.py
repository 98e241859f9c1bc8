"""Progress of a search on stderr: a live table with bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .failures import check_interrupt
from .output import number


class SearchProgress:
    """Shows the events of `keras_sparse.search.Progress`; call it with each."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console,
        )  # fmt: skip
        self._trials = self._bar.add_task("trials", total=None)
        self._epochs: dict[int, Any] = {}  # the bars of the trials that run
        self._event: Any = None
        self._began, self._first = time.monotonic(), 0
        self._live = Live(console=self._console, get_renderable=self._view, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Any) -> None:
        """Show one event."""
        check_interrupt()
        if event.event == "search":
            self._began, self._first = time.monotonic(), event.done
        self._event = event
        self._bar.update(self._trials, total=event.total, completed=event.done)
        if event.event == "trial":
            self._remove(event.trial)  # of a worker that died
            self._epochs[event.trial] = self._bar.add_task(f"trial {event.trial}", total=event.epochs or None)
        elif event.event == "epoch" and event.trial in self._epochs:
            self._bar.update(self._epochs[event.trial], completed=event.epoch)
        elif event.event == "result":
            self._remove(event.trial)
            if event.record is not None:
                notes = [_result(event.record), _front(event), *self._pace(event)]
                place = f"trial {event.record.trial:>3} ({event.done}/{event.total})"
                self._say(f"{place}: {', '.join(notes)}")
        elif event.event == "workers":
            self._say(event.note)
        elif event.event == "search" and event.done:
            self._console.print(f"Resuming: {event.done} of {event.total} trials are done.")
        elif event.event == "finish":
            self._console.print("Writing the winner.")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _remove(self, trial: int) -> None:
        """Take the bar of a trial away."""
        if trial in self._epochs:
            self._bar.remove_task(self._epochs.pop(trial))

    def _view(self) -> Group:
        """Return the table of what is found so far, above the bars."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column()
        if self._event is not None:
            best = self._event.best
            table.add_row("best so far", "none yet" if best is None else f"trial {best.trial}: {_result(best)}")
            table.add_row("front", _front(self._event))
            if pace := self._pace(self._event):
                table.add_row("pace", ", ".join(pace))
            if workers := getattr(self._event, "workers", 0):
                table.add_row("workers", str(workers))
        return Group(table, self._bar)

    def _pace(self, event: Any) -> list[str]:
        """Return trials per minute of this process, and the time left, as far as they are known."""
        done, minutes = event.done - self._first, (time.monotonic() - self._began) / 60
        pace = [f"{done / minutes:.3g} trials/min"] if done > 0 and minutes > 0 else []
        left = [] if event.remaining_s is None else [f"{timedelta(seconds=round(event.remaining_s))} left"]
        return pace + left


def _result(record: Any) -> str:
    if not record.completed:
        return f"failed: {record.error}"
    return (
        f"objective {record.objective:.3f}, val {record.metric} {number(record.val_metric)}, "
        f"{record.connections:,} connections"
    )


def _front(event: Any) -> str:
    return f"{event.front} on the front"
