"""What every benchmark shares: options, timing in turn, tables, results as JSON.

Importing it gives every thread pool as many threads as the process may use cores, or BENCH_THREADS, and must come
before TensorFlow. It imports neither TensorFlow nor the package itself, so that a peer can use it in another
environment.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import machine

RESULTS = machine.ROOT / "build" / "bench"
_ROUNDS = 5
_FEWEST_ROUNDS = 3  # of a candidate that takes its time
_TRACING = 3.0  # seconds that a first call may take longer
_BUSY = 0.2  # cores in use by others from which a table says so
_SHORT = 0.02  # seconds; below it a call after another candidate's finds caches and threads in its state

THREADS = int(os.environ.get("BENCH_THREADS", machine.CORES))
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[_name] = str(THREADS)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # candidates are compiled by the dozen: it warns of that

Burst = Callable[[int], list[float]]
"""Runs a candidate some times in a row and returns the seconds of each."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="where the JSON goes")
    return result


def add_timed(to: argparse.ArgumentParser) -> None:
    """Add the option that says how steps are timed: by calls from Python, or in a loop where Python takes no part."""
    to.add_argument(
        "--timed", type=lambda text: text.split(","), default=["call", "loop"], help='"call", "loop" or both'
    )


def numbers(text: str) -> list[float]:
    """Parse "50,20,0.5"."""
    return [float(part) for part in text.split(",")]


def integers(text: str) -> list[int]:
    """Parse "1,32,128"."""
    return [int(part) for part in text.split(",")]


def shapes(text: str) -> list[tuple[int, int]]:
    """Parse "784x1000,3072x4000"."""
    pairs = (part.split("x") for part in text.split(","))
    return [(int(n_in), int(n_out)) for n_in, n_out in pairs]


def calls(function: Callable[[], Any], turns: int = 1) -> Burst:
    """Return the burst of a function; the first call of several settles caches and threads and is not timed.

    Args:
        function: the candidate.
        turns: how often a call does what is timed.
    """

    def burst(count: int) -> list[float]:
        if count > 1:
            function()
        return [_seconds(function) / turns for _ in range(count)]

    return burst


def interleave(bursts: Mapping[Any, Burst], *, seconds: float, slow: float = math.inf) -> dict[Any, float]:
    """Return the median seconds of every candidate; they take turns, so that drift of the machine hits all alike.

    Args:
        bursts: the candidates.
        seconds: to spend on each, more or less; at least three calls are timed.
        slow: a candidate whose calls take longer than this many seconds is left out.
    """
    estimates: dict[Any, float] = {}
    for name, burst in bursts.items():
        first = burst(1)[0]  # traces, too
        if first <= slow + _TRACING:
            second = burst(1)[0]
            if second <= slow:
                estimates[name] = second
    times: dict[Any, list[float]] = {name: [] for name in estimates}
    for number in range(_ROUNDS):
        for name, estimate in estimates.items():
            if number < _FEWEST_ROUNDS or estimate * number < seconds:
                count = round(seconds / _ROUNDS / max(estimate, 1e-6)) if estimate < _SHORT else 1
                times[name] += bursts[name](max(1, min(200, count)))
    return {name: statistics.median(measured) for name, measured in times.items()}


def _seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def ratios(times: Mapping[str, float], reference: str = "Dense") -> dict[str, float]:
    """Return how many times faster than the reference each candidate is; empty without a reference."""
    if reference not in times:
        return {}
    return {name: times[reference] / value for name, value in times.items() if name != reference}


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean, the mean of ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))


def crossing(points: Iterable[tuple[float, float]]) -> str:
    """Return the density (%) at which the speed-up is 1, interpolated in the logarithms of both.

    Args:
        points: pairs of density in percent and speed-up.
    """
    ordered = sorted(points, reverse=True)
    if not ordered:
        return ""
    if ordered[0][1] >= 1:
        return f"> {ordered[0][0]:g} %"
    for (high, above), (low, below) in pairwise(ordered):
        if below >= 1:
            part = math.log(above) / (math.log(above) - math.log(below))
            return f"{math.exp(math.log(high) + part * (math.log(low) - math.log(high))):.2g} %"
    return f"< {ordered[-1][0]:g} %"


class Table:
    """A table that prints its rows as they come.

    Args:
        columns: titles; texts are set to the left, everything else to the right.
        width: of a column, at least; the last one may run over.
    """

    def __init__(self, columns: Sequence[str], width: int = 9) -> None:
        self._widths = [max(width, len(title)) for title in columns]
        self.row(*columns)
        print("  ".join("-" * width for width in self._widths), flush=True)

    def row(self, *cells: Any) -> None:
        """Print a row; None is left blank and floats get three significant digits."""
        texts = [_text(cell).rjust(width) for cell, width in zip(cells, self._widths, strict=True)]
        print("  ".join(texts).rstrip(), flush=True)


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.2f}" if 0.1 <= cell < 10 else f"{cell:.3g}" if cell < 1000 else f"{cell:.0f}"
    return "" if cell is None else str(cell)


def announce(title: str) -> dict[str, Any]:
    """Print what is measured and where; return the facts about the machine."""
    facts: dict[str, Any] = machine.facts() | {"threads": THREADS}
    versions = ", ".join(f"{name} {facts[name]}" for name in ("tensorflow", "keras"))
    print(
        f"{title}\n{facts['cpu']} ({', '.join(facts['instructions'])}), {THREADS} threads; {versions}; {facts['date']}"
    )
    if (facts["others"] or 0) > _BUSY:
        print(f"Other processes keep {facts['others']:.1f} cores busy: threads that wait for each other suffer most.")
    print(flush=True)
    return facts


def save(
    name: str, arguments: argparse.Namespace, facts: Mapping[str, Any], rows: list[dict[str, Any]], **more: Any
) -> None:
    """Write a benchmark's results to NAME.json in the directory that `--output` names."""
    options = {key: value for key, value in vars(arguments).items() if key != "output"}
    result = {"command": sys.argv, "arguments": options, "machine": facts, "rows": rows, **more}
    directory: Path = arguments.output
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, default=str) + "\n")
    print(f"\nWritten to {path}", flush=True)
