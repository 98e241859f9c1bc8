"""Experiment 6: DEEP R against pruning at equal counts, over a sequence of tasks, and sparsity against redundancy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import keras_sparse as ks
from keras_sparse.junctions import junctions

from . import data, training
from .deep_r import CheckCount, network
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
784-300-100-10 on MNIST without biases, SGD 0.5 (pruning and L1: 0.1), batch 10. "counts": the same number of
connections in every junction for all methods, 10 epochs in all; DEEP R has them from the first step. Magnitude
pruning (Han et al. 2015) and L1 train a dense network for 5 epochs, L1 with a penalty of 1e-5, keep the largest
weights, and train these alone for 5 more. "tasks" (Bellec et al. 2018, section on transfer): ten tasks of one epoch,
each MNIST with its labels permuted anew; one DEEP R network learns them in turn. First and last task's accuracy, and
the cosine similarity of the first and the last junction before and after the last task: early layers should stay.
"redundancy" (Dey et al. 2019): random fixed connections on all 784 pixels and on the 200 that tell most about the
class (mutual information on the training part, eight levels of grey), which have less redundancy and should suffer
more. Adam 1e-3, batch 256, 20 epochs.
"""
COUNTS = {"3552 (1.3 %)": [2352, 900, 300], "13310 (5 %)": [9400, 3200, 710]}
REDUNDANT = {"784 pixels": 784, "200 pixels": 200}


def run(this: Run) -> Results:
    training.start(this.seed)
    mnist = data.images("mnist", this.data_dir)
    return {"counts": _counts, "tasks": _tasks, "redundancy": _redundancy}[this["part"]](this, mnist)


def _counts(this: Run, mnist: data.Data) -> Results:
    if this["method"] == "DEEP R":
        return _deep_r(this, mnist, network(this["connections"], this.seed), this["epochs"], this.progress)
    first = this["epochs"] // 2
    penalty = keras.regularizers.L1(1e-5) if this["method"] == "L1" else None
    dense = training.mlp((784, 300, 100, 10), [None] * 3, seed=this.seed, use_bias=False, regularizer=penalty)
    _plain(dense, mnist, first, lambda share: this.progress(share / 2))
    sparse = network(this["connections"], this.seed)
    for junction, count in zip(junctions(sparse), this["connections"], strict=True):
        matrix = np.asarray(dense.get_layer(junction.layer.name).kernel)
        largest = np.argpartition(-np.abs(matrix), count - 1, axis=None)[:count]
        kept = ks.Connectivity.from_keys(largest.astype(np.int64), shape=junction.kernel.shape)
        junction.kernel.assign(kept, matrix[kept.inputs, kept.outputs])
    cut = training.accuracy(sparse, mnist)
    _plain(sparse, mnist, this["epochs"] - first, lambda share: this.progress((1 + share) / 2))
    return {**training.summary(sparse, mnist), "after_cut": cut}


def _tasks(this: Run, mnist: data.Data) -> Results:
    model = network(this["connections"], this.seed)
    rng = np.random.default_rng(this.seed)
    accuracies: list[float] = []
    similarity: list[list[float]] = []
    results: Results = {}
    for task in range(this["tasks"]):
        labels = rng.permutation(10)
        part = mnist._replace(y_train=labels[mnist.y_train], y_test=labels[mnist.y_test])
        before = [junction.kernel.to_dense() for junction in junctions(model)]

        def progress(share: float, done: int = task) -> None:
            this.progress((done + share) / this["tasks"])

        results = _deep_r(this, part, model, this["epochs"], progress)
        accuracies.append(results["accuracy"])
        after = [junction.kernel.to_dense() for junction in junctions(model)]
        similarity.append([_cosine(a, b) for a, b in zip(before, after, strict=True)])
    return {
        **results,
        "first_task": accuracies[0],
        "similarity_first": similarity[-1][0],
        "similarity_last": similarity[-1][-1],
        "accuracies": accuracies,
        "similarity": similarity,
    }


def _redundancy(this: Run, mnist: data.Data) -> Results:
    features = this["features"]
    part = mnist if features == 784 else data.informative(mnist, features)
    sizes = (features, 100, 10)
    # The last junction stays dense: later junctions need more.
    model = training.mlp(sizes, [this["density"], None], seed=this.seed)
    training.fit(
        model,
        part,
        optimizer=keras.optimizers.Adam(1e-3),
        batch=256,
        epochs=this["epochs"],
        progress=this.progress,
        steps_per_execution=20,
    )
    return training.summary(model, part)


def _deep_r(this: Run, part: data.Data, model: Any, epochs: int, progress: Any) -> Results:
    callbacks = [ks.Rewire(ks.DeepR()), CheckCount(this["connections"])]
    optimizer = keras.optimizers.SGD(0.5)
    training.fit(model, part, optimizer=optimizer, batch=10, epochs=epochs, progress=progress, callbacks=callbacks)
    return training.summary(model, part)


def _plain(model: Any, part: data.Data, epochs: int, progress: Any) -> None:
    optimizer = keras.optimizers.SGD(0.1)
    training.fit(model, part, optimizer=optimizer, batch=10, epochs=epochs, progress=progress, steps_per_execution=20)


def _cosine(a: Any, b: Any) -> float:
    return float(np.sum(a * b) / max(1e-12, np.linalg.norm(a) * np.linalg.norm(b)))


EXPERIMENT = Experiment(
    name="transfer",
    title="DEEP R against pruning at equal counts; a sequence of tasks; redundancy",
    protocol=PROTOCOL,
    settings=[
        *(
            Setting(
                f"counts {name}, {method}", {"part": "counts", "method": method, "connections": counts, "epochs": 10}
            )
            for name, counts in COUNTS.items()
            for method in ("DEEP R", "magnitude pruning", "L1")
        ),
        Setting(
            "tasks, DEEP R 1.3 %", {"part": "tasks", "connections": COUNTS["3552 (1.3 %)"], "tasks": 10, "epochs": 1}
        ),
        *(
            Setting(
                f"redundancy, {name} at {density:.0%}",
                {"part": "redundancy", "features": features, "density": density, "epochs": 20},
            )
            for name, features in REDUNDANT.items()
            for density in (1.0, 0.2, 0.1, 0.05)
        ),
    ],
    run=run,
    columns={
        "accuracy": "test accuracy, %",
        "connections": "connections",
        "after_cut": "right after cutting, %",
        "first_task": "first task, %",
        "similarity_first": "junction 1 kept",
        "similarity_last": "junction 3 kept",
    },
)
