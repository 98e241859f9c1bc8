"""Time drawing and rewiring: whole junctions of ten million connections, and a small one at every step.

python benchmarks/topology.py [--connections 10000000] [--steps 300]
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_sparse as ks

_DECODED = 16  # bytes of a decoded connection: two 64-bit indices


class TimedRewire(ks.Rewire):
    """Notes the seconds of every step's update, the callback included."""

    def __init__(self, policy: ks.Policy, **arguments: Any) -> None:
        super().__init__(policy, **arguments)
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Time what `Rewire` does before a step."""
        begin = time.perf_counter()
        super().on_train_batch_begin(batch, logs)
        self.seconds.append(time.perf_counter() - begin)


def resident(entry: str) -> float:
    """Return an entry of the process's memory status in MB: VmRSS is held now, VmHWM was the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(entry))


def update_whole(units: int, connections: int) -> None:
    print(f"{units:,} x {units:,}, {connections:,} connections")
    begin = time.perf_counter()
    ks.Random().sample((units, units), connections, seed=1)
    print(f"  draw the pattern     {time.perf_counter() - begin:6.2f} s")
    begin = time.perf_counter()
    layer = ks.SparseDense(units, density=connections / units**2, seed=1, use_bias=False)
    model = keras.Sequential([keras.Input((units,)), layer])
    print(f"  build the layer      {time.perf_counter() - begin:6.2f} s")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    begin = time.perf_counter()
    rewire = ks.Rewire(ks.SET(0.3)).attach(model, optimizer)
    print(f"  attach Rewire        {time.perf_counter() - begin:6.2f} s")
    linux = sys.platform == "linux"
    for number in range(3):
        if linux:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        held = resident("VmRSS") if linux else 0.0
        begin = time.perf_counter()
        rewire.update()
        seconds = time.perf_counter() - begin
        extra = f"{resident('VmHWM') - held:6.0f} MB above what was held" if linux else ""
        print(f"  SET update {number}         {seconds:6.2f} s {extra}")
    print(f"  decoded topology     {_DECODED * connections / 1e6:6.0f} MB")
    print(f"  layer                {ks.inspect(model).bytes / 1e6:6.0f} MB")


def update_every_step(units: int, density: float, steps: int) -> None:
    """Compare an update with the training step around it, in `fit` with a batch of 128 and SGD with momentum."""
    print(f"{units} x {units}, density {density:g}, an update before every step")
    x, y = np.ones((128, units), np.float32), np.zeros((128, units), np.float32)
    data = tf.data.Dataset.from_tensors((x, y)).cache().repeat()

    def step(callbacks: Sequence[keras.callbacks.Callback]) -> float:
        model: Any = keras.Sequential([keras.Input((units,)), ks.SparseDense(units, density=density, seed=1)])
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        for count in (20, steps):  # the first time to warm up
            begin = time.perf_counter()
            model.fit(data, steps_per_epoch=count, shuffle=False, verbose=0, callbacks=list(callbacks))
        return (time.perf_counter() - begin) / steps

    rewire = TimedRewire(ks.SET(0.3), every=1)
    print(f"  training step        {1e3 * step([]):6.2f} ms")
    print(f"  step with update     {1e3 * step([rewire]):6.2f} ms")
    print(f"  update alone         {1e3 * float(np.median(rewire.seconds[-steps:])):6.2f} ms (median)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10**7)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    for units in (10**6, 20_000):
        update_whole(units, arguments.connections)
    update_every_step(1000, 0.1, arguments.steps)
    print(f"peak of the process    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:6.0f} MB")


if __name__ == "__main__":
    main()
