"""The table of an experiment, and its place in RESULTS.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_sparse.files import atomic

from .experiment import Experiment, Setting
from .records import Records


def table(experiment: Experiment, settings: Sequence[Setting], records: Records, command: str) -> str:
    """Return the experiment as Markdown: title, command, protocol, and mean ± spread over seeds of every column.

    The spread is the sample standard deviation. Settings without a finished run are left out.
    """
    head = ["setting", *experiment.columns.values(), "published", "seeds", "s a run"]
    rows = []
    for setting in settings:
        done = list(records.of(setting).values())
        if done:
            cells = [cell([r["results"].get(key) for r in done], title) for key, title in experiment.columns.items()]
            seconds = statistics.fmean(r["seconds"] for r in done)
            rows.append([setting.name, *cells, setting.published, str(len(done)), f"{seconds:.0f}"])
    lines = [f"## {experiment.title}", "", f"    {command}", "", experiment.protocol.strip(), ""]
    lines += [_row(head), _row(["---", *["---:"] * len(experiment.columns), "---", "---:", "---:"])]
    return "\n".join([*lines, *map(_row, rows)]) + "\n"


def write(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers of experiment `name` in a Markdown file; at its end if there are none.

    Raises:
        ValueError: when only one of the two markers is there.
    """
    begin, end = (f"<!-- {mark} reproduce {name} -->" for mark in ("begin", "end"))
    old = path.read_text() if path.is_file() else ""
    block = f"{begin}\n{text.strip()}\n{end}"
    if old.count(begin) != old.count(end) or old.count(begin) > 1 or old.find(end) < old.find(begin):
        raise ValueError(f"{path} must hold the lines {begin} and {end} once each, in this order, or neither.")
    if begin in old:
        new = old[: old.index(begin)] + block + old[old.index(end) + len(end) :]
    else:
        new = f"{old.rstrip()}\n\n{block}\n".lstrip()
    with atomic(path) as temporary:
        temporary.write_text(new)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(values: Sequence[Any], title: str) -> str:
    """Return mean ± spread of `values` as text: as percent where the title ends so, whole numbers as such."""
    numbers = [float(value) for value in values if value is not None]
    if not numbers:
        return ""
    percent = title.endswith("%")
    mean, spread = (100 * x if percent else x for x in (statistics.fmean(numbers), _spread(numbers)))
    whole = not percent and all(number.is_integer() for number in numbers)
    if whole and spread == 0:
        return f"{mean:,.0f}"
    digits = 2 if percent else max(0, 3 - len(str(int(abs(mean)))))
    text = f"{mean:,.{digits}f}"
    return text if len(numbers) == 1 else f"{text} ± {spread:,.{digits}f}"


def _spread(numbers: Sequence[float]) -> float:
    return statistics.stdev(numbers) if len(numbers) > 1 else 0.0
