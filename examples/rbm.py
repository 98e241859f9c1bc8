# %% [markdown]
"""
# A restricted Boltzmann machine: features without labels

A sparse RBM learns the handwritten digits (8 x 8 pixels, black or white) without their labels. SET moves its
connections while it learns. Then: how probable it finds unseen digits, what it dreams of, and how much its features
help a classifier that has few labels.
"""

# %%
import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import keras_sparse as ks

# %%
parser = argparse.ArgumentParser(description="A sparse restricted Boltzmann machine on handwritten digits.")
parser.add_argument("--epochs", type=int, default=100, help="default: 100")
parser.add_argument("--density", type=float, default=0.1, help="default: 0.1")
parser.add_argument("--temperatures", type=int, default=1000, help="of annealing, for log p (default: 1000)")
parser.add_argument("--seed", type=int, default=1, help="default: 1")
options = parser.parse_args()
keras.utils.set_random_seed(options.seed)

x, y = load_digits(return_X_y=True)
x = (x > 7).astype("float32")
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)

# %% [markdown]
# Visible biases that start at the pixels' means make learning faster. Contrastive divergence wants plain SGD.
# %%
means = (x_train.sum(axis=0) + 1) / (len(x_train) + 2)
rbm = ks.RBM(
    200,
    density=options.density,
    cd=5,
    visible_bias_initializer=keras.initializers.Constant(np.log(means / (1 - means))),
)
rbm.compile(keras.optimizers.SGD(0.1, momentum=0.5))
rbm.fit(x_train, epochs=options.epochs, batch_size=20, callbacks=[ks.Rewire(ks.SET(zeta=0.2))], verbose=0)
print(ks.inspect(rbm))

# %% [markdown]
# The mean log-probability of a digit, by annealed importance sampling, beside that of pixels that know nothing of each
# other.
# %%
independent = (x_test * np.log(means) + (1 - x_test) * np.log(1 - means)).sum(axis=1).mean()
found = rbm.log_probability(x_test, data=x_train, temperatures=options.temperatures)
print(
    f"log p of a test digit: {found.value:.1f} +- {found.standard_error:.1f} nats, independent pixels {independent:.1f}"
)

# %% [markdown]
# Samples: chains that start from noise.
# %%
for rows in zip(*(sample.reshape(8, 8) for sample in rbm.sample(8)), strict=True):
    print("   ".join("".join("#" if pixel else "." for pixel in row) for row in rows))

# %% [markdown]
# Features for a classifier that sees the labels of 100 digits only.
# %%
few = slice(100)
for name, features in {"pixels": lambda a: a, "hidden units": lambda a: rbm.predict(a, verbose=0)}.items():
    classifier = LogisticRegression(max_iter=2000).fit(features(x_train[few]), y_train[few])
    print(f"test accuracy with 100 labels, from {name}: {classifier.score(features(x_test), y_test):.3f}")
