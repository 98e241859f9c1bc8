"""Experiment 7: do the degrees of hidden units become scale-free while SET trains?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras
import numpy as np
from scipy.stats import linregress

from keras_sparse.junctions import junctions

from . import data, set_mlp, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
The networks and the training of experiment 3 (SET-MLP on MNIST). The degree of a hidden unit is its connections on
both sides; after every tenth epoch log(number of units) is fitted against log(degree), and p is the one-tailed
probability of such a falling line under "no relation", the test of Mocanu et al. 2018: p < 0.05 counts as a sign of a
power law, and the opposite of Clauset's goodness of fit, where a large p supports it. The degree's variance is
relative to that of the random graph at the start. Published: p < 0.05 in all hidden layers from some epoch on, none
at the start.
"""


def p_value(degrees: Any) -> float:
    """Return the one-tailed p of a falling line through log(count) against log(degree); 1 with too few degrees.

    Args:
        degrees: of all units of a layer, [n]; units without a connection do not count.
    """
    values, counts = np.unique(degrees[degrees > 0], return_counts=True)
    if len(values) < 3:
        return 1.0
    line: Any = linregress(np.log(values), np.log(counts), alternative="less")
    return float(line.pvalue)


def hidden_degrees(model: Any) -> list[Any]:
    """Return the degrees of every hidden layer's units, [units] each."""
    connectivity = [junction.kernel.connectivity for junction in junctions(model)]
    return [before.in_degrees + after.out_degrees for before, after in pairwise(connectivity)]


class Degrees(keras.callbacks.Callback):
    """Notes p-values and the variance of degrees of every hidden layer after every tenth epoch."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.p: list[list[float]] = []
        self.variances: list[list[float]] = []
        self.note(model)

    def note(self, model: Any) -> None:
        """Look at the model now."""
        degrees = hidden_degrees(model)
        self.p.append([p_value(layer) for layer in degrees])
        self.variances.append([float(np.var(layer)) for layer in degrees])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % 10 == 9:
            self.note(self.model)


def run(this: Run) -> Results:
    training.start(this.seed)
    mnist = data.images("mnist", this.data_dir)
    model = set_mlp.network(this)
    degrees = Degrees(model)
    rewire = set_mlp.rewire()
    set_mlp.train(this, model, mnist, [rewire, degrees] if this["method"] == "SET" else [degrees])
    degrees.note(model)
    results = training.summary(model, mnist, rewire)
    for number, (before, after) in enumerate(zip(degrees.variances[0], degrees.variances[-1], strict=True), 1):
        results[f"p_{number}"] = degrees.p[-1][number - 1]
        results[f"variance_{number}"] = after / before
    counts = [np.bincount(layer).tolist() for layer in hidden_degrees(model)]
    return {**results, "p": degrees.p, "variances": degrees.variances, "units_by_degree": counts}


EXPERIMENT = Experiment(
    name="scale_free",
    title="Degree distributions over SET training",
    protocol=PROTOCOL,
    settings=[
        Setting("SET", {"method": "SET", "connections": set_mlp.CONNECTIONS, **set_mlp.COMMON}, "p < 0.05"),
        Setting("fixed sparse", {"method": "static", "connections": set_mlp.CONNECTIONS, **set_mlp.COMMON}),
    ],
    run=run,
    columns={
        "accuracy": "test accuracy, %",
        **{f"p_{n}": f"p, layer {n}" for n in (1, 2, 3)},
        **{f"variance_{n}": f"variance, layer {n}" for n in (1, 2, 3)},
    },
    seeds=1,
)
