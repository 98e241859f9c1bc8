# %% [markdown]
"""Train a network with 5 % of the connections of its dense twin, rewired by SET, and export it for serving."""

# %%
import tempfile
from pathlib import Path

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_sparse as ks

keras.utils.set_random_seed(1)
x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x / 16.0, y, test_size=0.25, random_state=0, stratify=y)

# %%
model = keras.Sequential(
    [
        keras.Input((64,)),
        ks.SparseDense(512, density=0.05, activation="relu", kernel_initializer="he_normal"),
        ks.SparseDense(10, density=0.15, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

# %%
rewire = ks.Rewire(ks.SET(zeta=0.2))  # list it before checkpoint callbacks
model.fit(x_train, y_train, epochs=60, batch_size=32, callbacks=[rewire], verbose=0)

# %%
print(ks.inspect(model))
print(f"test accuracy {model.evaluate(x_test, y_test, verbose=0)[1]:.3f}")
print(f"share of all positions tried: {rewire.history[-2]['explored']:.2f}")

# %%
folder = Path(tempfile.mkdtemp())
model.save(folder / "digits.keras")  # topology and optimizer included
model.export(str(folder / "saved_model"), verbose=False)  # stock TensorFlow operations only
print(f"saved in {folder}")
