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
784-300-100-10 without biases, softmax, 2352 + 900 + 300 = 3552 of 266,200 connections, or 2662 (1.0 %, divided alike).
Batch normalisation before ReLU (foldable into the junctions, not counted), 25 epochs, batch 128, Adam 3e-2 with 200
steps of warm-up and a cosine to 0, L2 3e-4, α = 1e-5, T = 2.5e-11: chosen on 10,000 of the training pictures.
"Authors' settings": those of the code of Bellec et al. 2018, without normalisation, SGD 0.5, batch 10, initial weights
N(0, 1 / n_in), 10 epochs. The number of connections of every junction is checked after every one of the steps. Test
accuracy after the last epoch. Published: the paper.
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


def network(counts: list[int], seed: int, *, normalize: bool = False, l2: float = 0.0) -> keras.Sequential:
    """Return the network with so many connections per junction; without normalisation the authors' one."""
    sizes = [n_in * n_out for n_in, n_out in training.shapes(SIZES)]
    densities = [count / size for count, size in zip(counts, sizes, strict=True)]
    # The authors go by fans of the whole matrix, not of the few connections as VarianceScaling does.
    theirs = [keras.initializers.RandomNormal(stddev=n_in**-0.5) for n_in in SIZES[:-1]]
    return training.mlp(
        SIZES,
        densities,
        seed=seed,
        use_bias=False,
        normalize=normalize,
        initializer="he_normal" if normalize else theirs,
        regularizer=keras.regularizers.L2(l2) if l2 else None,
    )


def run(this: Run) -> Results:
    training.start(this.seed)
    mnist = data.images("mnist", this.data_dir)
    ours = this["normalize"]
    model = network(this["connections"], this.seed, normalize=ours, l2=this["l2"])
    rewire = ks.Rewire(ks.DeepR(l1=this["l1"], temperature=this["temperature"]))
    check = CheckCount(this["connections"])
    total = training.steps(mnist, this["batch"], this["epochs"])
    training.fit(
        model,
        mnist,
        optimizer=keras.optimizers.Adam(training.cosine(this["rate"], total, warm_up=min(200, total // 2)))
        if ours
        else keras.optimizers.SGD(this["rate"]),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=[rewire, check],
    )
    return {**training.summary(model, mnist), "steps": check.checked}


WALK = {"l1": 1e-5, "temperature": 2.5e-11}
OURS = {"normalize": True, "rate": 3e-2, "l2": 3e-4, "batch": 128, "epochs": 25, **WALK}
THEIRS = {"normalize": False, "rate": 0.5, "l2": 0.0, "batch": 10, "epochs": 10, **WALK}
K3552, K2662 = {"connections": [2352, 900, 300]}, {"connections": [1763, 675, 224]}
EXPERIMENT = Experiment(
    name="deep_r",
    title="DEEP R with exactly K connections",
    protocol=PROTOCOL,
    settings=[
        Setting("3552 (1.3 %)", {**K3552, **OURS}, "96.2"),
        Setting("2662 (1.0 %)", {**K2662, **OURS}, "96.3"),
        Setting("3552, authors' settings", {**K3552, **THEIRS}, "96.2"),
    ],
    run=run,
    columns={"accuracy": "test accuracy, %", "connections": "connections", "steps": "steps checked"},
)
