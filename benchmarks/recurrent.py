"""Time training steps of recurrent networks inside model.fit against Keras' dense layers, in one process.

    python benchmarks/recurrent.py [--layers LSTM,GRU] [--densities 20,10,5,1] [--units 512] [--time 100]

One recurrent layer, both kernels of the same density, and a softmax. Times are intervals between batches, seen by a
callback; the networks take turns; medians. A ratio above 1 means faster than Keras' layer. "products" is the time that
the same products take one by one, in a compiled loop over the time steps, as a share of the sparse network's step: the
native path goes through a whole sequence in one op, which may take less.
"""

from __future__ import annotations

from typing import Any

import candidates
import common
import keras
import model_fit
import numpy as np
import tensorflow as tf

import keras_sparse as ks

DENSE = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU, "SimpleRNN": keras.layers.SimpleRNN}
SPARSE = {"LSTM": ks.SparseLSTM, "GRU": ks.SparseGRU, "SimpleRNN": ks.SparseSimpleRNN}
CLASSES, BATCHES = 10, 16

parser = common.parser(__doc__)
parser.add_argument("--layers", type=lambda text: text.split(","), default=list(DENSE))
parser.add_argument("--densities", type=common.numbers, default=common.numbers("50,20,10,5,2,1"), help="in percent")
parser.add_argument("--paths", type=lambda text: text.split(","), default=["native"])
parser.add_argument("--inputs", type=int, default=64)
parser.add_argument("--units", type=int, default=512)
parser.add_argument("--time", type=int, default=100)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--seconds", type=float, default=5.0, help="to spend on each figure, about")


def network(layer: keras.layers.Layer, options: Any) -> keras.Sequential:
    """Return a compiled network of one recurrent layer and a softmax."""
    model = keras.Sequential(
        [keras.Input((options.time, options.inputs)), layer, keras.layers.Dense(CLASSES, activation="softmax")]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def fitting(model: Any, batch: int) -> common.Burst:
    """Return the burst of a network: `count` intervals of one call of model.fit."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCHES * batch, *model.input_shape[1:]), np.float32)
    y = rng.integers(0, CLASSES, len(x))

    def burst(count: int) -> list[float]:
        intervals = model_fit.Intervals(min(count, BATCHES - 2))
        model.fit(x, y, batch_size=batch, callbacks=[intervals], epochs=1, verbose=0)
        return intervals.seconds()

    return burst


def products(layer: Any, options: Any) -> common.Burst:
    """Return the burst of what the kernels do in a training step: a compiled loop over time, forward and backward."""
    pairs = ((layer.kernel, False), (layer.recurrent_kernel, True))
    steps = [candidates.trained(kernel.matmul, [kernel.values.value], inputs=inputs) for kernel, inputs in pairs]

    def step(*tensors: Any) -> Any:
        return [one(*tensors[2 * number : 2 * number + 2]) for number, one in enumerate(steps)]

    sizes = [n for kernel, _ in pairs for n in kernel.shape]
    tensors = [tf.random.normal([options.batch, n]) for n in sizes]
    one = candidates.timed(step, *tensors, turns=options.time)
    return lambda count: [options.time * seconds for seconds in one(count)]


def measure(name: str, options: Any) -> list[dict[str, Any]]:
    """Return a row for every density."""
    models: dict[Any, keras.Sequential] = {"Dense": network(DENSE[name](options.units), options)}
    for density in options.densities:
        for path in options.paths:
            layer = SPARSE[name](options.units, density=density / 100, compute=path, seed=0)
            models[path, density] = network(layer, options)
    bursts: dict[Any, common.Burst] = {key: fitting(model, options.batch) for key, model in models.items()}
    first = options.paths[0]
    alone = {(first, d): products(models[first, d].layers[0], options) for d in options.densities}
    bursts |= {("alone", key): burst for key, burst in alone.items()}
    times = common.interleave(bursts, seconds=options.seconds)
    rows = []
    for density in options.densities:
        row: dict[str, Any] = {"layer": name, "density": density, "dense_ms": 1e3 * times["Dense"]}
        row["ms"] = {path: 1e3 * times[path, density] for path in options.paths}
        row["ratio"] = {path: times["Dense"] / times[path, density] for path in options.paths}
        row["products_ms"] = 1e3 * times["alone", (first, density)]
        rows.append(row)
    return rows


def main() -> None:
    options = parser.parse_args()
    facts = common.announce(
        f"Training step of recurrent networks in model.fit: {options.inputs} inputs, {options.units} units, "
        f"{options.time} steps, batch {options.batch}"
    )
    names = [part for path in options.paths for part in (f"{path} ms", f"{path} x")]
    table = common.Table(["layer", "density", "Dense ms", *names, "products"])
    rows = []
    for name in options.layers:
        for row in measure(name, options):
            rows.append(row)
            cells = [number for path in options.paths for number in (row["ms"][path], row["ratio"][path])]
            share = f"{row['products_ms'] / row['ms'][options.paths[0]]:.0%}"
            table.row(name, f"{row['density']:g} %", row["dense_ms"], *cells, share)
        keras.utils.clear_session()
    common.save("recurrent", options, facts, rows)


if __name__ == "__main__":
    main()
