"""The trainings of one search at five sizes: networks of the search, and the dense network beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_sparse.search import data as data_module
from keras_sparse.search import feeding
from keras_sparse.search.data import Dataset
from keras_sparse.search.hypermodel import SparseHyperModel, cosine
from keras_sparse.search.placing import informative
from keras_sparse.search.space import MLPSpace

import keras_sparse as ks


def validate(data: Dataset, space: MLPSpace, values: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Train on the training part, "longer" times `epochs`; the last epoch, as with all of the data."""
    network, (_, validation, _) = _trained(data, space, values, epochs)
    return {"validation": _accuracy(network, validation), "parameters": ks.inspect(network).parameters}


def test(data: Dataset, space: MLPSpace, values: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Train on the training and the validation part."""
    network, (_, _, test) = _trained(whole(data), space, values, epochs)
    return {"test": _accuracy(network, test), "parameters": ks.inspect(network).parameters}


def _trained(data: Dataset, space: MLPSpace, values: Mapping[str, Any], epochs: int) -> tuple[keras.Model, list[Any]]:
    parts = _parts(data)
    (x, y), _, _ = parts
    hypermodel = SparseHyperModel(
        space,
        n_in=x.shape[1],
        n_out=10,
        task="classification",
        n_train=len(y),
        informative=informative(x),
        grid=(28, 28),
    )
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    hp = keras_tuner.HyperParameters()
    hp.values = {name: value for name, value in values.items() if name != "longer"}
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, epochs=epochs * values.get("longer", 1), verbose=0)
    return hypermodel.finished(model), parts


def rival(data: Dataset, size: int, epochs: int) -> dict[str, Any]:
    """A dense network on averages of 2×2 pixels."""
    (x, y), _, (x_test, y_test) = _parts(whole(data))
    x, x_test = (pooled(part) for part in (x, x_test))
    width = max(1, (size - 10) // (x.shape[1] + 11))
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    hidden = [
        layers.Dense(width, kernel_initializer="he_normal"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    ]
    model: Any = keras.Sequential([keras.Input(x.shape[1:]), *hidden, layers.Dense(10, activation="softmax")])
    rate: Any = cosine(1e-2, epochs * math.ceil(len(y) / 128))
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], steps_per_execution=50
    )
    feeding.fit(model, x, y, batch_size=128, epochs=epochs, verbose=0)
    return {"test": _accuracy(model, (x_test, y_test)), "parameters": width * (x.shape[1] + 11) + 10}


def whole(data: Dataset) -> Dataset:
    """The data with the validation part in the training part."""
    x, y = (np.concatenate([getattr(data, f"{k}_train"), getattr(data, f"{k}_val")]) for k in ("x", "y"))
    return dataclasses.replace(data, x_train=x, y_train=y)


def _parts(data: Dataset) -> list[Any]:
    preprocessing = data_module.fit(data, shared=True)
    raw = ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test))
    return [(preprocessing.features(x), preprocessing.target(y)) for x, y in raw]


def pooled(x: Any) -> Any:
    return x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(x), -1)


def _accuracy(model: Any, part: Any) -> float:
    return float(model.evaluate(*part, batch_size=1024, verbose=0, return_dict=True)["accuracy"])
