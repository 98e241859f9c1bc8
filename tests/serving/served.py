"""Models that tests export, and processes that know nothing of them."""

import subprocess
import sys

import keras
import numpy as np

import keras_sparse as ks

SERVE = """
import sys
import numpy as np, tensorflow as tf
sys.modules["keras_sparse"] = sys.modules["keras"] = None
for folder, questions, answers in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    loaded = tf.saved_model.load(folder)
    with np.load(questions) as inputs:
        tensors = {name: tf.constant(inputs[name]) for name in inputs.files}
    np.save(answers, loaded.signatures["serving_default"](**tensors)["output_0"])
"""


def mlp():
    return keras.Sequential(
        [
            keras.Input((60,), name="x"),
            ks.SparseDense(80, density=0.05, activation="relu"),
            keras.layers.BatchNormalization(),
            ks.SparseDense(40, density=0.5),
            ks.SReLU(),
            ks.SparseDense(5, density=0.3, activation="softmax"),
        ]
    )


def conv():
    return keras.Sequential(
        [
            keras.Input((9, 9, 4), name="x"),
            ks.SparseConv2D(12, 3, density=0.1, activation="relu", padding="same", strides=2),
            ks.SparseConv2D(8, 1, density=0.3),
            keras.layers.GlobalAveragePooling2D(),
            ks.SparseDense(3, density=0.5),
        ]
    )


def lstm():
    return keras.Sequential(
        [keras.Input((7, 6), name="x"), ks.SparseLSTM(20, density=0.3, recurrent_density=0.2), ks.SparseDense(3)]
    )


def gru():
    return keras.Sequential(
        [keras.Input((None, 6), name="x"), ks.SparseGRU(20, density=0.3, recurrent_density=0.2), ks.SparseDense(3)]
    )


def attention():
    x = keras.Input((6, 16), name="x")
    return keras.Model(x, ks.SparseMultiHeadAttention(2, 8, density=0.3)(x, x))


def rbm():
    model = ks.RBM(30, density=0.2)
    model.build((None, 50))
    return model


MODELS = {"mlp": mlp, "conv": conv, "lstm": lstm, "gru": gru, "attention": attention, "rbm": rbm}
SHAPES = {"mlp": (60,), "conv": (9, 9, 4), "lstm": (7, 6), "gru": (11, 6), "attention": (6, 16), "rbm": (50,)}


def made(name):
    """Return a model, 1,000 random inputs and what it answers to them."""
    model = MODELS[name]()
    x = np.random.default_rng(1).normal(size=(1000, *SHAPES[name])).astype("float32")
    if name == "rbm":
        x = 1 / (1 + np.exp(-x))
    return model, x, model.predict(x, verbose=0, batch_size=250)


def elsewhere(tmp_path, asked):
    """Return {folder: answer} for {folder: inputs}, of SavedModels in one process that imports TensorFlow only."""
    arguments = []
    for number, (folder, inputs) in enumerate(asked.items()):
        np.savez(tmp_path / f"{number}.npz", **inputs)
        arguments += [str(folder), str(tmp_path / f"{number}.npz"), str(tmp_path / f"{number}.npy")]
    run = subprocess.run([sys.executable, "-c", SERVE, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {folder: np.load(tmp_path / f"{number}.npy") for number, folder in enumerate(asked)}
