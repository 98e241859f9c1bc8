"""The kinds of networks a search knows, by the names they are asked for with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .base_space import Space
from .conv_space import ConvSpace
from .recurrent_space import RecurrentSpace
from .space import MLPSpace

Network = Literal["mlp", "cnn", "rnn"]

SPACES: dict[str, type[Space]] = {kind.kind: kind for kind in (MLPSpace, ConvSpace, RecurrentSpace)}


def completed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON of a space with the fields that it did not have yet when it was written, at their defaults.

    Where it is no space of these kinds it is returned as it is.
    """
    try:
        return SPACES[config.get("kind", "mlp")].from_dict(config).to_dict()
    except (ValueError, KeyError, TypeError, AttributeError):
        return config


def template(space: Space | Mapping[str, Any] | None, network: Network | None) -> Space:
    """The space asked for, before the data are known; checked.

    Args:
        space: A space, or fields of one that shall differ from the default.
        network: Kind of network. Default: that of `space`, else "mlp".

    Raises:
        ValueError: There is no such kind, `space` is of another one, or a field is unknown or out of range.
    """
    if network is not None and network not in SPACES:
        raise ValueError(f"network must be one of {', '.join(SPACES)}, got {network!r}.")
    if isinstance(space, Space):
        if network not in (None, space.kind):
            raise ValueError(f"network={network!r} was asked for with a space of kind {space.kind!r}. Leave one out.")
        return space
    kind = SPACES[network or "mlp"]
    return kind(**kind.check_fields(space or {}))
