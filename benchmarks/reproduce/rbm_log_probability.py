"""Experiment 9: the log-probability of binary data under SET-RBMs, fixed sparse ones and dense ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import keras_sparse as ks

from . import data, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
RBMs of 500 hidden units (MNIST: 2500) on binary data: DNA (180 inputs), mushrooms (112), CalTech 101 silhouettes (784;
no official split: 4100 random ones train, 2307 test) and MNIST (784; every pixel is drawn once with its intensity as
probability). ε = 11, CD-10, SGD 0.01 with momentum 0.9, weight decay 2e-4 on the gradient, batch 100, N(0, 1)/20
initial and new weights, visible biases from the data's means; SET replaces ζ = 0.3 after every epoch of the first 90 %.
Fixed sparse networks keep the first connections; dense ones have all. Mean log-probability of the test part in nats by
annealed importance sampling: 100 chains, 14,500 temperatures, base rates from the training part. Published: Mocanu
et al. 2018, MNIST; their number of training steps is not known to us.
"""
BETAS = np.concatenate([np.linspace(0, 0.5, 500), np.linspace(0.5, 0.9, 4001)[1:], np.linspace(0.9, 1, 10_001)[1:]])


def run(this: Run) -> Results:
    training.start(this.seed)
    x_train, x_test = data.binary(this["data"], this.data_dir, seed=this.seed)
    means = (x_train.sum(0) + 1) / (len(x_train) + 2)
    rbm = ks.RBM(
        this["hidden"],
        density=1.0 if this["method"] == "dense" else ks.ErdosRenyi(this["epsilon"]),
        cd=this["cd"],
        kernel_regularizer=keras.regularizers.L2(this["decay"] / 2),
        seed=this.seed,
    )
    rbm.build((None, x_train.shape[1]))
    rbm.visible_bias.assign(np.log(means / (1 - means)))
    rewire = ks.Rewire(ks.SET(0.3), stop=0.9) if this["method"] == "SET" else None
    training.learn(
        rbm,
        x_train,
        optimizer=keras.optimizers.SGD(this["rate"], momentum=0.9),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=[] if rewire is None else [rewire],
        steps_per_execution=len(x_train) // this["batch"],
    )
    found = rbm.log_probability(x_test, data=x_train, temperatures=BETAS.tolist(), seed=this.seed)
    results: dict[str, Any] = {"log_probability": found.value, "standard_error": found.standard_error}
    results["connections"] = len(rbm.kernel)
    if rewire is not None:
        results["explored"] = rewire.history[-1]["explored"]
    return results


COMMON = {"epsilon": 11, "cd": 10, "batch": 100, "rate": 0.01, "decay": 2e-4}
DATA = {
    "DNA": {"data": "binary_dna", "hidden": 500, "epochs": 500},
    "mushrooms": {"data": "binary_mushrooms", "hidden": 500, "epochs": 500},
    "CalTech": {"data": "caltech101_silhouettes", "hidden": 500, "epochs": 300},
    "MNIST": {"data": "mnist", "hidden": 2500, "epochs": 50},
}
METHODS = ("SET", "fixed sparse", "dense")
EXPERIMENT = Experiment(
    name="rbm_log_probability",
    title="Log-probability of binary data under RBMs",
    protocol=PROTOCOL,
    settings=[
        Setting(
            f"{name}, {method}",
            {"method": method, **options, **COMMON},
            "-86.41" if (name, method) == ("MNIST", "SET") else "",
        )
        for name, options in DATA.items()
        for method in METHODS
    ],
    run=run,
    columns={
        "log_probability": "log-probability, nats",
        "standard_error": "of AIS ±",
        "connections": "connections",
        "explored": "positions tried, %",
    },
    seeds=1,
)
