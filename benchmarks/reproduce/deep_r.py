"""Experiment 2: DEEP R on LeNet 300-100 with exactly K connections after every step."""

from __future__ import annotations

from typing import Any

import keras

import keras_sparse as ks
from keras_sparse.junctions import junctions

from . import data, training
from .experiment import Experiment, Results, Run, Setting

SIZES = (784, 300, 100, 10)
PROTOCOL = """
The settings of the authors' code (Bellec et al. 2018): 784-300-100-10 without biases, SGD 0.5, batch 10, α = 1e-5, T
= 2.5e-11 (noise 1e-5), initial weights N(0, 1 / n_in), softmax; 2352 + 900 + 300 = 3552 of 266,200 connections for 10
epochs, and 2662 (1.0 %, divided alike) for 30. The number of connections of every junction is checked after every one
of the steps. Test accuracy after the last epoch. Published: the paper.
"""


class CheckCount(keras.callbacks.Callback):
    """Fails when a junction does not have its K connections after a step. Stands behind `Rewire` in the list."""

    def __init__(self, wanted: list[int]) -> None:
        super().__init__()
        self.wanted, self.checked, self._kernels = wanted, 0, []

    def on_train_begin(self, logs: Any = None) -> None:
        self._kernels = [junction.kernel for junction in junctions(self.model)]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        found = [len(kernel) for kernel in self._kernels]
        if found != self.wanted:
            raise RuntimeError(f"Expected {self.wanted} connections after every step; found {found}.")
        self.checked += 1


def network(counts: list[int], seed: int) -> keras.Sequential:
    """Return the authors' network with so many connections per junction."""
    sizes = [n_in * n_out for n_in, n_out in training.shapes(SIZES)]
    densities = [count / size for count, size in zip(counts, sizes, strict=True)]
    # Fans of the whole matrix, not of the few connections: VarianceScaling would go by those.
    small = [keras.initializers.RandomNormal(stddev=n_in**-0.5) for n_in in SIZES[:-1]]
    return training.mlp(SIZES, densities, seed=seed, use_bias=False, initializer=small)


def run(this: Run) -> Results:
    training.start(this.seed)
    mnist = data.images("mnist", this.data_dir)
    model = network(this["connections"], this.seed)
    rewire = ks.Rewire(ks.DeepR(l1=this["l1"], temperature=this["temperature"]))
    check = CheckCount(this["connections"])
    training.fit(
        model,
        mnist,
        optimizer=keras.optimizers.SGD(this["rate"]),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=[rewire, check],
    )
    return {**training.summary(model, mnist), "steps": check.checked}


COMMON = {"rate": 0.5, "initial": "1 / n_in", "batch": 10, "l1": 1e-5, "temperature": 2.5e-11}
EXPERIMENT = Experiment(
    name="deep_r",
    title="DEEP R with exactly K connections",
    protocol=PROTOCOL,
    settings=[
        Setting("3552 (1.3 %)", {"connections": [2352, 900, 300], "epochs": 10, **COMMON}, "96.2"),
        Setting("2662 (1.0 %), longer", {"connections": [1763, 675, 224], "epochs": 30, **COMMON}, "96.3"),
    ],
    run=run,
    columns={"accuracy": "test accuracy, %", "connections": "connections", "steps": "steps checked"},
)
