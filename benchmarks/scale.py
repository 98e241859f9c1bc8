"""Train one very large network with model.fit and say what it takes: 50 million neurons, 500 million connections.

    make bench-scale                                             # the whole of it: 24 GB and patience
    python benchmarks/scale.py --neurons 100000 --connections 1000000

The network: some inputs, hidden layers of equal width with the same number of connections each, ten classes. It learns
a few random patterns by heart, so the loss must fall; if it does not, the exit status is 1.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import candidates
import common
import keras
import machine
import numpy as np

import keras_sparse as ks

CLASSES = 10
EPOCH = 4  # batches of data

parser = common.parser(__doc__)
parser.add_argument("--neurons", type=int, default=50_000_000, help="hidden ones")
parser.add_argument("--connections", type=int, default=500_000_000)
parser.add_argument("--layers", type=int, default=10, help="hidden layers")
parser.add_argument("--inputs", type=int, default=1000)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--momentum", type=float, default=0.9, help="0 saves 4 bytes a connection")
parser.add_argument("--learning-rate", type=float, default=0.003)
parser.add_argument("--path", default="auto", help="of SparseDense: auto, native, stock")


class Progress(keras.callbacks.Callback):
    """Prints every step and keeps its seconds; keeps the mean loss of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._begin = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look at the clock."""
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Print the step."""
        self.seconds.append(time.perf_counter() - self._begin)
        peak = machine.peak_bytes() / 2**30
        print(f"step {len(self.seconds):3}  {self.seconds[-1]:8.3f} s  peak {peak:6.2f} GiB", flush=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Print the mean loss of the epoch."""
        self.losses.append(float((logs or {})["loss"]))
        print(f"epoch {epoch + 1}: loss {self.losses[-1]:.4f}", flush=True)


def network(options: Any) -> keras.Sequential:
    """Return the compiled network, printing every layer as it is made.

    Every hidden neuron draws its weights for its own number of connections, so that signals keep their size through
    the layers; the last layer sees very many neurons and gets them scaled, so that all layers learn at one rate.
    """
    width = max(1, options.neurons // options.layers)
    in_last = min(options.connections // (options.layers + 1), width * CLASSES // 2)
    in_hidden = -(-(options.connections - in_last) // options.layers)
    model = keras.Sequential([keras.Input((options.inputs,))])
    n_in = options.inputs
    for number in range(options.layers + 1):
        last = number == options.layers
        units = CLASSES if last else width
        count = in_last if last else min(in_hidden, n_in * units)
        if last:
            model.add(keras.layers.Rescaling(1 / math.sqrt(count / units)))
        begin = time.perf_counter()
        layer = ks.SparseDense(
            units,
            density=count / (n_in * units),
            compute=options.path,
            activation="softmax" if last else "relu",
            kernel_initializer=keras.initializers.RandomNormal(stddev=1.0, seed=number) if last else "he_normal",
            seed=number,
        )
        model.add(layer)
        seconds, peak = time.perf_counter() - begin, machine.peak_bytes() / 2**30
        print(
            f"{n_in:>10,} -> {units:>10,}: {count:>12,} connections, {seconds:6.1f} s, peak {peak:6.2f} GiB", flush=True
        )
        n_in = units
    optimizer = keras.optimizers.SGD(options.learning_rate, momentum=options.momentum)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def main() -> int:
    options = parser.parse_args()
    facts = common.announce(f"model.fit with {options.neurons:,} neurons and {options.connections:,} connections")
    base = machine.peak_bytes()
    model = network(options)
    layers = [layer for layer in model.layers if isinstance(layer, ks.SparseDense)]
    connections = sum(len(layer.kernel) for layer in layers)
    made = machine.peak_bytes()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((EPOCH * options.batch, options.inputs), np.float32)
    y = rng.integers(0, CLASSES, len(x))
    progress = Progress()
    epochs = max(2, -(-options.steps // EPOCH))
    quiet: dict[str, Any] = {"verbose": 0}
    model.fit(x, y, batch_size=options.batch, epochs=epochs, callbacks=[progress], **quiet)
    peak = machine.peak_bytes()
    row = {
        "neurons": options.neurons // options.layers * options.layers + CLASSES,
        "connections": connections,
        "path": candidates.path(model),
        "batch": options.batch,
        "seconds_per_step": float(np.median(progress.seconds[1:])),
        "first_loss": progress.losses[0],
        "last_loss": progress.losses[-1],
        "peak_bytes": peak,
        "peak_bytes_made": made,
        "peak_bytes_before": base,
        "bytes_per_connection": (peak - base) / connections,
    }
    print()
    for name, value in row.items():
        print(f"{name:22} {value:,}" if isinstance(value, int) else f"{name:22} {value}")
    room = machine.available_bytes() + peak - base
    print(f"{'would fit here':22} about {room / row['bytes_per_connection']:,.0f} connections, by memory")
    common.save("scale", options, facts, [row])
    return int(progress.losses[-1] >= progress.losses[0])


if __name__ == "__main__":
    sys.exit(main())
