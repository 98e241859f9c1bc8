"""Time the training steps of whole networks inside model.fit against keras.layers.Dense, in one process.

    python benchmarks/model_fit.py [--networks 784-1000-1000-1000-10] [--densities 50,10,1]

Two settings: "default" (NumPy input, a step per execution) and "spe20" (tf.data, steps_per_execution=20). Relu hidden
layers, softmax output, every layer sparse (but see --dense-last), SGD with momentum 0.9. Times are intervals between
batches, seen by a callback; the networks take turns; medians. A ratio above 1 means faster than Dense. "outside" is
the share of the sparse network's step that is not spent in its kernels, called alone: activations, optimizer, input,
Keras. It is negative where TensorFlow overlaps the layers, as it does on the stock and dense paths.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import candidates
import common
import keras
import numpy as np
import tensorflow as tf

import keras_sparse as ks

NETWORKS = "784-1000-1000-1000-10,3072-4000-1000-4000-10"
DENSITIES = "50,20,10,5,2,1"
STEPS_PER_EXECUTION = 20
EXECUTION = 2  # how much longer than a step an execution of several may take
BATCHES = 64  # of data; a burst of steps fits into one epoch
SETTINGS = {"default": ("Dense", "masked", "native", "stock", "auto"), "spe20": ("Dense", "masked", "native", "auto")}

parser = common.parser(__doc__)
parser.add_argument("--networks", type=lambda text: text.split(","), default=NETWORKS.split(","))
parser.add_argument("--densities", type=common.numbers, default=common.numbers(DENSITIES), help="in percent")
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--settings", type=lambda text: text.split(","), default=list(SETTINGS))
parser.add_argument("--dense-last", action="store_true", help="let the output layer be dense in every network")
parser.add_argument("--seconds", type=float, default=1.0, help="to spend on each figure, about")
parser.add_argument("--slow", type=float, default=2.0, help="leave out what takes longer (executions: twice)")


class Key(NamedTuple):
    """A network that is timed; the dense ones have no density."""

    name: str
    density: float | None = None


class Intervals(keras.callbacks.Callback):
    """Collects the seconds from the end of a batch (or execution) to the end of the next, then stops the fit."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count, self._ends = count, []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the clock."""
        self._ends.append(time.perf_counter())
        if len(self._ends) > self._count:
            self.model.stop_training = True

    def seconds(self) -> list[float]:
        """Return the intervals."""
        return list(np.diff(self._ends))


def network(key: Key, sizes: list[int], setting: str, dense_last: bool) -> keras.Sequential:
    """Return a compiled multilayer perceptron.

    Raises:
        ValueError: when this version does not have the compute path.
    """
    model = keras.Sequential([keras.Input((sizes[0],))])
    for number, units in enumerate(sizes[1:], 2):
        last = number == len(sizes)
        name = "Dense" if last and dense_last else key.name
        density = (key.density or 10) / 100
        model.add(candidates.make(name, units, density, activation="softmax" if last else "relu"))
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        steps_per_execution=STEPS_PER_EXECUTION if setting == "spe20" else 1,
    )
    return model


def fitting(model: keras.Sequential, setting: str, batch: int) -> common.Burst:
    """Return the burst of a network: `count` intervals of one call of model.fit."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCHES * batch, model.input_shape[-1]), np.float32)
    y = rng.integers(0, model.output_shape[-1], len(x))
    options: dict[str, Any] = {"verbose": 0, "batch_size": batch}
    if setting == "spe20":
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch, drop_remainder=True).cache().repeat()
        x, y, options = data.prefetch(2), None, {"verbose": 0, "steps_per_epoch": 10**6, "shuffle": False}

    def burst(count: int) -> list[float]:
        intervals = Intervals(min(count, BATCHES - 2))
        model.fit(x, y, callbacks=[intervals], epochs=1, **options)
        return intervals.seconds()

    return burst


def kernels(model: keras.Sequential, batch: int) -> dict[str, common.Burst]:
    """Return the bursts of a network's sparse kernels, called alone; the first needs no gradient of its inputs."""
    layers = [(number, layer) for number, layer in enumerate(model.layers) if isinstance(layer, ks.SparseDense)]
    return {layer.name: candidates.kernel_step(layer, batch, inputs=number > 0) for number, layer in layers}


def build(name: str, setting: str, options: Any, missing: candidates.Missing) -> dict[Key, keras.Sequential]:
    """Return the networks that can be had."""
    models: dict[Key, keras.Sequential] = {}
    for candidate in SETTINGS[setting]:
        if setting == "spe20" and candidate == "auto" and any(key.name == "native" for key in models):
            continue
        for density in [None] if candidate in ("Dense", "masked") else options.densities:
            key = Key(candidate, density)
            try:
                models[key] = network(key, common.integers(name.replace("-", ",")), setting, options.dense_last)
            except ValueError as error:
                missing.add(candidate, error)
    return models


def measure(
    name: str, setting: str, options: Any, missing: candidates.Missing, known: dict[Key, float]
) -> list[dict[str, Any]]:
    """Return a row for every density.

    Args:
        name: of the network, its sizes.
        setting: "default" or "spe20".
        options: of the command line.
        missing: takes the reasons of candidates that cannot be had.
        known: seconds of a step in an earlier setting; what is too slow already is not tried, and results are added.
    """
    models = build(name, setting, options, missing)
    steps = STEPS_PER_EXECUTION if setting == "spe20" else 1
    best = "native" if any(key.name == "native" for key in models) else "auto"
    alone = {key: kernels(model, options.batch) for key, model in models.items() if key.name == best}
    bursts: dict[Any, common.Burst] = {key: fitting(model, setting, options.batch) for key, model in models.items()}
    bursts |= {(key, part): burst for key, parts in alone.items() for part, burst in parts.items()}
    limit = options.slow * (1 if steps == 1 else EXECUTION)
    bursts = {key: burst for key, burst in bursts.items() if known.get(key, 0) * steps <= limit}
    times = common.interleave(bursts, seconds=options.seconds, slow=limit)
    known |= {key: times[key] / steps if key in times else math.inf for key in models}
    rows = []
    for density in options.densities:
        keys = [key for key in models if key.density in (None, density)]
        chosen = {key.name: times[key] / steps for key in keys if key in times}
        row: dict[str, Any] = {"network": name, "setting": setting, "batch": options.batch, "density": density}
        row["ms"] = {candidate: 1e3 * seconds for candidate, seconds in chosen.items()}
        row["ratio"] = common.ratios(chosen)
        row["slow"] = [key.name for key in keys if key not in times]
        key = Key(best, density)
        parts = [(key, part) for part in alone.get(key, ())]
        if key in models:
            row["path"] = candidates.path(models[key])
        if best in chosen and all(part in times for part in parts):
            row["kernels_ms"] = 1e3 * sum(times[part] for part in parts)
            row["outside"] = 1 - row["kernels_ms"] / row["ms"][best]
        rows.append(row)
    return rows


def main() -> None:
    options = parser.parse_args()
    missing = candidates.Missing()
    facts = common.announce("Training step in model.fit: ratios to a network of keras.layers.Dense")
    names = ["masked", "native", "stock", "auto"]
    table = common.Table(
        ["network", "setting", "density", "Dense ms", *(f"{n} x" for n in names), "outside", "path"], 9
    )
    rows = []
    for name in options.networks:
        known: dict[Key, float] = {}
        for setting in options.settings:
            for row in measure(name, setting, options, missing, known):
                rows.append(row)
                cells = ["slow" if n in row["slow"] else row["ratio"].get(n) for n in names]
                outside = f"{row['outside']:.0%}" if "outside" in row else None
                head = (name, setting, f"{row['density']:g} %", row["ms"].get("Dense"))
                table.row(*head, *cells, outside, row.get("path"))
            keras.utils.clear_session()
    common.save("model_fit", options, facts, rows, missing=missing.report())


if __name__ == "__main__":
    main()
