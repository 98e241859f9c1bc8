"""Experiment 4: pre-defined sparsity: large and sparse, structured or random, dense early or late."""

from __future__ import annotations

import keras

import keras_sparse as ks

from . import data, training
from .experiment import Experiment, Results, Run, Setting

PROTOCOL = """
Dey et al. 2019. Connections are chosen before training and stay. Adam 1e-3, batch 256, 50 epochs, He initialisation,
ReLU, L2 8e-6; "structured": every unit of a layer has the same in-degree and every unit before it the same
out-degree, so a junction's density is a multiple of 1 / gcd(n_in, n_out). MNIST (784, x, x, x, 10) at about 11,400
weights; (784, 100, 10); Reuters word counts, 2000 words in 31 classes, as log(1 + count) (our own tokenisation and
split; theirs differ). Test accuracy after the last epoch.
"""


def run(this: Run) -> Results:
    training.start(this.seed)
    parts = data.images("mnist", this.data_dir) if this["data"] == "mnist" else data.counts(this["data"], this.data_dir)
    pattern = {"structured": lambda: ks.Structured(), "random": ks.Random, "dense": ks.Random}[this["pattern"]]()
    model = training.mlp(
        this["sizes"],
        [None if density == 1 else density for density in this["densities"]],
        seed=this.seed,
        pattern=pattern,
        regularizer=keras.regularizers.L2(8e-6),
    )
    training.fit(
        model,
        parts,
        optimizer=keras.optimizers.Adam(1e-3),
        batch=256,
        epochs=this["epochs"],
        progress=this.progress,
        steps_per_execution=20,
    )
    return training.summary(model, parts)


def setting(
    name: str,
    sizes: list[int],
    fractions: list[tuple[int, int]],
    pattern: str,
    published: str = "",
    data: str = "mnist",
) -> Setting:
    """Return a setting; `fractions` are the densities, (numerator, denominator)."""
    densities = [a / b for a, b in fractions]
    parameters = {"data": data, "sizes": sizes, "densities": densities, "pattern": pattern, "epochs": 50}
    return Setting(f"{name}, {pattern}", parameters, published)


FULL = (1, 1)
WIDTHS = {
    28: [(14, 28), (14, 28), (14, 28), (1, 2)],
    56: [(12, 56), (12, 56), (12, 56), FULL],
    112: [(11, 112), (10, 112), (10, 112), (1, 2)],
    224: [(4, 112), (9, 224), (9, 224), (1, 2)],
}
# The same 11,424 weights as x = 112, spent elsewhere.
EARLY = [(13, 112), (3, 112), (3, 112), (1, 2)]
LATE = [(8, 112), (18, 112), (18, 112), FULL]
BEST = {112: "best of all x", 224: "slightly below x = 112"}


def _settings() -> list[Setting]:
    rows = [setting("x = 14", [784, 14, 14, 14, 10], [FULL] * 4, "dense")]
    for x, fractions in WIDTHS.items():
        sizes = [784, x, x, x, 10]
        rows += [
            setting(f"x = {x}", sizes, fractions, "structured", BEST.get(x, "")),
            setting(f"x = {x}", sizes, fractions, "random"),
        ]
    wide, late = [784, 112, 112, 112, 10], "better than early"
    short, half, fifth = [784, 112, 10], [(56, 112), FULL], [(22, 112), FULL]
    words, tenth = [2000, 50, 31], [(10, 50), FULL]
    near, reuters = "within 1 point of dense", "reuters_counts"
    return [
        *rows,
        setting("x = 112, early dense", wide, EARLY, "structured"),
        setting("x = 112, late dense", wide, LATE, "structured", late),
        setting("MNIST 784-112-10", short, [FULL, FULL], "dense", "98.09"),
        setting("MNIST 51 %", short, half, "structured", "97.97"),
        setting("MNIST 21 %", short, fifth, "structured", near),
        setting("MNIST 21 %", short, fifth, "random"),
        setting("Reuters 2000-50-31", words, [FULL, FULL], "dense", data=reuters),
        setting("Reuters 21 %", words, tenth, "structured", near, reuters),
        setting("Reuters 21 %", words, tenth, "random", data=reuters),
    ]


EXPERIMENT = Experiment(
    name="predefined",
    title="Pre-defined sparsity: structure, width, early or late",
    protocol=PROTOCOL,
    settings=_settings(),
    run=run,
    columns={"accuracy": "test accuracy, %", "connections": "connections", "density": "density, %"},
)
