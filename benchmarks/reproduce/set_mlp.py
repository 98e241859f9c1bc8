"""Experiment 3: SET-MLP 784-1000-1000-1000-10 on MNIST against fixed sparse and dense networks."""

from __future__ import annotations

from typing import Any

import keras

import keras_sparse as ks

from . import data, training
from .experiment import Experiment, Results, Run, Setting

SIZES = (784, 1000, 1000, 1000, 10)
CONNECTIONS = 89_797
PROTOCOL = """
784-1000³-10 with SReLU, 89,797 connections divided by the Erdős–Rényi rule, by which the output layer becomes dense
(Mocanu et al. 2018, where the count is that). 100 epochs (paper: 1000), batch 100, SGD 0.05 with momentum 0.9 and a
cosine to 0, dropout 0.3, weight decay 2e-4 on the gradient; SET replaces ζ = 0.3 after every epoch of the first 75 %.
Test accuracy after the last epoch.
"""


def network(connections: int | None, seed: int) -> keras.Sequential:
    """Return the network; dense for None."""
    shapes = training.shapes(SIZES)
    densities: list[Any] = [None] * len(shapes)
    if connections is not None:
        densities = ks.allocate(shapes, connections=connections, rule="er")
    decay = keras.regularizers.L2(1e-4)  # its gradient is 2e-4 · w
    return training.mlp(SIZES, densities, seed=seed, activation=ks.SReLU, dropout=0.3, regularizer=decay)


def train(this: Run, model: keras.Model, mnist: data.Data, callbacks: list[keras.callbacks.Callback]) -> None:
    """Train by the protocol."""
    total = training.steps(mnist, this["batch"], this["epochs"])
    training.fit(
        model,
        mnist,
        optimizer=keras.optimizers.SGD(training.cosine(this["rate"], total), momentum=0.9),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=callbacks,
        steps_per_execution=20,
    )


def run(this: Run) -> Results:
    training.start(this.seed)
    mnist = data.images("mnist", this.data_dir)
    model = network(this["connections"], this.seed)
    rewire = ks.Rewire(ks.SET(0.3), stop=0.75) if this["method"] == "SET" else None
    train(this, model, mnist, [] if rewire is None else [rewire])
    return training.summary(model, mnist, rewire)


COMMON = {"epochs": 100, "batch": 100, "rate": 0.05}
EXPERIMENT = Experiment(
    name="set_mlp",
    title="SET-MLP on MNIST",
    protocol=PROTOCOL,
    settings=[
        Setting("SET", {"method": "SET", "connections": CONNECTIONS, **COMMON}, "98.74"),
        Setting("fixed sparse", {"method": "static", "connections": CONNECTIONS, **COMMON}, "97.68"),
        Setting("dense", {"method": "static", "connections": None, **COMMON}, "98.55"),
    ],
    run=run,
    columns={"accuracy": "test accuracy, %", "connections": "connections", "explored": "positions tried, %"},
)
