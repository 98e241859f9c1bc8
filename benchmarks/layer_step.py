"""Time one training step (forward and both gradients) of SparseDense against keras.layers.Dense, in one process.

    python benchmarks/layer_step.py [--shape 784x1000] [--batch 128] [--density 0.5,0.1,0.02,0.01,0.001]

Prints medians and ratios: above 1 the sparse layer is faster. Machines are shared, so look at ratios.
"""

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.compute.dispatch import dense_allowed

SHAPES = "784x1000,3072x4000,4096x4096"
DENSITIES = "0.5,0.2,0.1,0.05,0.02,0.01,0.001"


def step_time(layer: keras.layers.Layer, x: tf.Tensor, repeats: int) -> float:
    """Return the median seconds of a step: loss, gradients of the inputs and of the weights."""
    layer(x)
    variables = [variable.value for variable in layer.trainable_variables]

    @tf.function
    def step(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, [x, *variables])

    step(x)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        step(x)[0].numpy()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default=SHAPES)
    parser.add_argument("--batch", default="128")
    parser.add_argument("--density", default=DENSITIES)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    print(
        f"{'shape':>12} {'batch':>5} {'density':>8} {'Dense ms':>9} {'stock ×':>8} {'dense ×':>8} {'auto ×':>8}  auto"
    )
    for shape in arguments.shape.split(","):
        n_in, n_out = map(int, shape.split("x"))
        for batch in map(int, arguments.batch.split(",")):
            x = tf.random.normal([batch, n_in])
            reference = step_time(keras.layers.Dense(n_out), x, arguments.repeats)
            for density in map(float, arguments.density.split(",")):
                connections = round(density * n_in * n_out)
                ratios = {}
                for path in ("stock", "dense", "auto"):
                    if path == "dense" and not dense_allowed((n_in, n_out), connections):
                        continue
                    layer = ks.SparseDense(n_out, density=density, compute=path, seed=0)
                    ratios[path] = reference / step_time(layer, x, arguments.repeats)
                    choice = layer.kernel.choice().path
                cells = [f"{ratios[p]:8.2f}" if p in ratios else " " * 8 for p in ("stock", "dense", "auto")]
                print(f"{shape:>12} {batch:>5} {density:>8.3%} {1e3 * reference:9.2f} {' '.join(cells)}  {choice}")


if __name__ == "__main__":
    main()
