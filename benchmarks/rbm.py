"""Time the training steps of a sparse RBM inside model.fit against one of dense matrices, in one process.

    python benchmarks/rbm.py [--shapes 784x500] [--densities 20,5,1] [--cd 1,10]

The dense RBM is written here, with TensorFlow's matrix products and its gradient in closed form; it samples alike and
reports the same metrics. Three settings: "default" (NumPy input, compiled with an optimizer and nothing else: Keras
runs a step per execution, `ks.RBM` up to 16 where nothing looks at single steps), "spe16" (the same, but the dense one
is compiled with steps_per_execution=16) and "spe20" (tf.data, both with steps_per_execution=20). SGD with momentum
0.9. Times are those of whole epochs, divided by their steps; the models take turns; medians. A ratio above 1 means
faster than the dense one: "epoch s" is an epoch of 60,000 samples. `Rewire(SET)` adds an update per epoch, its
milliseconds are given.
"""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import common  # first: it sets the number of threads
import keras
import numpy as np
import tensorflow as tf

import keras_sparse as ks
from keras_sparse.models.annealing import bernoulli, softplus
from keras_sparse.models.executions import MOST

tf.config.set_visible_devices([], "GPU")

Tensor = Any
SAMPLES = 60_000  # of an epoch
BATCHES, STEPS_PER_EXECUTION = 600, 20  # an epoch, and an execution of "spe20"

parser = common.parser(__doc__)
parser.add_argument("--shapes", type=common.shapes, default=common.shapes("784x500"))
parser.add_argument("--densities", type=common.numbers, default=common.numbers("20,5,1"), help="in percent")
parser.add_argument("--cd", type=common.integers, default=[1, 10], help="Gibbs steps")
parser.add_argument("--batches", type=common.integers, default=[100])
parser.add_argument("--settings", type=lambda text: text.split(","), default=["default", "spe16", "spe20"])
parser.add_argument("--seconds", type=float, default=2.0, help="to spend on each figure, about")


class DenseRBM(keras.Model):
    """What `ks.RBM` does, with matrices."""

    def __init__(self, hidden_units: int, *, cd: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_units, self.cd = hidden_units, cd
        self.seed_generator = keras.random.SeedGenerator(0)
        self.error = keras.metrics.Mean("reconstruction_error")
        self.energy = keras.metrics.Mean("free_energy")
        self.gap = keras.metrics.Mean("loss")

    def build(self, input_shape: Any) -> None:
        """Create the matrix and the biases."""
        initial = keras.initializers.RandomNormal(stddev=0.05, seed=0)
        self.kernel = self.add_weight(shape=(input_shape[-1], self.hidden_units), initializer=initial)
        self.visible_bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros")
        self.hidden_bias = self.add_weight(shape=(self.hidden_units,), initializer="zeros")

    def call(self, inputs: Tensor) -> Tensor:
        """Return the probabilities of the hidden units."""
        return tf.sigmoid(self.hidden_logits(inputs))

    def hidden_logits(self, visible: Tensor) -> Tensor:
        return tf.matmul(visible, self.kernel) + self.hidden_bias

    def visible(self, hidden: Tensor) -> Tensor:
        bits = bernoulli(hidden, self.seed_generator)
        return tf.sigmoid(tf.matmul(bits, self.kernel, transpose_b=True) + self.visible_bias)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Do a step of contrastive divergence."""
        x: Tensor = keras.utils.unpack_x_y_sample_weight(data)[0]
        logits = self.hidden_logits(x)
        hidden = tf.sigmoid(logits)
        fantasy = reconstruction = self.visible(hidden)
        for _ in range(self.cd - 1):
            fantasy = self.visible(self(fantasy))
        other = self(fantasy)
        share = 1 / tf.cast(tf.shape(x)[0], tf.float32)
        gradients = [
            (tf.matmul(fantasy, other, transpose_a=True) - tf.matmul(x, hidden, transpose_a=True)) * share,
            tf.reduce_mean(fantasy, 0) - tf.reduce_mean(x, 0),
            tf.reduce_mean(other, 0) - tf.reduce_mean(hidden, 0),
        ]
        weights = [self.kernel, self.visible_bias, self.hidden_bias]
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        self.error.update_state(tf.reduce_mean(tf.square(x - reconstruction), 1))
        self.energy.update_state(-tf.linalg.matvec(x, self.visible_bias) - tf.reduce_sum(softplus(logits), 1))
        # Not the whole energy, which would take one more pass over the matrix.
        self.gap.update_state(tf.reduce_sum(gradients[1] * self.visible_bias))
        return self.get_metrics_result()


class Epochs(keras.callbacks.Callback):
    """Collects the seconds from the end of an epoch to the end of the next."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the clock."""
        self._ends.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Return the intervals."""
        return list(np.diff(self._ends))


def fitting(model: keras.Model, n_in: int, batch: int, setting: str) -> common.Burst:
    """Return the burst of a model: the seconds of a step, from epochs of about `count` steps in one model.fit."""
    steps = {"default": 1, "spe16": 1 if isinstance(model, ks.RBM) else MOST, "spe20": STEPS_PER_EXECUTION}[setting]
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), steps_per_execution=steps)
    x: Any = (np.random.default_rng(0).random((BATCHES * batch, n_in)) < 0.2).astype("float32")
    options: dict[str, Any] = {"verbose": 0, "batch_size": batch}
    if setting == "spe20":
        x = tf.data.Dataset.from_tensor_slices(x).batch(batch, drop_remainder=True).cache().repeat().prefetch(2)
        options = {"verbose": 0, "steps_per_epoch": BATCHES, "shuffle": False}

    def burst(count: int) -> list[float]:
        epochs = Epochs()
        model.fit(x, callbacks=[epochs], epochs=1 + -(-count // BATCHES), **options)
        return [seconds / BATCHES for seconds in epochs.seconds()]

    return burst


def rewiring(rbm: ks.RBM) -> float:
    """Return the seconds of an update by SET."""
    rewire = ks.Rewire(ks.SET(0.3)).attach(rbm)
    rewire.update()
    begin = time.perf_counter()
    rewire.update()
    return time.perf_counter() - begin


def main() -> None:
    options = parser.parse_args()
    facts = common.announce("Training step of an RBM in model.fit: ratios to dense matrices")
    titles = ["shape", "setting", "cd", "batch", "density", "dense ms", "sparse ms", "sparse x", "SET ms", "epoch s"]
    table, rows = common.Table(titles, 9), []
    for shape, setting, cd, batch in product(options.shapes, options.settings, options.cd, options.batches):
        models: dict[Any, Any] = {"Dense": DenseRBM(shape[1], cd=cd)}
        models |= {d: ks.RBM(shape[1], density=d / 100, cd=cd, seed=0) for d in options.densities}
        for model in models.values():
            model.build((None, shape[0]))
        bursts = {key: fitting(model, shape[0], batch, setting) for key, model in models.items()}
        times = common.interleave(bursts, seconds=options.seconds)
        for density in options.densities:
            row = {"shape": shape, "setting": setting, "cd": cd, "batch": batch, "density": density}
            row |= {"dense_ms": 1e3 * times["Dense"], "ms": 1e3 * times[density]}
            row |= {"ratio": times["Dense"] / times[density], "rewire_ms": 1e3 * rewiring(models[density])}
            row["epoch_s"] = times[density] * SAMPLES / batch + row["rewire_ms"] / 1e3
            rows.append(row)
            cells = [row[key] for key in ("dense_ms", "ms", "ratio", "rewire_ms", "epoch_s")]
            table.row("{}x{}".format(*shape), setting, cd, batch, f"{density:g} %", *cells)
        keras.utils.clear_session()
    common.save("rbm", options, facts, rows)


if __name__ == "__main__":
    main()
