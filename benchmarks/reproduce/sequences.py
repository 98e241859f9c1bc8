"""Experiment 8: sparse LSTMs: DEEP R against a fixed random topology and against dense."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

import keras_sparse as ks

from . import data, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
An LSTM and a softmax, trained by SGD with a cosine to 0, gradients clipped at norm 1; both kernels of the LSTM have the
same density, the softmax is dense. Gates trade connections. DEEP R with α = 1e-5 and T = 1e-10, each kernel with its
own count after every step; SET every 100 steps, ζ from 0.3 to 0 along a cosine that ends at 75 %. Japanese vowels
(UCI): 270 utterances of 7 to 29 frames of 12 numbers, nine speakers, masked where an utterance has ended; 128 units,
batch 30, 150 epochs. MNIST row by row: 28 steps of 28 pixels; 256 units, batch 100. Test accuracy after the last epoch.
Bellec et al. 2018 report LSTMs on TIMIT, which is not free.
"""
METHODS = ("DEEP R", "SET", "fixed sparse", "dense")


def run(this: Run) -> Results:
    training.start(this.seed)
    part = vowels(this) if this["data"] == "japanese_vowels" else rows(this)
    sparse = this["method"] != "dense"
    options = {"density": this["density"], "seed": training.counter(this.seed, 0)} if sparse else {}
    layer = ks.SparseLSTM if sparse else keras.layers.LSTM
    model = keras.Sequential(
        [
            keras.Input(part.x_train.shape[1:]),
            keras.layers.Masking(),
            layer(this["units"], **options),
            keras.layers.Dense(part.classes, activation="softmax"),
        ]
    )
    rewires = {
        "DEEP R": ks.Rewire(ks.DeepR(l1=1e-5, temperature=1e-10)),
        "SET": ks.Rewire(ks.SET(ks.Cosine(0.3, end=0.75)), every=100),
    }
    rewire = rewires.get(this["method"])
    rate = training.cosine(this["rate"], training.steps(part, this["batch"], this["epochs"]))
    training.fit(
        model,
        part,
        optimizer=keras.optimizers.SGD(rate, clipnorm=1.0),
        batch=this["batch"],
        epochs=this["epochs"],
        progress=this.progress,
        callbacks=[] if rewire is None else [rewire],
    )
    return training.summary(model, part, rewire)


def vowels(this: Run) -> data.Data:
    """Return the utterances, scaled by the training part; where they have ended frames stay zero."""
    file = data.archive("japanese_vowels", this.data_dir)
    real = np.arange(file["x_train"].shape[1])[None, :] < file["length_train"][:, None]
    mean, deviation = file["x_train"][real].mean(0), file["x_train"][real].std(0)

    def scaled(name: str) -> NDArray[np.float32]:
        x, length = file[f"x_{name}"], file[f"length_{name}"]
        real = np.arange(x.shape[1])[None, :] < length[:, None]
        return np.where(real[..., None], (x - mean) / deviation, 0).astype("float32")

    y_train, y_test = (np.unique(file[f"y_{name}"], return_inverse=True)[1] for name in ("train", "test"))
    return data.Data(scaled("train"), y_train, scaled("test"), y_test)


def rows(this: Run) -> data.Data:
    """Return MNIST's pictures as sequences of rows; shifted, so that empty rows are not masked."""
    part = data.images("mnist", this.data_dir)
    x_train, x_test = (x.reshape(-1, 28, 28) - np.float32(0.1) for x in (part.x_train, part.x_test))
    return part._replace(x_train=x_train, x_test=x_test)


VOWELS = {"data": "japanese_vowels", "units": 128, "batch": 30, "epochs": 150, "rate": 0.5}
MNIST = {"data": "mnist", "units": 256, "batch": 100, "epochs": 10, "rate": 0.5}
EXPERIMENT = Experiment(
    name="sequences",
    title="Sparse LSTMs on sequences",
    protocol=PROTOCOL,
    settings=[
        Setting(f"{title}, {method} {density:.0%}" if method != "dense" else f"{title}, dense", parameters)
        for title, common in (("Japanese vowels", VOWELS), ("MNIST by rows", MNIST))
        for density in (0.1, 0.05, 0.02)
        for method in METHODS
        if method != "dense" or density == 0.1
        for parameters in [{"method": method, **common, **({"density": density} if method != "dense" else {})}]
    ],
    run=run,
    columns={"accuracy": "test accuracy, %", "connections": "connections", "explored": "R_s, %"},
)
