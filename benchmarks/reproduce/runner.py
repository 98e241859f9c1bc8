"""Doing the runs that are missing, and telling how long it will take."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TextIO, cast

from .experiment import Experiment, Run, Setting
from .records import Records
from .report import cell

_REDRAW = 0.5  # seconds


def select(experiment: Experiment, *, only: str | None = None, epochs: int | None = None) -> list[Setting]:
    """Return the settings whose names match the pattern `only`, with `epochs` in place of their own.

    Raises:
        ValueError: when none matches.
    """
    chosen = [s for s in experiment.settings if only is None or fnmatch(s.name, only) or only == s.name]
    if not chosen:
        names = ", ".join(setting.name for setting in experiment.settings)
        raise ValueError(f"{experiment.name} has no setting {only!r}. It has: {names}.")
    if epochs is None:
        return chosen
    return [replace(setting, parameters={**setting.parameters, "epochs": epochs}) for setting in chosen]


def run(
    experiment: Experiment,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    records: Records,
    *,
    data_dir: Path | None = None,
    facts: dict[str, Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    out: TextIO | None = None,
) -> int:
    """Do every run that `records` does not hold; return how many failed.

    Seeds go round, so that an interrupted table has all its rows. A run that fails is told, not recorded.

    Args:
        experiment: what to run.
        settings: which of its settings.
        seeds: which seeds.
        records: what is finished, and where new results go.
        data_dir: where data sets lie.
        facts: about the machine, kept with every record.
        clock: seconds.
        out: where progress goes; default stderr.
    """
    out = cast(TextIO, sys.stderr) if out is None else out
    todo = [(setting, seed) for seed in seeds for setting in settings]
    times = {s.name: [r["seconds"] for r in records.of(s).values()] for s in settings}
    failed = 0
    for number, (setting, seed) in enumerate(todo):
        if seed in records.of(setting):  # asked again each time: another process may have done it
            continue
        left = [s for s, later in todo[number + 1 :] if later not in records.of(s)]
        begin = clock()
        bar = _Bar(f"[{number + 1}/{len(todo)}] {experiment.name} {setting.name}, seed {seed}", begin, clock, out)
        bar.rest = _estimate(left, times)
        scratch = records.scratch(setting, seed)
        try:
            results = experiment.run(Run(setting, seed, data_dir, bar.show, scratch))
        except Exception:
            failed += 1
            bar.end("failed")
            traceback.print_exc(file=out)
            continue
        seconds = float(results.pop("seconds", clock() - begin))
        times[setting.name].append(seconds)
        date = datetime.now(UTC).isoformat(timespec="seconds")
        records.add(setting, seed, results, seconds=round(seconds, 1), date=date, **(facts or {}))
        shutil.rmtree(scratch, ignore_errors=True)
        shown = (
            f"{title} {cell([results[key]], title)}" for key, title in experiment.columns.items() if key in results
        )
        bar.end(f"{seconds:.0f} s: {'; '.join(shown)}")
    return failed


def _estimate(left: Sequence[Setting], times: dict[str, list[float]]) -> float | None:
    """Return the seconds that the runs in `left` will take: each as before, unknown ones as the mean of the known."""
    known = [statistics.fmean(seconds) for seconds in times.values() if seconds]
    if not known:
        return None if left else 0.0
    typical = statistics.fmean(known)
    return sum(statistics.fmean(times[s.name]) if times[s.name] else typical for s in left)


class _Bar:
    """A line that shows how far a run is; redrawn on terminals, written once at the end elsewhere."""

    def __init__(self, title: str, begin: float, clock: Callable[[], float], out: TextIO) -> None:
        self._title, self._begin, self._clock, self._out = title, begin, clock, out
        self._shown = begin
        self.rest: float | None = None

    def show(self, share: float) -> None:
        """Tell the share done and the time that is left."""
        now = self._clock()
        if not self._out.isatty() or now - self._shown < _REDRAW:
            return
        self._shown = now
        this = (now - self._begin) * (1 - share) / max(share, 1e-9)
        total = "" if self.rest is None else f", all {duration(this + self.rest)}"
        self._out.write(f"\r\033[K{self._title}: {share:.0%}, {duration(this)} left{total}")
        self._out.flush()

    def end(self, text: str) -> None:
        """Tell how the run ended."""
        start = "\r\033[K" if self._out.isatty() else ""
        rest = f"; {duration(self.rest)} left" if self.rest else ""
        self._out.write(f"{start}{self._title}: {text}{rest}\n")
        self._out.flush()


def duration(seconds: float) -> str:
    """Return "40 s", "12 min" or "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
