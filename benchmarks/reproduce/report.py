"""The table of an experiment, and its place in RESULTS.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_sparse.files import atomic

from .experiment import Experiment, Setting
from .records import Records

_CURVE_ROWS = 20


def table(experiment: Experiment, settings: Sequence[Setting], records: Records, command: str) -> str:
    """Return the experiment as Markdown: title, command, protocol, and mean ± spread over seeds of every column.

    The spread is the sample standard deviation. Settings without a finished run are left out. Learning curves follow.
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
    lines += map(_row, rows)
    for key, title in experiment.curves.items():
        lines += _curves(key, title, settings, records)
    return "\n".join(lines) + "\n"


def _curves(key: str, title: str, settings: Sequence[Setting], records: Records) -> list[str]:
    """Return a table of the result `key` by epoch, a column for each setting; of many epochs some and the last."""
    columns = {}
    for setting in settings:
        found = [record["results"][key] for record in records.of(setting).values() if key in record["results"]]
        if found:
            columns[setting.name] = found
    last = max((len(curve) for found in columns.values() for curve in found), default=0)
    if not last:
        return []
    stride = -(-last // _CURVE_ROWS)
    epochs = sorted({*range(stride, last + 1, stride), last})
    lines = ["", f"{title[0].upper()}{title[1:]}, after epochs:", ""]
    lines += [_row(["epoch", *columns]), _row(["---:"] * (1 + len(columns)))]
    for epoch in epochs:
        values = ([c[epoch - 1] for c in found if len(c) >= epoch] for found in columns.values())
        lines.append(_row([str(epoch), *(cell(numbers, title) for numbers in values)]))
    return lines


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
