"""Measure the peak memory of a training process per connection, and the index bytes per connection by density.

    python benchmarks/memory.py [--units 20000] [--density 5] [--optimizers sgd,adam] [--paths native,stock]

Every figure is a process of its own: one square layer, compiled and trained for some steps on a small batch, less a
process with the same imports and a tiny layer. "whole" counts the making of the layer, "training" only what comes
after it (on Linux). Values take 4 bytes a connection, the gradient 4, momentum 4, Adam's slots 8, the index 2 or more.
"Dense" is keras.layers.Dense with as many weights.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import common
import machine

TINY = 8  # units of the process that is subtracted
LARGE = (4096, 4096)

parser = common.parser(__doc__)
parser.add_argument("--units", type=int, default=20_000)
parser.add_argument("--density", type=float, default=5.0, help="in percent, of the trained layer")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--optimizers", type=lambda text: text.split(","), default=["sgd", "adam"])
parser.add_argument("--paths", type=lambda text: text.split(","), default=["Dense", "native", "stock"])
parser.add_argument("--shapes", type=common.shapes, default=[LARGE], help="for the index bytes by density")
parser.add_argument("--densities", type=common.numbers, default=common.numbers("50,20,10,5,2,1"), help="likewise")
parser.add_argument("--child", type=json.loads, help="internal: what one process trains")


def train(path: str, units: int, density: float, optimizer: str, batch: int, steps: int) -> dict[str, Any]:
    """Train one layer in this process and return how much memory that took."""
    import candidates
    import keras
    import numpy as np

    try:
        layer = candidates.make(path, units, density / 100)
        model = keras.Sequential([keras.Input((units,)), layer])
    except ValueError as error:
        return {"missing": str(error)}
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9) if optimizer == "sgd" else "adam", "mse")
    x = np.random.default_rng(0).standard_normal((batch, units), np.float32)
    made = machine.peak_bytes()
    machine.reset_peak()
    quiet: dict[str, Any] = {"verbose": 0}
    model.fit(x, x, batch_size=batch, epochs=steps, **quiet)
    after = machine.peak_bytes()
    choice = candidates.path(model)
    return {"whole": max(made, after), "training": after, "connections": weights(layer), "path": choice}


def weights(layer: Any) -> int:
    """Return the number of connections of a layer."""
    return math.prod(layer.kernel.shape) if layer.__class__.__name__ == "Dense" else len(layer.kernel)


def child(**job: Any) -> dict[str, Any]:
    """Run `train` in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode:
        return {"missing": f"its process ended with exit status {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: Any) -> list[dict[str, Any]]:
    """Print and return the bytes per connection by optimizer and path."""
    table = common.Table(["optimizer", "layer", "path", "connections", "whole MB", "B/conn.", "training MB", "B/conn."])
    rows = []
    common_job = {"batch": options.batch, "steps": options.steps}
    for optimizer in options.optimizers:
        for path in options.paths:
            units = options.units
            if path == "Dense":  # as many weights
                units = max(1, round(units * math.sqrt(options.density / 100)))
            job = {"path": path, "density": options.density, "optimizer": optimizer, **common_job}
            base, full = child(units=TINY, **job), child(units=units, **job)
            missing = full.get("missing") or base.get("missing")
            if missing:
                print(f"{optimizer:>9}  {path:>9}  not measured: {missing}", flush=True)
                rows.append({"optimizer": optimizer, "layer": path, "missing": missing})
                continue
            row = {"optimizer": optimizer, "layer": path, "path": full["path"], "connections": full["connections"]}
            for phase in ("whole", "training"):
                row[f"{phase}_bytes"] = full[phase] - base[phase]
                row[f"{phase}_per_connection"] = row[f"{phase}_bytes"] / row["connections"]
            rows.append(row)
            cells = [c for p in ("whole", "training") for c in (row[f"{p}_bytes"] / 1e6, row[f"{p}_per_connection"])]
            table.row(optimizer, path, row["path"], f"{row['connections']:,}", *cells)
    return rows


def index_bytes(options: Any) -> list[dict[str, Any]]:
    """Print and return the bytes of index per connection by density, from the layout of built kernels."""
    import candidates

    print("\nIndex: bytes per connection besides the value (4 bytes)")
    table = common.Table(["shape", "density", "connections", "block", "id bits", "index B/conn."])
    rows = []
    for shape in options.shapes:
        for density in options.densities:
            layer = candidates.make("auto", shape[1], density / 100, use_bias=False)
            layer.build((None, shape[0]))
            layout, count = layer.kernel.layout, len(layer.kernel)
            row = {"shape": shape, "density": density, "connections": count, "index": layout.index_bytes / count}
            rows.append(row)
            text = "{}x{}".format(*shape)
            table.row(text, f"{density:g} %", f"{count:,}", layout.block, layout.id_bits, row["index"])
    return rows


def main() -> None:
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(train(**options.child)))
        return
    facts = common.announce("Peak memory of a process that trains one layer")
    rows = measure(options)
    common.save("memory", options, facts, rows, index=index_bytes(options))


if __name__ == "__main__":
    main()
