"""How much memory there is, so that absurd sizes are errors and not the end of the process."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from .topology.layout import Layout

_DRAWN = 20  # bytes of a connection while it is drawn: both units and its weight
_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container


@cache
def total() -> int | None:
    """Return the bytes of memory this process may have at most; None where that is unknown."""
    limits = []
    with suppress(ValueError, OSError, AttributeError):  # not on Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ValueError, OSError):  # "max" is no number
        limits.append(int(_GROUP.read_text()))
    return min(limits, default=None)


def check_memory(layout: Layout, connections: int, name: str) -> None:
    """Raise ValueError if a kernel alone would need more than the memory while it is made.

    Args:
        layout: of the kernel.
        connections: that are drawn.
        name: of the kernel, for the message.
    """
    limit = total()
    needed = layout.stored_bytes + _DRAWN * connections
    if limit is not None and needed > limit:
        n_in, n_out = layout.shape
        raise ValueError(
            f"`{name}` of {n_in:,} x {n_out:,} with {layout.capacity:,} connections would need "
            f"{needed / 2**30:,.0f} GiB, and this machine has {limit / 2**30:,.1f}. "
            "Take a smaller density or capacity."
        )
