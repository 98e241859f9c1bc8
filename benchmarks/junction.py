"""Time a junction's training step (forward and both gradients) against keras.layers.Dense, in one process.

    python benchmarks/junction.py [--shapes 784x1000] [--densities 50,10,1] [--batches 32,128]

Candidates: "Dense" (TensorFlow's dense products); "masked" (Dense with a kernel multiplied by a mask); and SparseDense
with compute="native", "stock" (tf.sparse), "dense" (builds the matrix) and "auto". They take turns; medians. A ratio
above 1 means faster than Dense. Machines are shared: look at the ratios. "slow" was left out after one call.

"call" rows time single calls from Python, "loop" rows turns inside one compiled function, where Python takes no part,
as with `steps_per_execution`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import candidates
import common
import machine

SHAPES = "784x1000,3072x4000,4096x4096,16384x16384,65536x65536"
DENSITIES = [75.0, 50.0, 30.0, 20.0, 10.0, 5.0, 2.0, 1.0]
LARGE = {(16384, 16384): [2.0, 1.0], (65536, 65536): [0.05]}  # densities of what is too large for the others
DENSE_COPIES = 10  # matrices alive at once: Dense's kernel and gradient, masked Dense's kernel, mask and products
TOLERANCE = 1.1  # how much slower than the best choice "auto" may be

parser = common.parser(__doc__)
parser.add_argument("--shapes", type=common.shapes, default=common.shapes(SHAPES))
parser.add_argument("--densities", type=common.numbers, help="in percent; default: by shape")
parser.add_argument("--batches", type=common.integers, default=[1, 32, 128, 256])
common.add_timed(parser)
parser.add_argument("--seconds", type=float, default=0.25, help="to spend on each figure, about")
parser.add_argument("--slow", type=float, default=2.0, help="leave out what takes longer (large shapes: 5 times)")
parser.add_argument(
    "--paths",
    type=lambda text: text.split(","),
    default=list(candidates.PATHS),
    help='of SparseDense, such as "native,auto"',
)

Row = dict[str, Any]
REFERENCES = ("Dense", "masked")


def measure(
    shape: tuple[int, int], density: float, references: dict[str, Any], options: Any, missing: candidates.Missing
) -> Iterator[Row]:
    """Yield a row for every batch size."""
    sparse = {name: candidates.built(name, shape, density / 100, missing) for name in options.paths}
    models = references | {name: model for name, model in sparse.items() if model is not None}
    choice = candidates.path(models["auto"]) if "auto" in models else None
    connections = max(1, round(density / 100 * shape[0] * shape[1]))
    slow: list[str] = []  # at one batch size, so at a larger one
    limit = options.slow * (5 if shape in LARGE else 1)
    for batch, how in product(sorted(options.batches), options.timed):
        bursts = {name: candidates.training(model, batch, how) for name, model in models.items() if name not in slow}
        times = common.interleave(bursts, seconds=options.seconds, slow=limit)
        slow = [name for name in models if name not in times]
        yield {
            "shape": shape,
            "batch": batch,
            "density": density,
            "timed": how,
            "connections": connections,
            "ms": {name: 1e3 * seconds for name, seconds in times.items()},
            "ratio": common.ratios(times),
            "gflops": {name: 6e-9 * connections * batch / times[name] for name in times if name not in REFERENCES},
            "auto": choice,
            "slow": slow,
            "behind": behind(times, choice),
        }


def behind(times: dict[str, float], choice: str | None) -> str | None:
    """Return the path that `auto` should have chosen, if its choice is clearly slower."""
    others = {name: times[name] for name in ("native", "stock", "dense") if name in times}
    if "auto" not in times or not others:
        return None
    best = min(others, key=lambda name: others[name])
    return best if best != choice and times["auto"] > TOLERANCE * others[best] else None


def cells(row: Row, measured: dict[str, float], names: list[str]) -> list[Any]:
    """Return a row's figures as cells of the table."""
    return ["slow" if name in row["slow"] else measured.get(name) for name in names]


def print_row(table: common.Table, row: Row, names: list[str]) -> None:
    """Print a row of ratios, or of milliseconds and GFLOP/s where there is no dense reference."""
    head = ["{}x{}".format(*row["shape"]), row["batch"], f"{row['density']:g} %", row["timed"]]
    tail = [row["auto"], f"<- {row['behind']} is faster" if row["behind"] else None]
    if row["ratio"]:
        table.row(*head, row["ms"]["Dense"], *cells(row, row["ratio"], ["masked", *names]), *tail)
    else:
        table.row(*head, "ms", None, *cells(row, row["ms"], names), *tail)
        table.row(*head, "GFLOP/s", None, *cells(row, row["gflops"], names), row["auto"], None)


def break_even(rows: list[Row], names: list[str]) -> list[Row]:
    """Print and return the density below which each path beats Dense, by shape, batch and way of timing."""
    cases = sorted({(row["shape"], row["batch"], row["timed"]) for row in rows if row["ratio"]})
    if not cases:
        return []
    print("\nBreak-even density: below it the sparse layer is faster than Dense")
    table = common.Table(["shape", "batch", "timed", *names], 12)
    result = []
    for shape, batch, how in cases:
        chosen = [row for row in rows if (row["shape"], row["batch"], row["timed"]) == (shape, batch, how)]
        values = {
            name: common.crossing((row["density"], row["ratio"][name]) for row in chosen if name in row["ratio"])
            for name in names
        }
        table.row("{}x{}".format(*shape), batch, how, *values.values())
        result.append({"shape": shape, "batch": batch, "timed": how, **values})
    return result


def main() -> None:
    options = parser.parse_args()
    names = options.paths
    missing = candidates.Missing()
    facts = common.announce("Training step of a junction: ratios to keras.layers.Dense")
    titles = [f"{name} x" for name in ("masked", *names)]
    table = common.Table(["shape", "batch", "density", "timed", "Dense ms", *titles, "auto is", ""])
    rows: list[Row] = []
    for shape in options.shapes:
        fits = 4 * DENSE_COPIES * shape[0] * shape[1] < machine.available_bytes()
        references = {name: candidates.built(name, shape, 0.1, missing) for name in REFERENCES if fits}
        for density in options.densities or LARGE.get(shape, DENSITIES):
            for row in measure(shape, density, references, options, missing):
                rows.append(row)
                print_row(table, row, names)
    even = break_even(rows, names)
    wrong = [row for row in rows if row["behind"]]
    print(f"\nauto was more than {TOLERANCE - 1:.0%} behind the best path in {len(wrong)} of {len(rows)} cases.")
    common.save("junction", options, facts, rows, break_even=even, missing=missing.report())


if __name__ == "__main__":
    main()
