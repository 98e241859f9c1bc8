# %% [markdown]
"""
# Sequences: a sparse LSTM that has to remember

The temporal order problem (Hochreiter and Schmidhuber 1997, section 5.6): among distracting symbols, two marked ones
come, each an X or a Y, at places that vary. The class is their order: XX, XY, YX or YY. The network has to carry the
first one over the distractors. A sparse LSTM learns it with a tenth of the connections.

`--data FILE.npz` takes other sequences: `x` [samples, steps, features], padded at the end, `length` [samples] where
they differ, and `y` [samples]; or `x_train`, `length_train`, `y_train` and `x_test`, `length_test`, `y_test`.
"""

# %%
import argparse

import keras
import numpy as np
from sklearn.model_selection import train_test_split

import keras_sparse as ks

# %%
parser = argparse.ArgumentParser(description="A sparse LSTM on sequences.")
parser.add_argument("--data", help="an .npz file with x, y and optionally length (default: a synthetic set)")
parser.add_argument("--epochs", type=int, default=10, help="default: 10")
parser.add_argument("--units", type=int, default=128, help="default: 128")
parser.add_argument("--density", type=float, default=0.1, help="of both kernels (default: 0.1)")
parser.add_argument("--seed", type=int, default=1, help="default: 1")
options = parser.parse_args()
keras.utils.set_random_seed(options.seed)


# %% [markdown]
# Eight symbols, one-hot: four distractors, begin, end, X and Y; between 40 and 60 steps.
# %%
def temporal_order(samples=3000, longest=60, seed=0):
    rng = np.random.default_rng(seed)
    length = rng.integers(40, longest + 1, samples)
    symbols = rng.integers(0, 4, (samples, longest))
    rows = np.arange(samples)
    marks = rng.integers(0, 2, (samples, 2))
    symbols[:, 0] = 4
    symbols[rows, rng.integers(2, 12, samples)] = 6 + marks[:, 0]
    symbols[rows, rng.integers(20, 30, samples)] = 6 + marks[:, 1]
    symbols[rows, length - 1] = 5
    x = np.eye(8, dtype="float32")[symbols]
    x[np.arange(longest) >= length[:, None]] = 0
    return x, length, 2 * marks[:, 0] + marks[:, 1]


def read(arrays, part=""):
    x, y = arrays["x" + part].astype("float32"), arrays["y" + part].ravel().astype(int)
    name = "length" + part
    return x, arrays[name].ravel() if name in arrays else np.full(len(x), x.shape[1]), y


arrays = {} if options.data is None else dict(np.load(options.data))
if "x_train" in arrays:
    x_train, length_train, y_train = read(arrays, "_train")
    x_test, length_test, y_test = read(arrays, "_test")
else:
    x, length, y = read(arrays) if arrays else temporal_order()
    x_train, x_test, length_train, length_test, y_train, y_test = train_test_split(
        x, length, y, test_size=0.25, random_state=0, stratify=y
    )
shape, classes = x_train.shape[1:], int(y_train.max()) + 1
real = np.arange(shape[0]) < length_train[:, None]
mean, scale = x_train[real].mean(axis=0), x_train[real].std(axis=0) + 1e-6  # of the training part, without padding

# %% [markdown]
# The mask tells the LSTM which steps are real. `density` is that of the weights from the inputs, `recurrent_density`
# that of the weights from step to step; `Rewire` moves both.
# %%
steps = keras.Input(shape, name="x")
mask = keras.Input(shape[:1], dtype="bool", name="mask")
hidden = ks.SparseLSTM(options.units, density=options.density, recurrent_density=options.density, name="lstm")
outputs = keras.layers.Dense(classes, activation="softmax")(hidden(steps, mask=mask))
model = keras.Model([steps, mask], outputs)
model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])


def inputs(x, length):
    return [(x - mean) / scale, np.arange(x.shape[1]) < length[:, None]]


rewire = ks.Rewire(ks.SET(zeta=0.2))
model.fit(inputs(x_train, length_train), y_train, epochs=options.epochs, batch_size=32, callbacks=[rewire], verbose=0)

# %%
print(ks.inspect(model))
guessing = np.bincount(y_test).max() / len(y_test)
accuracy = model.evaluate(inputs(x_test, length_test), y_test, verbose=0)[1]
print(f"test accuracy {accuracy:.3f}, guessing {guessing:.3f}")
for layer, tried in ks.analysis.explored(rewire).items():
    print(f"{layer}: {tried.share[-1]:.2f} of all positions were tried")
