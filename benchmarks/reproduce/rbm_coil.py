"""Experiment 8: SET-RBM on COIL20, by how well it reconstructs pictures it has not seen."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import keras_sparse as ks

from . import data, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
1024-200 RBM on the 1440 pictures of COIL20 in [0, 1], a random third of them held out; the settings of the authors'
program: ε = 10 (12,240 connections), CD-1, SGD 0.1 without momentum, batch 10, 1000 epochs, weight decay 2e-7 of the
weights per step, N(0, 1)/20 initial and new weights, ζ = 0.3 after every epoch, and a last removal. "SET, then fixed"
keeps the connections that it has after 90 % of the epochs instead, and loses none in the end. The error is the mean
squared difference of a held-out picture and its reconstruction: from a sample of the hidden units, as the program has
it, and from their probabilities. Published: the program's output (one run).
"""


def model(density: Any, seed: int, decay: float) -> ks.RBM:
    """Return the RBM; `decay` is the factor of Σ w² in the loss."""
    # The regularizer of the biases, 2e-7 as well in the program, is left out.
    return ks.RBM(200, density=density, kernel_regularizer=keras.regularizers.L2(decay), seed=seed)


def run(this: Run) -> Results:
    training.start(this.seed)
    x_train, x_test = data.halves(data.archive("coil20", this.data_dir)["x"], 2 / 3, seed=this.seed)
    density = 1.0 if this["method"] == "dense" else ks.ErdosRenyi(this["epsilon"])
    # The decay is that of an SGD step: rate · 2 · l · w.
    rbm = model(density, this.seed, this["decay"] / (2 * this["rate"]))
    rewires = {
        "SET": ks.Rewire(ks.SET(0.3, final_removal=True)),
        "SET, then fixed": ks.Rewire(ks.SET(0.3), stop=0.9),
    }
    rewire = rewires.get(this["method"])
    training.learn(
        rbm,
        x_train,
        optimizer=keras.optimizers.SGD(this["rate"]),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=[] if rewire is None else [rewire],
        steps_per_execution=len(x_train) // this["batch"],
    )
    results: dict[str, Any] = {"connections": len(rbm.kernel)}
    for name, sample in (("sampled", True), ("mean_field", False)):
        difference = np.asarray(rbm.reconstruct(x_test, sample=sample)) - x_test
        results[name] = 1e3 * float(np.mean(difference**2))
    if rewire is not None:
        results["explored"] = rewire.history[-1]["explored"]
    return results


COMMON = {"epsilon": 10, "epochs": 1000, "batch": 10, "rate": 0.1, "decay": 2e-7}
EXPERIMENT = Experiment(
    name="rbm_coil",
    title="SET-RBM on COIL20",
    protocol=PROTOCOL,
    settings=[
        Setting("SET", {"method": "SET", **COMMON}, "13.6"),
        Setting("SET, then fixed", {"method": "SET, then fixed", **COMMON}),
        Setting("fixed sparse", {"method": "static", **COMMON}, "26.6"),
        Setting("dense", {"method": "dense", **COMMON}),
    ],
    run=run,
    columns={
        "sampled": "test error, 1e-3",
        "mean_field": "from probabilities, 1e-3",
        "connections": "connections",
        "explored": "positions tried, %",
    },
)
