"""What a served model can be asked: functions with named inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from .. import junctions

Tensor = Any
DEFAULT = "serving_default"
FEATURES = "features"


class Endpoint(NamedTuple):
    """A signature.

    Attributes:
        name: of the signature.
        call: takes inputs of the structure of `specs`.
        specs: InputSpecs, as a dict, a list or one; any batch size.
    """

    name: str
    call: Callable[[Any], Tensor]
    specs: Any


def endpoints(model: keras.Model) -> list[Endpoint]:
    """Return the signatures of a model.

    `serving_default` takes what the model takes, under the names of its inputs (`inputs`, of a subclassed model). A
    model that a search has put behind its preprocessing also has `features`, which takes the preprocessed float32
    [batch, ...] as `features`. All answer {"output_0": predictions}.

    Args:
        model: a built model; subclassed ones must have one input.

    Raises:
        ValueError: the model was not built.
    """
    found = [Endpoint(DEFAULT, lambda x: model(x, training=False), _inputs(model))]
    behind = after_preprocessing(model)
    if behind is not None:
        found.append(Endpoint(FEATURES, behind, _spec(_network(model).inputs[0], FEATURES)))
    return found


def numeric(model: keras.Model) -> Endpoint:
    """Return the signature for runtimes that know no text: the default one, or `features` where an input is text.

    Raises:
        ValueError: an input is text and the model has no `features`; or the model was not built.
    """
    default, *others = endpoints(model)
    text = [spec.name for spec in flat(default.specs) if spec.dtype == "string"]
    if not text:
        return default
    if not others:
        raise ValueError(
            f"LiteRT and ONNX take numbers, and the model's input {text[0]!r} is text. Export a SavedModel, or the "
            "part of the model behind its text layers."
        )
    return others[0]


def after_preprocessing(model: keras.Model) -> Callable[[Any], Tensor] | None:
    """Return what follows the preprocessing that a search has put in front of its winner, if it did."""
    network = _network(model)
    if network is None:
        return None
    after = next((layer for layer in model.layers if layer.name == "raw_units"), None)

    def from_features(features: Tensor) -> Tensor:
        y = network(features, training=False)
        return y if after is None else after(y)

    return from_features


def flat(specs: Any) -> list[keras.layers.InputSpec]:
    """Return the specs of an endpoint as a list."""
    if isinstance(specs, dict):
        return [spec for part in specs.values() for spec in flat(part)]
    if isinstance(specs, list | tuple):
        return [spec for part in specs for spec in flat(part)]
    return [specs]


def input_shape(layer: Any) -> tuple[int | None, ...] | None:
    """Return the shape of the one input a layer was built for, if it has just one."""
    shape = (layer.get_build_config() or {}).get("input_shape")
    if isinstance(shape, list | tuple) and shape and all(n is None or isinstance(n, int) for n in shape):
        return tuple(shape)
    return None


def _network(model: Any) -> Any:
    layers = getattr(model, "layers", [])
    return next((layer for layer in layers if layer.name == "network" and getattr(layer, "inputs", None)), None)


def _inputs(model: Any) -> Any:
    try:
        inputs = model.inputs
    except AttributeError:
        inputs = None
    if inputs:
        struct = getattr(model, "_inputs_struct", None)
        return _specs(struct if isinstance(struct, dict) else (inputs[0] if len(inputs) == 1 else list(inputs)))
    shape = input_shape(model) if model.built else None
    if shape is None or not junctions.junctions(model):
        raise ValueError(
            f"Export needs a built functional or sequential model. Received {model!r}; call it on data first."
        )
    return keras.layers.InputSpec(dtype=model.compute_dtype, shape=(None, *shape[1:]), name="inputs")


def _specs(struct: Any) -> Any:
    if isinstance(struct, dict):
        return {name: _specs(tensor) for name, tensor in struct.items()}
    if isinstance(struct, list | tuple):
        return [_specs(tensor) for tensor in struct]
    return _spec(struct, struct.name)


def _spec(tensor: Any, name: str) -> keras.layers.InputSpec:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.layers.InputSpec(dtype=dtype, shape=(None, *tensor.shape[1:]), name=name)
