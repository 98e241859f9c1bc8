"""What the spaces have in common: settings of the training, sizes known before building, JSON."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import keras

from keras_sparse.topology.densities import connection_count

from .data.forms import Form
from .networks import Junction
from .objective import Task

Range = tuple[float, float]
Inputs = int | tuple[int, ...]
"""What one example is: a number of features, (height, width, channels) or (time, features)."""

_START = 2
"""Thirds of a range at which a search starts: a rather wide network, with not too few connections, that learns."""


class Kernel(NamedTuple):
    """A kernel of a network that is not built yet."""

    shape: tuple[int, int]
    density: float


@dataclass(frozen=True, kw_only=True)
class Space(ABC):
    """Sparse networks of one kind, rewired by SET and trained with Adam.

    A kind of network is a subclass: a frozen dataclass whose fields are ranges, with `form`, `for_data`,
    `declare_network`, `kernels`, `largest` and `build`.

    Args:
        zeta: Range (log scale) of the share of connections SET replaces per epoch, within (0, 1).
        learning_rate: Range (log scale) of Adam's learning rate.
        batch_sizes: Batch sizes to choose from, ascending, in examples.
        activation: Activation of the hidden layers, a name Keras knows.

    Attributes:
        kind: The name of this kind of network.
        form: What its networks take: "features", "images" or "sequences".
    """

    kind: ClassVar[str]

    zeta: Range = (0.02, 0.3)
    learning_rate: Range = (2e-3, 3e-2)
    batch_sizes: tuple[int, ...] = (16, 32, 64)
    activation: str = "relu"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # as read from JSON
                object.__setattr__(self, field.name, tuple(value))
            if field.name.endswith("density"):
                self._check_range(field.name, 1.0)
        self._check_range("zeta", 0.999)
        self._check_range("learning_rate", math.inf)
        self._check_options("batch_sizes")
        keras.activations.get(self.activation)

    def _check_range(self, name: str, highest: float) -> None:
        pair = getattr(self, name)
        sound = isinstance(pair, tuple) and len(pair) == 2 and all(_is_number(end) for end in pair)
        if not sound or not 0 < pair[0] <= pair[1] <= highest:
            raise ValueError(f"{name}: expected (low, high) with 0 < low <= high <= {highest:g}, got {pair!r}.")

    def _check_counts(self, name: str) -> None:
        pair = getattr(self, name)
        if not _are_whole(pair) or len(pair) != 2 or not 1 <= pair[0] <= pair[1]:
            raise ValueError(f"{name}: expected 1 <= fewest <= most, got {pair!r}.")

    def _check_options(self, name: str, least: int = 1) -> None:
        options = getattr(self, name)
        if not _are_whole(options) or not options or options[0] < least or list(options) != sorted(set(options)):
            raise ValueError(f"{name}: expected ascending whole numbers >= {least}, got {options!r}.")

    def _check_names(self, name: str, known: tuple[str, ...]) -> None:
        names = getattr(self, name)
        sound = isinstance(names, tuple) and names and all(option in known for option in names)
        if not sound or len(set(names)) < len(names):
            raise ValueError(f"{name}: expected some of {', '.join(known)}, each once, got {names!r}.")

    @property
    @abstractmethod
    def form(self) -> Form:
        """What the networks take."""

    @classmethod
    @abstractmethod
    def for_data(cls, n_in: Any, n_train: int, **changes: Any) -> Self:
        """The default space for examples of size `n_in`, of which there are `n_train` to train on."""

    @abstractmethod
    def declare_network(self, hp: Any) -> None:
        """Registers the hyperparameters of the network on a `keras_tuner.HyperParameters`."""

    @abstractmethod
    def kernels(self, values: Mapping[str, Any], n_in: Any, n_out: int) -> list[Kernel]:
        """The sparse kernels of the network that `values` describe, from the inputs to the output."""

    @abstractmethod
    def largest(self) -> Iterable[Mapping[str, Any]]:
        """Values of the widest, deepest network of the space; of several, where it depends on the data which it is."""

    @abstractmethod
    def build(
        self, values: Mapping[str, Any], n_in: Any, n_out: int, *, task: Task, padded: bool = False
    ) -> keras.Model:
        """The network that `values` describe, called "network", not compiled.

        Args:
            values: Hyperparameters.
            n_in: What one example is; see `Inputs`.
            n_out: Number of classes, or of regression targets.
            task: "classification" (softmax, integer labels) or "regression" (linear).
            padded: Whether sequences have padded steps, marked with `data.statistics.PADDING`.
        """

    def declare(self, hp: Any) -> None:
        """Registers every hyperparameter on a `keras_tuner.HyperParameters`: the network's, then zeta, learning_rate
        and batch_size."""
        self.declare_network(hp)
        log_range(hp, "zeta", self.zeta)
        log_range(hp, "learning_rate", self.learning_rate)
        hp.Choice("batch_size", list(self.batch_sizes), default=self.batch_sizes[len(self.batch_sizes) // 2])

    def connections(self, values: Mapping[str, Any], n_in: Any, n_out: int) -> int:
        """Connections of the network that `values` describe, known before it is built."""
        return sum(connection_count(kernel.density, kernel.shape) for kernel in self.kernels(values, n_in, n_out))

    def reference_size(self, n_in: Any, n_out: int) -> int:
        """Positions Σ n_in · n_out of the widest, deepest network of the space: what f_c = 1 means.

        Of a convolution they are those of its kernel, [kh · kw · c_in, filters]; a recurrent layer has two kernels.
        """
        networks = (self.kernels(values, n_in, n_out) for values in self.largest())
        return max(sum(math.prod(kernel.shape) for kernel in kernels) for kernels in networks)

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON: what `from_dict` reads."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"kind": self.kind} | {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote; missing fields take their default.

        Raises:
            ValueError: Another kind of space, or a field this space does not have.
        """
        config = dict(config)
        kind = config.pop("kind", cls.kind)
        if kind != cls.kind:
            raise ValueError(f"Expected a space of kind {cls.kind!r}, got {kind!r}.")
        return cls(**cls.check_fields(config))

    @classmethod
    def check_fields(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns `config` if every key is a field of this space; else raises a ValueError that lists them."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(config) - known):
            raise ValueError(f"A space has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        return config


def log_range(hp: Any, name: str, bounds: Range) -> None:
    """Registers a real number between two bounds, on a log scale."""
    low, high = bounds
    if low == high:
        hp.Fixed(name, float(low))
    else:
        start = low * (high / low) ** (_START / 3)
        hp.Float(name, low, high, sampling="log", default=min(max(float(f"{start:.2g}"), low), high))


def width(hp: Any, name: str, options: tuple[int, ...]) -> None:
    """Registers a width; a search starts with a rather large one."""
    hp.Choice(name, list(options), default=options[_START * len(options) // 3])


def declare_head(hp: Any, space: Any) -> None:
    """Registers head, hidden_units, density_hidden and density_output, as convolutional and recurrent spaces have."""
    hp.Choice("head", list(space.heads), default=space.heads[0])
    hp.Choice("hidden_units", list(space.hidden_units), default=space.hidden_units[0])
    if hidden := [units for units in space.hidden_units if units]:
        with hp.conditional_scope("hidden_units", hidden):
            log_range(hp, "density_hidden", space.hidden_density)
    log_range(hp, "density_output", space.output_density)


def head_junctions(values: Mapping[str, Any], n_out: int) -> list[Junction]:
    """The dense layers that `declare_head` declares, the output layer last."""
    output = Junction("output", n_out, float(values["density_output"]))
    if not (units := int(values["hidden_units"])):
        return [output]
    return [Junction("hidden_1", units, float(values["density_hidden"])), output]


def dense_kernels(junctions: Sequence[Junction], n_in: int) -> list[Kernel]:
    """The kernels of a row of dense layers on `n_in` features."""
    sizes = [n_in, *(junction.units for junction in junctions)]
    return [Kernel((before, after.units), after.density) for before, after in zip(sizes, junctions, strict=False)]


def widened(bounds: Range, n_in: int) -> Range:
    """A range of densities in which a unit of `n_in` inputs has something to look at: 1 input at least, 4 if it may."""
    low, high = bounds
    return min(max(low, 1 / n_in), 1.0), min(max(high, 4 / n_in), 1.0)


def batches(n_train: int) -> tuple[int, int, int]:
    """Batch sizes with which epochs of large data do not have many more steps than those of small data.

    With b the power of two nearest to n_train / 750 within [16, 256] they are b, 2b and 4b: up to 12,000 examples
    16–64; for 48,000 64–256.
    """
    base = 2 ** round(math.log2(min(max(n_train / 750, 16), 256)))
    return base, 2 * base, 4 * base


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_whole(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in values)
