"""What every benchmark shares: timing in turn, tables, facts about the machine, results as JSON.

Importing it gives every thread pool as many threads as the process may use cores, or BENCH_THREADS, and must come
before TensorFlow. It imports neither TensorFlow nor the package itself, so that a peer can use it in another
environment.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "bench"
_ROUNDS = 5
_FEWEST_ROUNDS = 3  # of a candidate that takes its time
_SHORT = 0.02  # seconds; below it a call after another candidate's finds caches and threads in its state

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = int(os.environ.get("BENCH_THREADS", CORES))
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[_name] = str(THREADS)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Burst = Callable[[int], list[float]]
"""Runs a candidate some times in a row and returns the seconds of each."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="where the JSON goes")
    return result


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


def calls(function: Callable[[], Any]) -> Burst:
    """Return the burst of a function; the first call of several settles caches and threads and is not timed."""

    def burst(count: int) -> list[float]:
        if count > 1:
            function()
        return [_seconds(function) for _ in range(count)]

    return burst


def interleave(bursts: Mapping[Any, Burst], *, seconds: float, slow: float = math.inf) -> dict[Any, float]:
    """Return the median seconds of every candidate; they take turns, so that drift of the machine hits all alike.

    Args:
        bursts: the candidates.
        seconds: to spend on each, more or less; at least three calls are timed.
        slow: a candidate whose first call, which also traces and allocates, takes longer than this many seconds is
            left out.
    """
    estimates: dict[Any, float] = {}
    for name, burst in bursts.items():
        first = burst(1)[0]
        if first <= slow:
            estimates[name] = min(first, burst(1)[0])
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


def facts(*packages: str) -> dict[str, Any]:
    """Return what a result depends on: processor, cores, instruction set, versions, commit and date."""
    model, flags = platform.processor() or platform.machine(), set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = [line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line]
        values = {key.strip(): value.strip() for key, value in reversed(fields)}
        model = values.get("model name", model)
        flags = set(values.get("flags", values.get("Features", "")).split())
    known = ("amx_tile", "avx512_bf16", "avx512f", "avx2", "sve", "asimd")
    return {
        "cpu": model,
        "cores": CORES,
        "threads": THREADS,
        "instructions": [name for name in known if name in flags],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("tensorflow", "keras", "numpy", "keras-sparse", *packages)},
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        answer = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() or None


def announce(title: str, machine: Mapping[str, Any]) -> None:
    """Print what is measured and where."""
    versions = ", ".join(f"{name} {machine[name]}" for name in ("tensorflow", "keras"))
    instructions = ", ".join(machine["instructions"])
    print(f"{title}\n{machine['cpu']} ({instructions}), {THREADS} threads; {versions}; {machine['date']}\n", flush=True)


def save(
    name: str, arguments: argparse.Namespace, machine: Mapping[str, Any], rows: list[dict[str, Any]], **more: Any
) -> None:
    """Write a benchmark's results to NAME.json in the directory that `--output` names."""
    options = {key: value for key, value in vars(arguments).items() if key != "output"}
    result = {"command": sys.argv, "arguments": options, "machine": machine, "rows": rows, **more}
    directory: Path = arguments.output
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, default=str) + "\n")
    print(f"\nWritten to {path}", flush=True)


def available_bytes() -> float:
    """Return how much memory can be had without swapping, infinity where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return math.inf


def peak_bytes() -> int:
    """Return the most memory this process has held at once (since `reset_peak`, where that works)."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak() -> None:
    """Let `peak_bytes` count anew, on Linux."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
