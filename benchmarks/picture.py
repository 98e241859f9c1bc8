"""Draw the picture of the README from what `junction.py` and `model_fit.py` have written.

python benchmarks/picture.py [--input build/bench] [--picture docs/benchmark.png] [--batch 128]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import machine
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee")
TICKS = (1, 2, 5, 10, 20, 50)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--input", type=Path, default=machine.ROOT / "build" / "bench", metavar="DIR")
parser.add_argument("--picture", type=Path, default=machine.ROOT / "docs" / "benchmark.png", metavar="PNG")
parser.add_argument("--batch", type=int, default=128, help="of the junctions")


def read(directory: Path, name: str) -> dict[str, Any]:
    """Return the results of a benchmark."""
    path = directory / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path} does not exist; run benchmarks/{name}.py first.")
    return json.loads(path.read_text())


def path_of(rows: list[dict[str, Any]]) -> str:
    """Return whose figures are drawn: native where it was measured, else auto."""
    return "native" if any("native" in row["ratio"] for row in rows) else "auto"


def curve(axes: Axes, rows: list[dict[str, Any]], path: str, label: str, number: int) -> None:
    """Draw one speed-up against density."""
    points = sorted((row["density"], row["ratio"][path]) for row in rows if path in row["ratio"])
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[number % len(COLOURS)], ms=5, lw=2, label=label)


def dress(axes: Axes, title: str, densities: list[float]) -> None:
    """Give a panel its scales, its grid and the line where the sparse layer is as fast as the dense one."""
    most, least = max(densities), min(densities)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(1, color="black", lw=1.2, ls="--")
    axes.annotate("as fast as Dense", (least, 1), (4, 4), textcoords="offset points", fontsize=9, ha="right")
    axes.set_xlim(most * 1.25, least / 1.25)  # sparser to the right
    axes.set_xticks(
        [tick for tick in TICKS if least <= tick <= most], [f"{tick} %" for tick in TICKS if least <= tick <= most]
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel("density")
    axes.set_title(title, fontsize=12)
    axes.legend(frameon=False, fontsize=9, loc="upper left", borderaxespad=0)
    axes.tick_params("x", labelsize=9)


def main() -> None:
    arguments = parser.parse_args()
    junction, fit = read(arguments.input, "junction"), read(arguments.input, "model_fit")
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.4), dpi=200, width_ratios=[1.6, 1], layout="constrained")

    rows = [
        row for row in junction["rows"] if (row["batch"], row["timed"]) == (arguments.batch, "call") and row["ratio"]
    ]
    if not rows:
        raise SystemExit(f"There are no junctions with batch {arguments.batch} and a dense reference.")
    path = path_of(rows)
    shapes = sorted({tuple(row["shape"]) for row in rows})
    for number, shape in enumerate(shapes):
        curve(left, [row for row in rows if tuple(row["shape"]) == shape], path, "{} × {}".format(*shape), number)
    dress(left, f"One layer, batch {arguments.batch}", [row["density"] for row in rows])
    left.set_ylabel("speed-up over keras.layers.Dense")

    rows = [row for row in fit["rows"] if row["setting"] == "default" and row["ratio"]]
    for number, network in enumerate(dict.fromkeys(row["network"] for row in rows)):
        chosen = [row for row in rows if row["network"] == network]
        curve(right, chosen, path_of(rows), network, number)
    dress(right, "model.fit, SGD + momentum", [row["density"] for row in rows])

    facts = junction["machine"]
    where = f"{facts['threads']} threads of {facts['cpu']}, TensorFlow {facts['tensorflow']}, {facts['date'][:10]}"
    figure.supxlabel(f'Training step, compute="{path}"; {where}', fontsize=8, color="#555555")
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture, facecolor="white")
    print(f"Drawn {arguments.picture}")


if __name__ == "__main__":
    main()
