"""A model built anew from its configuration, as `ks.resize` and `ks.sparsify` need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from .junctions import layers

Config = dict[str, Any]


def rebuilt(model: keras.Model, edit: Callable[[Config], Config] | None = None) -> Any:
    """Return the model that the configuration of `model` describes, with fresh weights and not compiled.

    Layers that are used several times, also in nested models, are made once.

    Args:
        model: a built model.
        edit: is shown every serialized object within, and returns it or what shall take its place.
    """
    kinds = {type(layer) for layer in layers(model)}
    # Classes that nobody registered. Keras has layers and operations of one name, and finds its own.
    scope = {kind.__name__: kind for kind in kinds if not kind.__module__.startswith("keras.")}
    with keras.saving.CustomObjectScope(scope), _sharing():
        config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    if edit is not None:
        config = _edited(config, edit)
    with keras.saving.CustomObjectScope(scope), _sharing():
        return keras.saving.deserialize_keras_object(config, safe_mode=False)


def compile_config(model: keras.Model) -> Config:
    """Return how `model` is compiled, with its optimizer, which Keras forgets when it saves a model as .h5."""
    config: Any = model.get_compile_config() or {}
    return {"optimizer": keras.saving.serialize_keras_object(model.optimizer), **config}


def _edited(value: Any, edit: Callable[[Config], Config]) -> Any:
    if isinstance(value, dict):
        if "class_name" in value and isinstance(value.get("config"), dict):
            value = edit(value)
        return {key: _edited(part, edit) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_edited(part, edit) for part in value)
    return value


def _sharing() -> Any:
    """Return Keras' scope within which a layer used in several models is made once; files are read in it, too."""
    from keras.src.saving.serialization_lib import ObjectSharingScope

    return ObjectSharingScope()
