"""Time the forward of one layer, as a server calls it, against TensorFlow's dense product, in one process.

    python benchmarks/inference.py [--shapes 4096x4096] [--densities 10,1] [--batches 1,8,32]

Every candidate is a compiled tf.function of one input tensor; kernels are variables, so that nothing is folded into a
constant. "tf.sparse" is tf.sparse.sparse_dense_matmul on a ready SparseTensor; "stock" is SparseDense on the same
operation, which also unpacks its index. "call" rows time single calls from Python, of which an empty one takes
"empty us"; "loop" rows time the layer inside a loop of one compiled function, where Python takes no part.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import candidates
import common
import keras
import tensorflow as tf

PATHS = ("native", "stock", "auto")
LOOP = 50  # turns of a loop

parser = common.parser(__doc__)
parser.add_argument("--shapes", type=common.shapes, default=[(4096, 4096)])
parser.add_argument("--densities", type=common.numbers, default=[10.0, 1.0], help="in percent")
parser.add_argument("--batches", type=common.integers, default=[1, 8, 32])
parser.add_argument("--seconds", type=float, default=0.5, help="to spend on each figure, about")


def tf_sparse(model: keras.Model) -> Callable[[Any], Any]:
    """Return x @ kernel by tf.sparse with the connections of a sparse model, decoded once."""
    kernel = model.layers[-1].kernel
    connectivity, values = kernel.connectivity, tf.Variable(kernel.host_values(), trainable=False)
    pairs = tf.Variable(tf.stack([connectivity.inputs, connectivity.outputs], axis=1), trainable=False)

    def multiply(x: Any) -> Any:
        matrix = tf.SparseTensor(pairs.value(), values.value(), kernel.shape)
        return tf.transpose(tf.sparse.sparse_dense_matmul(matrix, x, adjoint_a=True, adjoint_b=True))

    return multiply


def main() -> None:
    options = parser.parse_args()
    missing = candidates.Missing()
    facts = common.announce("Forward of one layer: ratios to keras.layers.Dense")
    names = ["tf.sparse", *PATHS]
    titles = [title for name in names for title in (f"{name} us", f"{name} x")]
    table = common.Table(["shape", "batch", "density", "timed", "empty us", "Dense us", *titles, "auto is"])
    rows = []
    for shape in options.shapes:
        dense = candidates.built("Dense", shape, 1.0, missing)
        for density in options.densities:
            sparse = {name: candidates.built(name, shape, density / 100, missing) for name in PATHS}
            functions: dict[str, Any] = {name: model for name, model in sparse.items() if model is not None}
            functions |= {"Dense": dense, "tf.sparse": tf_sparse(functions["auto"])}
            choice = candidates.path(functions["auto"])
            functions["empty"] = tf.identity
            for batch, how in product(options.batches, ("call", "loop")):
                x, turns = tf.random.normal([batch, shape[0]]), LOOP if how == "loop" else None
                bursts = {name: candidates.timed(function, x, turns=turns) for name, function in functions.items()}
                times = common.interleave(bursts, seconds=options.seconds)
                us = {name: 1e6 * seconds for name, seconds in times.items()}
                empty = us.pop("empty")
                ratio = common.ratios(us)
                cells = [cell for name in names for cell in (us.get(name), ratio.get(name))]
                table.row("{}x{}".format(*shape), batch, f"{density:g} %", how, empty, us["Dense"], *cells, choice)
                case = {"shape": shape, "batch": batch, "density": density, "timed": how, "auto": choice}
                rows.append(case | {"us": us, "ratio": ratio, "empty_us": empty})
    common.save("inference", options, facts, rows, missing=missing.report())


if __name__ == "__main__":
    main()
