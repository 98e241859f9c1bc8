"""Trials per minute of a search on digits, by one process and by several workers, and why.

    python benchmarks/workers.py [--workers 1,2] [--trials 24] [--epochs 30] [--repeats 3]

Each run is `ksparse search digits`, in a process of its own; the runs take turns. What is proposed depends on what is
running, so the networks differ a little; the space keeps them alike. Two rates are shown: "trials/min" of the whole
command, and "steady" between the first result and the last, without the start of Python and TensorFlow. "cores" is how
many cores were kept busy then: CPU seconds of all processes of the search per wall second. Where one process keeps
fewer busy than there are, workers side by side use the rest.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from common import Table, announce, parser, save

_RESULT = re.compile(r"^trial +\d+ \((\d+)/\d+\)")
_SPACE = "[space]\nhidden_layers = [2, 2]\nunits = [64, 128]\nbatch_sizes = [32, 64]\n"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--workers", default="1,2", help="numbers of workers to compare, the first is the reference")
    options.add_argument("--trials", type=int, default=24, help="of each run (default: 24)")
    options.add_argument("--epochs", type=int, default=30, help="of each trial (default: 30)")
    options.add_argument("--repeats", type=int, default=3, help="runs of each, in turn (default: 3)")
    options.add_argument("--arguments", default="", help="more for `ksparse search`, in one string")
    arguments = options.parse_args()
    counts = [int(text) for text in arguments.workers.split(",")]
    facts = announce(f"Trials per minute on digits: {arguments.trials} trials of {arguments.epochs} epochs.")
    rows: list[dict[str, Any]] = []
    table = Table(["workers", "run", "trials/min", "steady", "cores", "CPU s/trial"], width=10)
    for repeat in range(arguments.repeats):
        for workers in counts:
            row = {"workers": workers, "run": repeat, **measure(workers, arguments, seed=repeat)}
            rows.append(row)
            table.row(workers, repeat + 1, row["rate"], row["steady"], row["cores"], row["cpu_per_trial"])
    print()
    summary = [explain(rows, counts[0], workers) for workers in counts]
    for line in summary:
        print(line)
    save("workers", arguments, facts, rows, summary=summary)


def measure(workers: int, arguments: argparse.Namespace, *, seed: int) -> dict[str, float]:
    """Run one search; return its rates and what it kept busy."""
    # The number of threads is left to TensorFlow and to the search.
    pinned = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "KERAS_SPARSE_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in pinned}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "space.toml"
        config.write_text(_SPACE)
        command = [sys.executable, "-m", "keras_sparse_cli", "search", "digits", "--config", str(config)]
        command += ["--output", f"{folder}/run", "--max-trials", str(arguments.trials), "--seed", str(seed)]
        command += ["--epochs", str(arguments.epochs), "--workers", str(workers), *arguments.arguments.split()]
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stderr is not None
            said, seen = [], []
            for line in process.stderr:
                said.append(line)
                if _RESULT.match(line):
                    seen.append((time.monotonic(), _cpu(process.pid)))
        if process.returncode:
            raise SystemExit("".join(said[-20:]))
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    (first, cpu_first), (last, cpu_last) = seen[0], seen[-1]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rate": 60 * arguments.trials / wall,
        "steady": 60 * (len(seen) - 1) / (last - first),
        "cores": (cpu_last - cpu_first) / (last - first),
        "cpu_per_trial": (cpu_last - cpu_first) / (len(seen) - 1),
        "wall": wall,
        "cpu": cpu,
    }


def _cpu(parent: int) -> float:
    """Return the CPU seconds that a process and its children have used so far."""
    total, tick = 0.0, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == parent or int(fields[1]) == parent:
            total += (int(fields[11]) + int(fields[12])) / tick
    return total


def explain(rows: list[dict[str, Any]], reference: int, workers: int) -> str:
    """Return a line with the ratio and its reason; of medians."""

    def median(count: int, name: str) -> float:
        return statistics.median(row[name] for row in rows if row["workers"] == count)

    one, many = median(reference, "cores"), median(workers, "cores")
    line = f"{workers} worker(s): {median(workers, 'steady'):.3g} trials/min on {many:.2f} cores"
    if workers == reference:
        return line
    ratio, busier = median(workers, "steady") / median(reference, "steady"), many / one
    dearer = median(workers, "cpu_per_trial") / median(reference, "cpu_per_trial")
    return (
        f"{line}: {ratio:.2f} times as many as {reference} ({median(workers, 'rate') / median(reference, 'rate'):.2f} "
        f"with the start), because they keep {busier:.2f} times as many of the {machine.CORES} cores busy "
        f"({one:.2f} before) and a trial takes {dearer:.2f} times the CPU seconds: {busier:.2f} / {dearer:.2f}."
    )


if __name__ == "__main__":
    main()
