"""Time the training steps of a network inside model.fit on Keras' backend of now, against keras.layers.Dense there.

    KERAS_BACKEND=jax python benchmarks/backends.py [--network 784-1000-1000-10] [--densities 20,5,1]

Relu hidden layers, every layer sparse, SGD with momentum 0.9, NumPy input, one step per execution. Times are intervals
between batches, seen by a callback; the networks take turns; medians. A ratio above 1 means faster than Dense. "auto"
is what a layer takes by itself, "path" says which that was in the widest layer. With BENCH_THREADS set, JAX and PyTorch
are held to as many threads as that.
"""

from __future__ import annotations

import os
import time
from typing import Any

import common

if "BENCH_THREADS" in os.environ and common.THREADS == 1:  # XLA has no number for it
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import keras
import numpy as np

import keras_sparse as ks

BATCHES = 32  # of data; a burst of steps fits into one epoch

parser = common.parser(__doc__)
parser.add_argument("--network", default="784-1000-1000-10")
parser.add_argument("--densities", type=common.numbers, default=common.numbers("20,5,1"), help="in percent")
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--paths", type=lambda text: text.split(","), default=["auto", "stock", "dense", "generic"])
parser.add_argument("--seconds", type=float, default=1.0, help="to spend on each figure, about")
parser.add_argument("--slow", type=float, default=3.0, help="leave out steps that take longer than this many seconds")


class Intervals(keras.callbacks.Callback):
    """Collects the seconds from the end of a batch to the end of the next, then stops the fit."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count, self._ends = count, []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait for the step, which some backends only have begun, and look at the clock."""
        np.asarray(keras.ops.convert_to_numpy((logs or {})["loss"]))
        self._ends.append(time.perf_counter())
        if len(self._ends) > self._count:
            self.model.stop_training = True

    def seconds(self) -> list[float]:
        """Return the intervals."""
        return list(np.diff(self._ends))


def network(sizes: list[int], path: str | None, density: float) -> keras.Sequential:
    """Return a compiled multilayer perceptron, of keras.layers.Dense without a `path`.

    Raises:
        ValueError: when the backend does not have the path.
    """
    model = keras.Sequential([keras.Input((sizes[0],))])
    for number, units in enumerate(sizes[1:], 2):
        activation = None if number == len(sizes) else "relu"
        if path is None:
            model.add(keras.layers.Dense(units, activation=activation))
        else:
            model.add(ks.SparseDense(units, density=density, compute=path, activation=activation, seed=number))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def fitting(model: keras.Sequential, batch: int) -> common.Burst:
    """Return the burst of a network: `count` intervals of one call of model.fit."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCHES * batch, model.input_shape[-1]), np.float32)
    y = rng.integers(0, model.output_shape[-1], len(x))
    options: dict[str, Any] = {"epochs": 1, "batch_size": batch, "verbose": 0}

    def burst(count: int) -> list[float]:
        intervals = Intervals(min(count, BATCHES - 2))
        model.fit(x, y, callbacks=[intervals], **options)
        return intervals.seconds()

    return burst


def main() -> None:
    options = parser.parse_args()
    backend = keras.backend.backend()
    facts = common.announce(f"Training step in model.fit on {backend}: ratios to keras.layers.Dense")
    sizes = common.integers(options.network.replace("-", ","))
    table = common.Table(["backend", "density", "Dense ms", *(f"{path} x" for path in options.paths), "path"])
    rows: list[dict[str, Any]] = []
    for density in options.densities:
        models: dict[str, keras.Sequential] = {"Dense": network(sizes, None, 1)}
        for path in options.paths:
            try:
                models[path] = network(sizes, path, density / 100)
            except ValueError as error:
                print(f"{path}: {error}")
        bursts = {name: fitting(model, options.batch) for name, model in models.items()}
        times = common.interleave(bursts, seconds=options.seconds, slow=options.slow)
        ratios = common.ratios(times)
        widest = max(ks.inspect(models["auto"]).junctions, key=lambda j: j.connections) if "auto" in models else None
        path = None if widest is None else widest.compute
        rows.append(
            {"backend": backend, "density": density, "ms": {name: 1e3 * t for name, t in times.items()}, "path": path}
        )
        table.row(backend, f"{density:g} %", 1e3 * times["Dense"], *(ratios.get(name) for name in options.paths), path)
    common.save(f"backends_{backend}", options, facts, rows)


if __name__ == "__main__":
    main()
