"""Facts about the machine and the process: what a result depends on, and how much memory there is and was."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        "instructions": [name for name in known if name in flags],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("tensorflow", "keras", "numpy", "keras-sparse", *packages)},
        "commit": _commit(),
        "others": _busy(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _busy() -> float | None:
    """Return how many cores other processes keep busy right now, on Linux."""

    def sample() -> list[int]:
        return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]

    if not Path("/proc/stat").exists():
        return None
    before = sample()
    time.sleep(0.5)
    spent = [after - start for start, after in zip(before, sample(), strict=True)]
    return round(CORES * (1 - (spent[3] + spent[4]) / max(1, sum(spent))), 2)


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
