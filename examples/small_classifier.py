# %% [markdown]
"""
# An image classifier of less than 50 KB for LiteRT

Sparse convolutions learn the handwritten digits; the network is written as a LiteRT file of stock operations, as phones
run it, and its interpreter is compared with Keras.

`--data FILE.npz` takes other grey images (`x_train` [n, height, width], `y_train`, `x_test`, `y_test`), such as MNIST.
"""

# %%
import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_sparse as ks

# %%
parser = argparse.ArgumentParser(description="A sparse convolutional network as a LiteRT file under 50 KB.")
parser.add_argument("--data", help="an .npz file with x_train, y_train, x_test and y_test (default: digits)")
parser.add_argument("--epochs", type=int, default=30, help="default: 30")
parser.add_argument("--density", type=float, default=0.1, help="of the two larger convolutions (default: 0.1)")
parser.add_argument("--seed", type=int, default=1, help="default: 1")
parser.add_argument("--output", type=Path, help="where to write the .tflite file (default: a temporary folder)")
options = parser.parse_args()
keras.utils.set_random_seed(options.seed)

if options.data is None:
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x.reshape(-1, 8, 8), y, test_size=0.25, random_state=0, stratify=y
    )
else:
    with np.load(options.data) as arrays:
        x_train, y_train, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
brightest = float(x_train.max())
x_train, x_test = (part.astype("float32").reshape(*part.shape[:3], 1) / brightest for part in (x_train, x_test))
classes = int(y_train.max()) + 1

# %% [markdown]
# Three convolutions, the larger two with a tenth of their weights, and the average of every channel.
# %%
relu = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
model = keras.Sequential(
    [
        keras.Input(x_train.shape[1:]),
        ks.SparseConv2D(16, 3, density=0.5, **relu),
        ks.SparseConv2D(64, 3, strides=2, density=options.density, **relu),
        ks.SparseConv2D(80, 3, strides=2, density=options.density, **relu),
        keras.layers.GlobalAveragePooling2D(),
        ks.SparseDense(classes, density=0.5, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=options.epochs, batch_size=32, callbacks=[ks.Rewire(ks.SET(zeta=0.2))], verbose=0)
report = ks.inspect(model)
print(report)

# %% [markdown]
# `ks.export` writes stock operations, so the interpreter needs nothing of Keras Sparse. Weights become float16; what is
# stored are the connections and their places, not the zeros between them.
# %%
folder = Path(tempfile.mkdtemp())
written = ks.export(
    model,
    options.output or folder / "classifier.tflite",
    format="litert",
    prefer="size",
    quantize="float16",
    overwrite=True,
)
weights = sum(junction.shape[0] * junction.shape[1] for junction in report.junctions)
print(f"{written.path}: {written.bytes / 1000:.1f} KB")
print(f"a dense twin has {weights:,} weights: {weights * 2 / 1000:.1f} KB in float16")
if written.bytes >= 50_000:
    raise SystemExit("The file has 50 KB or more: choose a smaller --density.")

# %% [markdown]
# The interpreter, on every test image, beside Keras.
# %%
interpreter = tf.lite.Interpreter(model_path=str(written.path))
interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x_test.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x_test)
interpreter.invoke()
answers = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
difference = np.abs(answers - model.predict(x_test, verbose=0)).max()
accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
print(f"test accuracy: Keras {accuracy:.3f}, LiteRT {(answers.argmax(axis=1) == y_test).mean():.3f}")
print(f"largest difference of a probability: {difference:.1e}")
if difference > 0.01:
    raise SystemExit("LiteRT and Keras disagree by more than float16 explains.")
