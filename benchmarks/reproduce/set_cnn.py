"""Experiment 10: SET-CNN on CIFAR-10: evolving, fixed and dense layers on top of the same convolutions."""

from __future__ import annotations

import keras
import numpy as np

import keras_sparse as ks

from . import data, pictures, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
Six dense convolutions, 2048-2048-10 on top (Mocanu et al. 2018, section "Performance on CNNs"): ε = 20, which is
163,840 connections in the two hidden layers; the softmax is dense. Three epochs (`--epochs 1000` for what the authors'
program for MLPs does); batch 100, SGD 0.01 with momentum 0.9, dropout 0.3, augmentation by flips, shifts of up to 10 %
and turns of up to 10° as there; pixels standardised by channel; Glorot values by the real fans. SET replaces ζ =
0.3 after every epoch. Test accuracy after the last epoch; the published figures are the best of all epochs. An
interrupted run goes on after its last whole epoch. CIFAR-10 comes from cifar10.npz in the data folder, or from TFDS.
"""
PUBLISHED = {"SET": "90.02", "fixed sparse": "88.26", "dense": "87.48"}


def network(this: Run, part: data.Data) -> keras.Sequential:
    """Return the network for pictures in [0, 1]."""
    mean, squares = (x.mean((0, 1, 2), dtype="float64") for x in (part.x_train, np.square(part.x_train)))
    scale = keras.layers.Normalization(mean=mean, variance=squares - mean**2)
    shape = part.x_train.shape[1:]
    body = ks.models.set_cnn(
        shape,
        part.classes,
        filters=this["filters"],
        hidden=this["hidden"],
        density=1.0 if this["method"] == "dense" else ks.ErdosRenyi(this["epsilon"]),
        dropout=this["dropout"],
        seed=training.counter(this.seed, 0),
    )
    return keras.Sequential([keras.Input(shape), scale, *pictures.augmentation(shift=0.1, rotation=10), body])


def run(this: Run) -> Results:
    training.start(this.seed)
    part = data.pictures("cifar10", this.data_dir)
    return pictures.train(
        this,
        network(this, part),
        part,
        optimizer=keras.optimizers.SGD(this["rate"], momentum=0.9),
        callbacks=[ks.Rewire(ks.SET(0.3))] if this["method"] == "SET" else [],
    )


COMMON = {
    "epochs": 3,
    "batch": 100,
    "rate": 0.01,
    "epsilon": 20,
    "dropout": 0.3,
    "filters": [32, 64, 128],
    "hidden": [2048, 2048],
}
EXPERIMENT = Experiment(
    name="set_cnn",
    title="SET-CNN on CIFAR-10",
    protocol=PROTOCOL,
    settings=[Setting(method, {"method": method, **COMMON}, published) for method, published in PUBLISHED.items()],
    run=run,
    columns={
        "accuracy": "test accuracy, %",
        "connections": "connections",
        "density": "density, %",
        "explored": "positions tried, %",
        "epoch_seconds": "s an epoch",
    },
    seeds=1,
    curves=pictures.CURVES,
)
