"""Training on arrays, with less to do around the steps than `Model.fit` has, and shuffled anew in every epoch.

Small networks on little data spend most of their time there: Keras has TensorFlow plan its pipeline anew twice an epoch
(the plain one here starts three times as fast), and the first step is traced twice, since it makes variables.

And after `keras.utils.set_random_seed` every epoch of `Model.fit` on arrays has the same batches in the same order
(Keras 3.15: the operation that shuffles starts from its seed again with every iterator), which costs accuracy.
"""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_sparse as ks

_UNDERSTOOD = {
    "batch_size",
    "callbacks",
    "epochs",
    "validation_batch_size",
    "validation_data",
    "verbose",
}
_BATCH_SIZE = 32  # Keras' own default
_AHEAD = 2
_FEW = 20_000
"""Up to so many examples their numbers are shuffled one by one: that starts faster, but each of them has its price."""


def fit(model: keras.Model, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
    """`Model.fit`: the same training, but for the order of the examples, which Python's random numbers decide.

    TensorFlow's have a part in it; `keras.utils.set_random_seed` seeds both. What is more than arrays (weights of
    examples or classes, too), models with code of their own, `ks.Backup`, which counts on Keras' order, and other
    backends than TensorFlow are left to `Model.fit` and its order. The optimizer is built before callbacks begin.

    Args:
        model: A compiled network.
        x: Features [examples, ...].
        y: Targets [examples, ...].
        kwargs: As for `Model.fit`.

    Returns:
        What `Model.fit` returns.
    """
    trainer: Any = model
    validation = kwargs.get("validation_data")
    pairs = [(x, y)] if validation is None else [(x, y), validation]
    plain = all(map(_is_plain, pairs)) and not kwargs.keys() - _UNDERSTOOD
    backup = any(isinstance(callback, ks.Backup) for callback in keras.tree.flatten(kwargs.get("callbacks") or []))
    if not plain or backup or not _is_ordinary(model):
        return trainer.fit(x, y, **kwargs)
    make_variables(model, x[:2], y[:2])
    size = kwargs.pop("batch_size", None) or _BATCH_SIZE
    at_once = kwargs.pop("validation_batch_size", None) or size
    if validation is not None:
        kwargs["validation_data"] = batches(validation[0], validation[1], at_once)
    data = batches(x, y, size, seed=random.getrandbits(31))
    # Told the number of steps, Keras starts the pipeline once an epoch; otherwise twice.
    return trainer.fit(data, steps_per_epoch=len(data), shuffle=False, **kwargs)


def batches(x: np.ndarray, y: np.ndarray, size: int, *, seed: int | None = None) -> tf.data.Dataset:
    """Batches of (x, y), in another order every time.

    Args:
        x: Features [examples, ...].
        y: Targets [examples, ...].
        size: Examples in a batch; the last may have fewer.
        seed: Of the order. None: as they come, every time.
    """
    with tf.device("CPU"):  # where pipelines run; not in the memory of a GPU
        parts = tuple(map(_tensor, (x, y)))
    if seed is None:
        dataset = tf.data.Dataset.from_tensor_slices(parts).batch(size)
    else:  # only numbers are shuffled: a buffer of examples would hold all of them once more
        dataset = _orders(len(x), size, seed).map(lambda rows: tuple(tf.gather(part, rows) for part in parts))
    options = tf.data.Options()
    options.autotune.enabled = False  # neither has anything to gain here, and both take time whenever it starts
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.prefetch(_AHEAD).with_options(options)


def _orders(n: int, size: int, seed: int) -> tf.data.Dataset:
    """Batches of the numbers below n, in another order every time."""
    if n <= _FEW:
        return tf.data.Dataset.range(n).shuffle(n, seed=seed).batch(size)
    whole = n // size * size

    def order(draw: tf.Tensor) -> tf.Tensor:
        return tf.argsort(tf.random.stateless_uniform([n], tf.stack([draw, seed]), dtype=tf.float64))

    def parts(numbers: tf.Tensor) -> tf.data.Dataset:
        full = tf.data.Dataset.from_tensor_slices(tf.reshape(numbers[:whole], [-1, size]))
        return full.concatenate(tf.data.Dataset.from_tensors(numbers[whole:])) if whole < n else full

    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
    return draws.map(order).flat_map(parts).apply(tf.data.experimental.assert_cardinality(-(-n // size)))


def make_variables(model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Makes the optimizer's and the metrics' variables, which the first step would have made.

    Args:
        model: A compiled network.
        x: Features of an example or two [n, ...].
        y: Their targets [n, ...].
    """
    trainer: Any = model
    trainer.optimizer.build(trainer.trainable_variables)
    features, targets = map(_tensor, (x, y))
    trainer.compute_metrics(features, targets, trainer(features, training=False))
    trainer.reset_metrics()


def _is_ordinary(model: Any) -> bool:
    """Whether a model is what Keras' own training takes a batch of any size to, from one input to one output."""
    if keras.backend.backend() != "tensorflow" or not (model.built and model.compiled and model.optimizer is not None):
        return False
    tensors = [*(getattr(model, "inputs", None) or ()), *(getattr(model, "outputs", None) or ())]
    methods = ("fit", "train_step", "compute_metrics")
    own = any(getattr(type(model), name) is not getattr(keras.Model, name) for name in methods)
    # Where it was compiled is where its variables must be made.
    here = model.distribute_strategy is tf.distribute.get_strategy()
    return len(tensors) == 2 and all(tensor.shape[0] is None for tensor in tensors) and here and not own


def _is_plain(pair: Any) -> bool:
    """Whether it is two arrays of as many examples, at least one."""
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(part, np.ndarray) for part in pair):
        return False
    x, y = pair
    return x.ndim > 0 and y.ndim > 0 and 0 < len(x) == len(y)


def _tensor(part: np.ndarray) -> tf.Tensor:
    """As a tensor: numbers with a point in Keras' type, converted by NumPy, which takes less memory; others as is."""
    if np.issubdtype(part.dtype, np.floating):
        part = part.astype(tf.as_dtype(keras.config.floatx()).as_numpy_dtype, copy=False)
    return tf.constant(part)
