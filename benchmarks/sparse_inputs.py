"""Time a training step on tf.SparseTensor inputs against the same inputs made dense, in one process.

    python benchmarks/sparse_inputs.py [--features 50000] [--units 1000] [--density 1] [--filled 0.2] [--batch 128]

The first layer of a network: forward and the gradient of the weights. "sparse" is SparseDense on the sparse inputs;
"densified" the same layer after tf.sparse.to_dense, which is part of the step; "Dense" is keras.layers.Dense after it.
"""

from __future__ import annotations

from typing import Any

import candidates
import common
import numpy as np
import tensorflow as tf

parser = common.parser(__doc__)
parser.add_argument("--features", type=int, default=50_000)
parser.add_argument("--units", type=int, default=1000)
parser.add_argument("--density", type=float, default=1.0, help="of the layer, in percent")
parser.add_argument("--filled", type=float, default=0.2, help="part of the inputs that is not zero, in percent")
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--seconds", type=float, default=1.0, help="to spend on each figure, about")


def inputs(batch: int, features: int, filled: float) -> tf.SparseTensor:
    """Return random sparse inputs with as many numbers in every sample."""
    rng = np.random.default_rng(0)
    count = max(1, round(filled * features))
    columns = np.concatenate([np.sort(rng.choice(features, count, replace=False)) for _ in range(batch)])
    at = np.stack([np.repeat(np.arange(batch), count), columns], axis=1)
    return tf.SparseTensor(at, rng.normal(size=len(at)).astype("float32"), (batch, features))


def step(layer: Any, x: tf.SparseTensor, *, densify: bool) -> common.Burst:
    """Return the burst of forward and weight gradient."""
    weights = [variable.value for variable in layer.trainable_variables]
    dy: Any = tf.random.normal([x.shape[0], layer.units])

    def product(numbers: Any) -> Any:
        given = tf.SparseTensor(x.indices, numbers, x.dense_shape)
        given.set_shape(x.shape)
        return layer(tf.sparse.to_dense(given) if densify else given)

    return candidates.timed(candidates.trained(product, weights, inputs=False), x.values, dy)


def main() -> None:
    options = parser.parse_args()
    facts = common.announce("First layer on sparse inputs: ratios to the same inputs made dense")
    x = inputs(options.batch, options.features, options.filled / 100)
    layers = {
        name: candidates.make(kind, options.units, options.density / 100, use_bias=False)
        for name, kind in (("sparse", "auto"), ("densified", "auto"), ("Dense", "Dense"))
    }
    for layer in layers.values():
        layer.build((None, options.features))
    bursts = {name: step(layer, x, densify=name != "sparse") for name, layer in layers.items()}
    times = common.interleave(bursts, seconds=options.seconds)
    table = common.Table(["", "ms", "x densified", "x Dense"], 11)
    for name, seconds in times.items():
        table.row(name, 1e3 * seconds, times["densified"] / seconds, times["Dense"] / seconds)
    rows = [{"name": name, "ms": 1e3 * seconds} for name, seconds in times.items()]
    common.save("sparse_inputs", options, facts, rows)


if __name__ == "__main__":
    main()
