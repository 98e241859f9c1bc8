"""Experiment 11: DEEP R on the convolutional network of TensorFlow's CIFAR-10 tutorial, at 5 % of the connections."""

from __future__ import annotations

from typing import Any

import keras

import keras_sparse as ks
from keras_sparse.junctions import junctions

from . import data, pictures, training
from .deep_r import CheckCount
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
Two convolutions 5 × 5 with 64 maps, max pooling, local response normalisation, 384-192-10 (Bellec et al. 2018; the
network of TensorFlow's CIFAR-10 tutorial) on crops of 24 × 24 pixels. 5 % of the 1,067,584 positions of all junctions
together, convolutions included, divided by the Erdős–Rényi rule, which makes the softmax dense (our choice, as are the
rates; the paper's may differ). The number of connections of every junction is checked after every step of DEEP R. Four
epochs (the tutorial trains for hundreds: `--epochs 300`), batch 128, SGD without momentum, 0.1 with a cosine to 0,
gradients clipped at norm 1, α = 1e-5, T = 2.5e-11, flips and random crops, every crop standardised, He values by the
real fan-in. Test accuracy, on the crop in the middle, after the last epoch. An interrupted run goes on after its
last whole epoch. CIFAR-10 comes from cifar10.npz in the data folder, or from TFDS.
"""
CROP, SHIFT = 24, 4  # pixels of 32: crops begin 0 to 8 pixels from the border


def network(this: Run, part: data.Data) -> keras.Sequential:
    """Return the network for pictures in [0, 1]."""
    height, width, channels = part.x_train.shape[1:]
    crop = (height * CROP // 32, width * CROP // 32)
    body = ks.models.deep_r_cnn(
        (*crop, channels),
        part.classes,
        density=this["density"],
        filters=this["filters"],
        hidden=this["hidden"],
        seed=training.counter(this.seed, 0),
    )
    front = [*pictures.augmentation(shift=SHIFT / 32), keras.layers.CenterCrop(*crop)]
    whole: Any = (1, 2, 3)  # each picture by itself
    scale = keras.layers.LayerNormalization(whole, epsilon=1e-6, center=False, scale=False)
    return keras.Sequential([keras.Input((height, width, channels)), *front, scale, body])


def run(this: Run) -> Results:
    training.start(this.seed)
    part = data.pictures("cifar10", this.data_dir)
    model = network(this, part)
    callbacks: list[Any] = []
    if this["method"] == "DEEP R":
        counts = [len(junction.kernel) for junction in junctions(model)]
        callbacks = [ks.Rewire(ks.DeepR(l1=this["l1"], temperature=this["temperature"])), CheckCount(counts)]
    rate = training.cosine(this["rate"], training.steps(part, this["batch"], this["epochs"]))
    return pictures.train(this, model, part, optimizer=keras.optimizers.SGD(rate, clipnorm=1.0), callbacks=callbacks)


COMMON = {"epochs": 4, "batch": 128, "rate": 0.1, "filters": [64, 64], "hidden": [384, 192]}
EXPERIMENT = Experiment(
    name="deep_r_cnn",
    title="DEEP R on a CNN for CIFAR-10, at 5 %",
    protocol=PROTOCOL,
    settings=[
        Setting(
            "DEEP R 5 %", {"method": "DEEP R", "density": 0.05, "l1": 1e-5, "temperature": 2.5e-11, **COMMON}, "84.1"
        ),
        Setting("fixed random 5 %", {"method": "static", "density": 0.05, **COMMON}),
        Setting("dense", {"method": "static", "density": 1.0, **COMMON}),
    ],
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
