"""`sparsify`: the sparse twin of a dense model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import keras

from .junctions import layers
from .rebuilding import compile_config, rebuilt
from .topology.densities import DensityRule, check_density
from .twins import NAMES, TWINS, copy_weights, twin_config, why_dense

_log = logging.getLogger("keras_sparse")


Which = str | type | Callable[[keras.layers.Layer], bool]
What = float | DensityRule | Mapping[str, Any] | None


@dataclass(frozen=True)
class SparsifiedLayer:
    """What became of a layer.

    Attributes:
        name: of the layer.
        before: its class in the dense model.
        after: its class in the twin.
        reason: why it was left as it is; empty for one that became sparse.
    """

    name: str
    before: str
    after: str
    reason: str


class SparsifyReport(list[SparsifiedLayer]):
    """What became of every layer that has weights of its own; prints as a table."""

    def __str__(self) -> str:
        rows = [("layer", "before", "after", "left as it is because")]
        rows += [(entry.name, entry.before, entry.after, entry.reason) for entry in self]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()
            for row in rows
        )


def sparsify(
    model: keras.Model,
    density: float | DensityRule | None = 0.1,
    *,
    rules: Sequence[tuple[Which, What]] = (),
    keep_weights: bool = False,
    seed: int | None = None,
) -> Any:
    """Return the sparse twin of a dense model: layers exchanged for sparse ones of the same name, the rest as it is.

    Dense, Conv1D, Conv2D, LSTM, GRU and SimpleRNN layers (and cells), the projections of attention layers, and
    `EinsumDense` layers that are a product over the last axes get sparse kernels; inside nested models and wrappers,
    too. Every other layer keeps its configuration and its weights. Recurrent kernels that Keras starts as orthogonal
    matrices get the sparse layer's default. A compiled model comes back compiled, with a new optimizer.

    Args:
        model: a built Sequential or functional model. It stays as it is.
        density: of every sparse kernel, in (0, 1], or a rule such as `ks.ErdosRenyi(20)`; with None only layers become
            sparse that a rule names. Default 0.1.
        rules: pairs (which layers, what they become), of which the first that fits a layer counts. Which: the layer's
            name, a class, or a function of the layer that returns whether it is meant. What: a density, None to leave
            the layer dense, or a dict of arguments of the sparse layer, such as
            {"density": 0.05, "pattern": ks.Structured()}.
        keep_weights: whether sparse kernels start from the dense ones, the K weights of largest magnitude of each, and
            biases from the dense biases; by default they start as new layers do.
        seed: of connections and initial values; default drawn from Keras' global seed.

    Returns:
        The twin. Its attribute `sparsify_report` says what became of every layer with weights, and why some were left
        as they are; print it.

    Raises:
        ValueError: for a model that is not built, is subclassed, or has no layer that can be sparse; for a rule that
            fits no layer, or asks for what a layer cannot have.

    Example:
        >>> import keras, keras_sparse as ks
        >>> dense = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32), keras.layers.Dense(10, name="out")])
        >>> sparse = ks.sparsify(dense, density=0.1, rules=[("out", None)])
        >>> [type(layer).__name__ for layer in sparse.layers]
        ['SparseDense', 'Dense']
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a Keras model; got {model!r}.")
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        raise ValueError(
            f"{model.name} is a subclassed model, made by code that cannot be changed here: use layers such as "
            "ks.SparseDense in that code, or pass a Sequential or functional model."
        )
    if not model.built:
        raise ValueError(f"{model.name} is not built, so its layers are not known: call it once, or give it an Input.")
    plan = _Plan(model, density, rules, seed)
    twin = rebuilt(model, edit=plan.edit)
    plan.check(model)
    for old, new in _pairs(model, twin, plan):
        if type(old) is type(new):
            _copy_own(old, new)
        elif keep_weights:
            copy_weights(old, new)
    report = SparsifyReport(plan.entries(model))
    object.__setattr__(twin, "sparsify_report", report)  # not a list that Keras tracks
    _log.info("%s", report)
    if getattr(model, "compiled", False):
        twin.compile_from_config(compile_config(model))
    return twin


class _Plan:
    """Which layers become sparse."""

    def __init__(self, model: keras.Model, density: Any, rules: Sequence[tuple[Which, What]], seed: int | None) -> None:
        self._density = None if density is None else check_density(density)
        self._rules, self._seed = [_checked(rule) for rule in rules], seed
        self._used: set[int] = set()
        self._waiting: dict[str, list[keras.layers.Layer]] = {}
        self._normalized: set[int] = set()  # layers whose wrapper computes with the whole kernel
        for layer in layers(model):
            self._waiting.setdefault(layer.name, []).append(layer)
            if isinstance(layer, keras.layers.SpectralNormalization):
                self._normalized.add(id(layer.layer))
        self._reasons: dict[str, str] = {}
        self._shared: dict[Any, dict[str, Any]] = {}
        self.made = 0

    def edit(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the serialized sparse layer for a serialized layer, or the latter."""
        dense = NAMES.get(config["class_name"]) if str(config.get("module")).startswith("keras.") else None
        if dense is None:
            return config
        shared = config.get("shared_object_id")
        if shared in self._shared:
            return self._shared[shared]
        layer = self._layer(config, dense)
        edited = self._twin(config, dense, layer)
        if shared is not None:
            self._shared[shared] = edited
        return edited

    def _twin(self, config: dict[str, Any], dense: type, layer: keras.layers.Layer) -> dict[str, Any]:
        choice = self._choice(layer)
        reason = why_dense(layer) or ("" if choice else "a rule says so, or no density was given")
        if id(layer) in self._normalized:
            reason = "SpectralNormalization needs the whole kernel"
        if not reason and choice is not None:
            seed = {} if self._seed is None else {_seed_name(dense): self._seed + self.made}
            try:
                config = twin_config(config, dense, {**seed, **choice})
                self.made += 1
            except ValueError as error:
                if self._named(layer):
                    raise
                reason = str(error)
        self._reasons[layer.name] = reason
        return config

    def _layer(self, config: dict[str, Any], kind: type) -> keras.layers.Layer:
        """Return the layer that a configuration describes; wrappers have some that are not in the model itself."""
        same = self._waiting.get(config["config"]["name"], [])
        for place, layer in enumerate(same):
            if type(layer) is kind:
                return same.pop(place)
        return keras.saving.deserialize_keras_object(config)

    def _choice(self, layer: keras.layers.Layer) -> dict[str, Any] | None:
        """Return the arguments of the sparse layer; None if it stays dense."""
        for number, (which, what) in enumerate(self._rules):
            if _fits(which, layer):
                self._used.add(number)
                if isinstance(what, Mapping):
                    return ({} if self._density is None else {"density": self._density}) | dict(what)
                return None if what is None else {"density": what}
        return None if self._density is None else {"density": self._density}

    def _named(self, layer: keras.layers.Layer) -> bool:
        return any(_fits(which, layer) for which, what in self._rules if what is not None)

    def check(self, model: keras.Model) -> None:
        """Raise ValueError for rules that fit no layer, and if nothing became sparse."""
        for number, (which, _) in enumerate(self._rules):
            if number not in self._used and not any(_fits(which, layer) for layer in layers(model)):
                names = ", ".join(layer.name for layer in layers(model) if type(layer) in TWINS)
                raise ValueError(
                    f"A rule is for {which!r}, which fits no layer of {model.name} that can be sparse: {names}."
                )
        if not self.made:
            raise ValueError(f"No layer of {model.name} became sparse:\n{SparsifyReport(self.entries(model))}")

    def entries(self, model: keras.Model) -> Iterator[SparsifiedLayer]:
        """Yield what became of every layer with weights of its own."""
        inside: set[int] = set()
        for layer in layers(model):
            if id(layer) in inside:
                continue
            if type(layer) in TWINS:
                inside |= {id(part) for part in layers(layer) if part is not layer}
                reason = self._reasons.get(layer.name, why_dense(layer))
                after = type(layer) if reason else TWINS[type(layer)]
                yield SparsifiedLayer(layer.name, type(layer).__name__, after.__name__, reason)
            elif layer._trainable_variables:
                kind = type(layer).__name__
                yield SparsifiedLayer(layer.name, kind, kind, why_dense(layer))


def _checked(rule: Any) -> tuple[Which, What]:
    if not isinstance(rule, Sequence) or isinstance(rule, str) or len(rule) != 2:
        raise ValueError(f'A rule is a pair (which layers, what they become), such as ("head", None); got {rule!r}.')
    which, what = cast(tuple[Which, What], tuple(rule))
    if not isinstance(which, str) and not callable(which):
        raise ValueError(f"A rule names layers by name, class or function; got {which!r}.")
    if what is not None and not isinstance(what, Mapping):
        check_density(what)
    return which, what


def _fits(which: Which, layer: keras.layers.Layer) -> bool:
    if isinstance(which, str):
        return layer.name == which
    return isinstance(layer, which) if isinstance(which, type) else bool(which(layer))


def _seed_name(dense: type) -> str:
    return "kernel_seed" if "ttention" in dense.__name__ else "seed"


def _pairs(old: Any, new: Any, plan: _Plan, seen: set[int] | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield layers of the model and of the twin that belong together; the parts of an exchanged layer, too."""
    seen = set() if seen is None else seen
    if id(new) in seen:
        return
    seen.add(id(new))
    parts = list(old._layers), list(new._layers)
    if len(parts[0]) != len(parts[1]):
        raise ValueError(
            f"{old.name}: the configuration does not describe its layers, since code of the model makes them: use "
            "layers such as ks.SparseDense in that code, or pass a Sequential or functional model."
        )
    yield old, new
    for one, other in zip(*parts, strict=True):
        yield from _pairs(one, other, plan, seen)


def _copy_own(old: Any, new: Any) -> None:
    """Copy the variables that belong to a layer itself, not to its parts."""
    for name in ("_trainable_variables", "_non_trainable_variables"):
        for source, target in zip(getattr(old, name), getattr(new, name), strict=True):
            target.assign(source)
