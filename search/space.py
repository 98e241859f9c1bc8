"""The space of multi-layer perceptrons a search walks through."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from keras_sparse.rewiring.named import NAMES
from keras_sparse.topology.budgets import stored_bytes

from .objective import reference_size
from .placing import PATTERNS

Range = tuple[float, float]

_START = 2
"""Thirds of a range at which a search starts: a rather wide network, with not too few connections, that learns."""
SCHEDULES = ("constant", "cosine")
_WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class Junction:
    """One layer of a network to build: its name, its units and the density of the junction that feeds it."""

    name: str
    units: int
    density: float


@dataclass(frozen=True)
class MLPSpace:
    """Depth, widths, one density per junction, ζ, learning rate and batch size of sparse MLPs trained with SET.

    The defaults are ranges in which networks are truly sparse: later junctions are denser, the output junction most
    (Dey et al.: later junctions need more density; large and sparse beats small and dense). To search elsewhere pass
    other ranges; to search for something else subclass it and extend `declare` and `SparseHyperModel`.

    Args:
        hidden_layers: Fewest and most hidden layers, both ≥ 1.
        units: Widths a hidden layer may have, ascending.
        input_density: Range (log scale) of the density of the first junction, within (0, 1].
        hidden_density: The same for a junction between two hidden layers.
        output_density: The same for the last junction.
        zeta: Range (log scale) of the share of connections SET replaces per epoch, within (0, 1).
        learning_rate: Range (log scale) of Adam's learning rate.
        batch_sizes: Batch sizes to choose from, ascending, in examples.
        activation: Activation of the hidden layers, a name Keras knows.
        policies: How connections may move, of `keras_sparse.rewiring.named.NAMES`: "set", "static", "rigl", ….
        patterns: Where they may start, of `placing.PATTERNS`: "random", "balanced" (units have equally many inputs),
            "informative" (balanced, and in the first junction off inputs that hardly vary).
        normalize: Whether hidden layers may have batch normalisation; it is folded into the network that is kept.
        schedules: What may become of the learning rate: "constant", or "cosine" (200 steps up, then down to 0).

    Raises:
        ValueError: A range is empty, descending or outside its bounds.

    Example:
        >>> space = MLPSpace(hidden_layers=(1, 2), units=(64, 128, 256))
        >>> space.reference_size(64, 10)
        84480
        >>> MLPSpace.from_dict(space.to_dict()) == space
        True
    """

    hidden_layers: tuple[int, int] = (1, 3)
    units: tuple[int, ...] = _WIDTHS
    input_density: Range = (0.01, 0.07)
    hidden_density: Range = (0.01, 0.07)
    output_density: Range = (0.1, 0.25)
    zeta: Range = (0.02, 0.3)
    learning_rate: Range = (2e-3, 3e-2)
    batch_sizes: tuple[int, ...] = (16, 32, 64)
    activation: str = "relu"
    policies: tuple[str, ...] = ("set",)
    patterns: tuple[str, ...] = ("random",)
    normalize: tuple[bool, ...] = (False,)
    schedules: tuple[str, ...] = ("constant",)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # as read from JSON
                object.__setattr__(self, field.name, tuple(value))
        for name in ("input_density", "hidden_density", "output_density"):
            self._check_range(name, 1.0)
        self._check_range("zeta", 0.999)
        self._check_range("learning_rate", math.inf)
        fewest, most = self.hidden_layers
        if not 1 <= fewest <= most:
            raise ValueError(f"hidden_layers: expected 1 <= fewest <= most, got {self.hidden_layers}.")
        allowed = {"policies": NAMES, "patterns": PATTERNS, "normalize": (False, True), "schedules": SCHEDULES}
        for name, known in allowed.items():
            options = getattr(self, name)
            if not options or len(set(options)) != len(options) or not set(options) <= set(known):
                raise ValueError(f"{name}: expected some of {', '.join(map(str, known))}, each once, got {options}.")
        for name in ("units", "batch_sizes"):
            options = getattr(self, name)
            if not options or options[0] < 1 or list(options) != sorted(set(options)):
                raise ValueError(f"{name}: expected ascending whole numbers >= 1, got {options}.")

    def _check_range(self, name: str, highest: float) -> None:
        pair = getattr(self, name)
        if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= highest:
            raise ValueError(f"{name}: expected (low, high) with 0 < low <= high <= {highest:g}, got {pair}.")

    @classmethod
    def for_data(cls, n_in: int, n_train: int, **changes: Any) -> Self:
        """The default space for a data set of `n_in` features and `n_train` training examples.

        Two rules. Units need something to look at: the first junction's range is widened upwards until a hidden unit
        may have 4 inputs on average, and its lower end is at least one input (16 features: 0.0625–0.25). Epochs of
        large data should not have many more steps than those of small data: with b the power of two nearest to
        n_train / 750 within [16, 256], the batch sizes are b, 2b and 4b (up to 12,000 examples: 16–64; 48,000: 64–256).

        Args:
            n_in: Number of features, ≥ 1.
            n_train: Number of training examples, ≥ 1.
            **changes: Fields to set otherwise.
        """
        low, high = cls.input_density
        base = 2 ** round(math.log2(min(max(n_train / 750, 16), 256)))
        rules = {
            "input_density": (min(max(low, 1 / n_in), 1.0), min(max(high, 4 / n_in), 1.0)),
            "batch_sizes": (base, 2 * base, 4 * base),
        }
        return cls(**{**rules, **changes})

    def declare(self, hp: Any) -> None:
        """Registers every hyperparameter on a `keras_tuner.HyperParameters`.

        Names: hidden_layers, units_1, density_1, units_2, density_2, …, density_output, zeta, learning_rate,
        batch_size. Those of the second and later hidden layers exist only in networks that have the layer; policy,
        pattern, normalize and schedule only in spaces that have several.
        """
        fewest, most = self.hidden_layers
        hp.Int("hidden_layers", fewest, most, default=fewest)
        for layer in range(1, most + 1):
            if layer <= fewest:
                self._declare_layer(hp, layer)
            else:
                with hp.conditional_scope("hidden_layers", list(range(layer, most + 1))):
                    self._declare_layer(hp, layer)
        _log_range(hp, "density_output", self.output_density)
        _log_range(hp, "zeta", self.zeta)
        _log_range(hp, "learning_rate", self.learning_rate)
        hp.Choice("batch_size", list(self.batch_sizes), default=self.batch_sizes[len(self.batch_sizes) // 2])
        for name, options in self._variants().items():
            if len(options) > 1:
                hp.Choice(name, list(options), ordered=False) if name != "normalize" else hp.Boolean(name)

    def _variants(self) -> dict[str, tuple[Any, ...]]:
        """What is a hyperparameter only where there is something to choose."""
        return {
            "policy": self.policies,
            "pattern": self.patterns,
            "normalize": self.normalize,
            "schedule": self.schedules,
        }

    def variant(self, values: Mapping[str, Any], name: str) -> Any:
        """The "policy", "pattern", "schedule" or "normalize" of the network that `values` describe."""
        return values.get(name, self._variants()[name][0])

    def _declare_layer(self, hp: Any, layer: int) -> None:
        hp.Choice(f"units_{layer}", list(self.units), default=self.units[_START * len(self.units) // 3])
        _log_range(hp, f"density_{layer}", self.input_density if layer == 1 else self.hidden_density)

    def junctions(self, values: Mapping[str, Any], n_out: int) -> list[Junction]:
        """The layers of the network that `values` describe, the output layer last."""
        hidden = [
            Junction(f"hidden_{layer}", int(values[f"units_{layer}"]), float(values[f"density_{layer}"]))
            for layer in range(1, int(values["hidden_layers"]) + 1)
        ]
        return [*hidden, Junction("output", n_out, float(values["density_output"]))]

    def connections(self, values: Mapping[str, Any], n_in: int, n_out: int) -> int:
        """Connections of the network that `values` describe, known before it is built."""
        total = 0
        for junction in self.junctions(values, n_out):
            total += max(1, round(junction.density * n_in * junction.units))
            n_in = junction.units
        return total

    def known(self, values: Mapping[str, Any], n_in: int, n_out: int) -> dict[str, float]:
        """What the network that `values` describe costs, as far as that is known before it is built.

        Returns:
            "connections", "flops" and "bytes", as `measures.static` finds them.
        """
        total = size = 0
        for junction in self.junctions(values, n_out):
            count = max(1, round(junction.density * n_in * junction.units))
            total += count
            size += stored_bytes((n_in, junction.units), count) + 4 * junction.units
            n_in = junction.units
        return {"connections": total, "flops": 2 * total, "bytes": size}

    def references(self, n_in: int, n_out: int) -> dict[str, float]:
        """What f_c = 1 means: the cost of the widest, deepest network of the space, dense, in float32."""
        positions = self.reference_size(n_in, n_out)
        return {"connections": positions, "flops": 2 * positions, "bytes": 4 * positions}

    def reference_size(self, n_in: int, n_out: int) -> int:
        """Positions Σ n_in · n_out of the widest, deepest network of the space: what f_c = 1 means."""
        return reference_size(n_in, [self.units[-1]] * self.hidden_layers[1], n_out)

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON: what `from_dict` reads."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"kind": "mlp"} | {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote; missing fields take their default.

        Raises:
            ValueError: Another kind of space, or a field this space does not have.
        """
        config = dict(config)
        kind = config.pop("kind", "mlp")
        if kind != "mlp":
            raise ValueError(f"Expected a space of kind 'mlp', got {kind!r}.")
        return cls(**check_fields(config))


def check_fields(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns `config` if every key is a field of `MLPSpace`; else raises a ValueError that lists them."""
    known = {field.name for field in dataclasses.fields(MLPSpace)}
    if unknown := sorted(set(config) - known):
        raise ValueError(f"A space has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
    return config


def _log_range(hp: Any, name: str, bounds: Range) -> None:
    low, high = bounds
    if low == high:
        hp.Fixed(name, float(low))
    else:
        start = low * (high / low) ** (_START / 3)
        hp.Float(name, low, high, sampling="log", default=min(max(float(f"{start:.2g}"), low), high))
