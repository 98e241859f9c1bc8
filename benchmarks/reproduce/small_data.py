"""Experiment 5: few samples: 2,000 pictures of Fashion-MNIST, and microarrays with thousands of features."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_sparse as ks

from . import data, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
Fashion-MNIST: the first 2,000 of the shuffled training pictures, the whole test part; 784-1000³-10, ReLU, ε = 13, ζ =
0.3 after every epoch, dropout 0.2, SGD 0.05 with momentum 0.9, batch 40, 400 epochs (the settings of SET's authors).
Initial and new weights of sparse junctions are N(0, 1)/10 and weight decay is 2e-4 on the gradient, as in the authors'
SciPy program; with He's larger values SET was three points behind the fixed network. Dense ones begin with He's.
"Best" is the best test accuracy of every tenth epoch, as the authors report it: it is chosen on the test part.
Microarrays (ASU's collection): d-1000-1000-c, ε = 20, dropout 0.2, SGD 0.01 (dense: 0.003; at 0.01 it diverges on two
of them) with momentum 0.9, batch 16, 100 epochs, standardised features, mean of a stratified 5-fold cross-validation
drawn anew for every seed. The published microarray figure is for another file (3312 features, 5 classes; 3000² hidden
units).
"""
MICROARRAYS = ("leukemia", "prostate_ge", "tox_171", "lymphoma", "lung_discrete")
METHODS = ("SET", "fixed sparse", "dense")


def run(this: Run) -> Results:
    training.start(this.seed)
    if this["data"] == "fashion_mnist":
        return _fashion(this)
    parts = data.folds(this["data"], this.data_dir, number=5, seed=this.seed)
    found = []
    for number, part in enumerate(parts):
        model, rewire = _network(this, part, [1000, 1000], training.counter(this.seed, 10 * number))

        def progress(share: float, done: int = number) -> None:
            this.progress((done + share) / len(parts))

        _fit(this, model, part, progress, [] if rewire is None else [rewire])
        found.append(training.summary(model, part))
    return {key: statistics.fmean(one[key] for one in found) for key in found[0]}


def _fashion(this: Run) -> Results:
    whole = data.images("fashion_mnist", this.data_dir)
    chosen = np.random.default_rng(this.seed).permutation(len(whole.x_train))[: this["samples"]]
    part = whole._replace(x_train=whole.x_train[chosen], y_train=whole.y_train[chosen])
    model, rewire = _network(this, part, [1000, 1000, 1000], this.seed)
    curve = training.Curve(part, every=10)
    _fit(this, model, part, this.progress, [*([] if rewire is None else [rewire]), curve])
    results = training.summary(model, part, rewire)
    accuracies = curve.values("accuracies")
    return {**results, "best": max([results["accuracy"], *accuracies]), "curve": accuracies}


def _network(this: Run, part: data.Data, hidden: list[int], seed: int) -> tuple[keras.Sequential, ks.Rewire | None]:
    sizes = [part.x_train.shape[1], *hidden, part.classes]
    rule = None if this["method"] == "dense" else ks.ErdosRenyi(this["epsilon"])
    densities = [None if rule is None else rule.density(shape) for shape in training.shapes(sizes)]
    start: Any = "he_normal"
    if rule is not None:  # one for each junction: an initializer draws the same numbers whenever it is called
        start = [
            keras.initializers.RandomNormal(stddev=this["deviation"], seed=seed + n) for n in range(len(densities))
        ]
    decay = keras.regularizers.L2(1e-4)  # its gradient is 2e-4 · w
    model = training.mlp(sizes, densities, seed=seed, dropout=0.2, initializer=start, regularizer=decay)
    return model, ks.Rewire(ks.SET(0.3)) if this["method"] == "SET" else None


def _fit(this: Run, model: Any, part: data.Data, progress: Callable[[float], None], callbacks: list[Any]) -> None:
    training.fit(
        model,
        part,
        optimizer=keras.optimizers.SGD(this["rate"], momentum=0.9),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=progress,
        callbacks=callbacks,
    )


COMMON = {"deviation": 0.1}
FASHION = {"data": "fashion_mnist", "samples": 2000, "epsilon": 13, "epochs": 400, "batch": 40, "rate": 0.05, **COMMON}
ARRAYS = {"epsilon": 20, "epochs": 100, "batch": 16, **COMMON}
PUBLISHED = {"SET": "82.6, best 83.7", "fixed sparse": "80.6, best 81.6", "dense": "82.0, best 84.0"}
LUNG = {"SET": "94.12 (lung)", "fixed sparse": "91.18 (lung)"}
EXPERIMENT = Experiment(
    name="small_data",
    title="Few samples: Fashion-MNIST with 2,000, microarrays with about 100",
    protocol=PROTOCOL,
    settings=[
        *(Setting(f"Fashion-MNIST, {name}", {"method": name, **FASHION}, PUBLISHED[name]) for name in METHODS),
        *(
            Setting(
                f"{name}, {method}",
                {"method": method, "data": name, **ARRAYS, "rate": 0.003 if method == "dense" else 0.01},
                LUNG.get(method, "") if name == "lung_discrete" else "",
            )
            for name in MICROARRAYS
            for method in METHODS
        ),
    ],
    run=run,
    columns={"accuracy": "test accuracy, %", "best": "best, %", "connections": "connections"},
    seeds=5,
)
