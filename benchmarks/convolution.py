"""Time a convolution's training step (forward and both gradients) against TensorFlow's, in one process.

    python benchmarks/convolution.py [--shapes 16x64x128] [--densities 50,10] [--batch 64] [--timed call,loop]

A shape is SIDE x CHANNELS x FILTERS: square images of that side, windows of 3 x 3, "same" padding. Candidates:
"Conv2D" (TensorFlow's convolution and its gradients); and SparseConv2D with compute="native" (own kernels), "dense"
(builds the whole kernel) and "auto". They take turns; medians. A ratio above 1 means faster than Conv2D. Machines are
shared: look at the ratios. "call" times single calls from Python; "loop" a loop inside one tf.function, where Python
takes no part.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import candidates
import common

SHAPES = "32x32x32,32x32x64,16x64x128,8x128x256"
DENSITIES = [70.0, 50.0, 20.0, 10.0, 5.0]
PATHS = ["native", "dense", "auto"]

Shape = tuple[int, int, int]


def shapes(text: str) -> list[Shape]:
    """Parse "32x32x64,8x128x256"."""
    triples = (shape.split("x") for shape in text.split(","))
    return [(int(side), int(channels), int(filters)) for side, channels, filters in triples]


parser = common.parser(__doc__)
parser.add_argument("--shapes", type=shapes, default=shapes(SHAPES), help="SIDExCHANNELSxFILTERS, …")
parser.add_argument("--densities", type=common.numbers, default=DENSITIES, help="in percent")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--seconds", type=float, default=1.0, help="to spend on each figure, about")
parser.add_argument("--paths", type=lambda text: text.split(","), default=PATHS, help='such as "native,auto"')
common.add_timed(parser)

Row = dict[str, Any]


def step(shape: Shape, batch: int, density: float | None, path: str, how: str) -> tuple[common.Burst, Any]:
    """Return the burst of a layer's step, and the layer; dense without a density."""
    import keras
    import tensorflow as tf

    import keras_sparse as ks

    side, channels, filters = shape
    if density is None:
        layer = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
    else:
        layer = ks.SparseConv2D(filters, 3, density=density, padding="same", use_bias=False, compute=path, seed=1)
    layer.build((batch, side, side, channels))
    x = tf.random.stateless_normal([batch, side, side, channels], (1, 2))
    dy = tf.random.stateless_normal([batch, side, side, filters], (3, 4))
    train = candidates.trained(layer, [layer.trainable_variables[0].value])
    return candidates.repeated(train, x, dy, how=how), layer


def measure(shape: Shape, how: str, density: float, dense: common.Burst, options: Any) -> Row:
    """Return a row of the table."""
    steps = {path: step(shape, options.batch, density / 100, path, how) for path in options.paths}
    bursts = {"Conv2D": dense} | {path: burst for path, (burst, _) in steps.items()}
    times = common.interleave(bursts, seconds=options.seconds)
    side, channels, filters = shape
    work = 6e-9 * density / 100 * 9 * channels * filters * side * side * options.batch
    return {
        "shape": shape,
        "batch": options.batch,
        "timed": how,
        "density": density,
        "ms": {name: 1e3 * seconds for name, seconds in times.items()},
        "ratio": common.ratios(times, "Conv2D"),
        "gflops": {name: work / seconds for name, seconds in times.items() if name != "Conv2D"},
        "auto": steps["auto"][1].kernel.choice().path if "auto" in steps else None,
    }


def main() -> None:
    options = parser.parse_args()
    facts = common.announce("Training step of a 3 x 3 convolution: ratios to keras.layers.Conv2D")
    names = options.paths
    table = common.Table(
        ["shape", "timed", "density", "Conv2D ms", *[f"{name} x" for name in names], "GFLOP/s", "auto is"]
    )
    rows: list[Row] = []
    cases = list(product(options.shapes, options.timed))
    for shape, how in cases:
        dense, _ = step(shape, options.batch, None, "", how)
        for density in options.densities:
            row = measure(shape, how, density, dense, options)
            rows.append(row)
            ratios = [row["ratio"].get(name) for name in names]
            speed = row["gflops"].get("native")
            name = "x".join(map(str, shape))
            table.row(name, how, f"{density:g} %", row["ms"]["Conv2D"], *ratios, speed, row["auto"])
    print("\nBreak-even density: below it the sparse layer is faster than Conv2D")
    even: list[Row] = []
    for shape, how in cases:
        chosen = [row for row in rows if (row["shape"], row["timed"]) == (shape, how)]
        values = {name: common.crossing((row["density"], row["ratio"][name]) for row in chosen) for name in names}
        print("x".join(map(str, shape)), how, values)
        even.append({"shape": shape, "timed": how, **values})
    common.save("convolution", options, facts, rows, break_even=even)


if __name__ == "__main__":
    main()
