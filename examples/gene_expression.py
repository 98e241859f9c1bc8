# %% [markdown]
"""
# Gene expression: find the few inputs that matter among thousands

A sparse network on 5,000 genes of which 50 differ between four classes. Every hidden unit looks at 0.5 % of the genes.
RigL moves these connections to where the gradient is largest, so genes that tell classes apart gather connections:
the network finds its features while it trains. The dense network beside it has the same shape, data, optimizer,
penalty and number of epochs.

`--data FILE.npz` takes a real set instead (`x` [samples, genes], `y` [samples]), such as a microarray.
"""

# %%
import argparse

import keras
import numpy as np
from sklearn.model_selection import train_test_split

import keras_sparse as ks

# %%
parser = argparse.ArgumentParser(description="Sparse against dense on gene expression, and which genes were found.")
parser.add_argument("--data", help="an .npz file with x and y (default: a synthetic set)")
parser.add_argument("--epochs", type=int, default=120, help="default: 120")
parser.add_argument("--density", type=float, default=0.005, help="of the first junction (default: 0.005)")
parser.add_argument("--seed", type=int, default=1, help="default: 1")
options = parser.parse_args()
keras.utils.set_random_seed(options.seed)


# %% [markdown]
# The synthetic set: genes go up and down together in 50 groups, as in a cell, whatever the class. In each class some of
# the 50 informative genes are shifted by one and a half standard deviations.
# %%
def synthetic(samples=400, genes=5000, informative=50, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=samples)
    groups = rng.normal(size=(samples, 50)) @ rng.normal(scale=0.15, size=(50, genes))
    x = groups + rng.normal(size=(samples, genes))
    chosen = rng.choice(genes, informative, replace=False)
    shift = np.zeros((classes, informative))
    shift[np.arange(informative) % classes, np.arange(informative)] = rng.choice([-1.5, 1.5], informative)
    x[:, chosen] += shift[y]
    return x.astype("float32"), y, np.sort(chosen)


if options.data is None:
    x, y, informative = synthetic()
else:
    with np.load(options.data) as arrays:
        x, y, informative = arrays["x"].astype("float32"), arrays["y"].ravel(), None
    y = np.unique(y, return_inverse=True)[1]

x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, random_state=0, stratify=y)
mean, scale = x_train.mean(axis=0), x_train.std(axis=0) + 1e-6  # of the training part alone
x_train, x_test = (x_train - mean) / scale, (x_test - mean) / scale
genes, classes = x.shape[1], int(y.max()) + 1
print(f"{len(x_train)} samples to train on, {len(x_test)} to test, {genes} genes, {classes} classes")


# %% [markdown]
# Two networks of one shape. The L1 penalty lets connections to genes without information fade, so that RigL takes them.
# %%
def trained(first, callbacks=()):
    model = keras.Sequential([keras.Input((genes,)), first, keras.layers.Dense(classes, activation="softmax")])
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=options.epochs, batch_size=16, callbacks=list(callbacks), verbose=0)
    return model, model.evaluate(x_test, y_test, verbose=0)[1]


settings = {"activation": "relu", "kernel_regularizer": keras.regularizers.L1(1e-3), "name": "genes"}
dense, dense_accuracy = trained(keras.layers.Dense(100, **settings))
rewire = ks.Rewire(ks.RigL(alpha=0.3), every=10)
model, accuracy = trained(ks.SparseDense(100, density=options.density, **settings), [rewire])

report = ks.inspect(model)
print(report)
guessing = np.bincount(y_test).max() / len(y_test)
print(f"test accuracy: sparse {accuracy:.3f}, dense {dense_accuracy:.3f}, guessing {guessing:.3f}")

# %% [markdown]
# Which genes does the network look at? `input_map` counts connections per input; `input_importance` follows the weights
# to the outputs, and ranks better.
# %%
kept = ks.analysis.input_map(model)
importance = ks.analysis.input_importance(model)
ranking = np.argsort(-importance, kind="stable")
print(f"{np.count_nonzero(kept)} of {genes} genes have connections, from 1 to {kept.max()} each")
print("most important genes:", ", ".join(f"{gene} ({kept[gene]} connections)" for gene in ranking[:10]))
if informative is not None:

    def recovered(network):
        most = np.argsort(-ks.analysis.input_importance(network), kind="stable")[: len(informative)]
        return np.isin(informative, most).mean()

    others = np.delete(kept, informative)
    print(f"connections per gene: informative {kept[informative].mean():.2f}, others {others.mean():.2f}")
    print(
        f"informative genes among the {len(informative)} most important: sparse {recovered(model):.2f}, "
        f"dense {recovered(dense):.2f}, by chance {len(informative) / genes:.2f}"
    )
