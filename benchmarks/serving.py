"""Time single requests to exported files, and weigh the files, against the same network dense.

    python benchmarks/serving.py [--networks 784-1000-1000-1000-10] [--densities 10,5,1]

For every format and preference the same sparse network is written with `ks.export`, and so is its twin of
keras.layers.Dense. A request is one sample on one thread: "us" is the least time of many calls from Python. int8 files
are calibrated with normal numbers. "forms" counts the layers that are multiplied sparse.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["BENCH_THREADS"] = "1"

import common
import keras
import numpy as np

import keras_sparse as ks
from keras_sparse.serving import litert, onnx_file
from keras_sparse.serving.choice import latency

parser = common.parser(__doc__)
parser.add_argument("--networks", default="784-1000-1000-1000-10,3072-4000-1000-4000-10")
parser.add_argument("--densities", type=common.numbers, default=[10.0, 5.0, 1.0], help="in percent")
parser.add_argument("--seconds", type=float, default=0.5, help="to spend on each figure, about")


def built(widths: list[int], density: float | None) -> Any:
    """Return a network of these widths; dense without a density."""
    layers = [keras.Input((widths[0],), name="x")]
    for number, units in enumerate(widths[1:]):
        activation = "relu" if number < len(widths) - 2 else "softmax"
        if density is None:
            layers.append(keras.layers.Dense(units, activation=activation))
        else:
            layers.append(ks.SparseDense(units, density=density, activation=activation))
    return keras.Sequential(layers)


def ways() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, arguments of `ks.export`)."""
    for kind in ("saved_model", "litert", "onnx"):
        for prefer in ("speed", "size"):
            yield prefer, {"format": kind, "prefer": prefer}
    for quantize in ("float16", "int8"):
        yield quantize, {"format": "litert", "prefer": "size", "quantize": quantize}


def request(path: Path, kind: str, x: Any) -> Callable[[], Any]:
    """Return a function that asks an exported file one sample."""
    if kind == "litert":
        return litert.runner(path.read_bytes(), {"x": x})
    if kind == "onnx":
        return onnx_file.runner(path.read_bytes(), {"x": x})
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(path))
    signature, tensor = loaded.signatures["serving_default"], tf.constant(x)
    return lambda: signature(x=tensor)["output_0"].numpy()


def measure(model: Any, way: dict[str, Any], width: int, seconds: float) -> dict[str, Any]:
    """Return latency and size of a model that is exported one way."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, width)).astype("float32")
    examples = rng.normal(size=(100, width)).astype("float32") if way.get("quantize") == "int8" else None
    with tempfile.TemporaryDirectory() as folder:
        written = ks.export(model, Path(folder) / "model", examples=examples, **way)
        run = request(written.path, way["format"], x)
        forms = [layer.form for layer in written.layers]
        return {"us": latency(run, seconds) * 1e6, "kB": written.bytes / 1000, "forms": forms}


def main() -> None:
    options = parser.parse_args()
    facts = common.announce("Exported files: latency of one sample, and size, against the dense network")
    table = common.Table(
        [
            "network",
            "density",
            "format",
            "prefer",
            "dense us",
            "us",
            "faster x",
            "dense kB",
            "kB",
            "smaller x",
            "sparse",
        ]
    )
    rows = []
    for network in options.networks.split(","):
        widths = [int(width) for width in network.split("-")]
        for prefer, way in ways():
            try:
                dense = measure(built(widths, None), way, widths[0], options.seconds)
            except onnx_file.MissingError as error:
                print(error)
                continue
            for density in options.densities:
                sparse = measure(built(widths, density / 100), way, widths[0], options.seconds)
                faster, smaller = dense["us"] / sparse["us"], dense["kB"] / sparse["kB"]
                table.row(
                    network, f"{density:g} %", way["format"], prefer, dense["us"], sparse["us"], faster, dense["kB"],
                    sparse["kB"], smaller, f"{sparse['forms'].count('sparse')} of {len(widths) - 1}",
                )  # fmt: skip
                case = {"network": network, "density": density, "prefer": prefer, "way": way}
                rows.append(case | {"dense": dense, "sparse": sparse, "faster": faster, "smaller": smaller})
    common.save("serving", options, facts, rows)


if __name__ == "__main__":
    main()
