"""What f_c is in units of: the cost of the largest network of a space.

For connections, bytes and FLOPs it follows from the space where the space says so. Seconds have to be measured: of the
network at the upper end of every range, once, before the first trial; `run.json` keeps them for a resumed run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras
import keras_tuner

from . import measures
from .encoding import Encoding
from .seeds import trial_seed

_EPOCHS = 2


def largest(
    hypermodel: Any,
    name: str,
    *,
    seed: int,
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    values: Mapping[str, Any] = MappingProxyType({}),
) -> float:
    """The cost of the network at the upper end of every range of the space.

    Args:
        hypermodel: Declares and builds it.
        name: One of `measures.NAMES`.
        values: Hyperparameters that have a large network elsewhere, such as strides.
        seed: The seed of the search.
        train: Training data x, y; used for the training time, of which two epochs are run.
        validation: Validation data x, y.
    """
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    encoding = Encoding(hp.space)
    hp.values = {**encoding.decode([1.0] * encoding.size), **values}
    keras.utils.clear_session()
    keras.utils.set_random_seed(trial_seed(seed, 0))
    model = hypermodel.build(hp)
    if name in measures.STATIC:
        return measures.static(model)[name]
    if name == "latency":
        return measures.latency(hypermodel.finished(model) if hasattr(hypermodel, "finished") else model)
    times = measures.EpochTimes()
    hypermodel.fit(hp, model, *train, validation_data=validation, epochs=_EPOCHS, callbacks=[times], verbose=0)
    return times.train_time()
