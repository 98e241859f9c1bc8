"""What the spaces have in common: settings of the training, sizes known before building, JSON."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import keras

from keras_sparse.rewiring.named import NAMES
from keras_sparse.rewiring.rewirer import NEWCOMERS
from keras_sparse.topology.budgets import stored_bytes
from keras_sparse.topology.densities import connection_count

from .checked import Checked, are_whole
from .data.forms import Form
from .networks import Junction
from .objective import Task
from .placing import FLAT_ONLY, PATTERNS
from .ranges import Range, log_range

Inputs = int | tuple[int, ...]
"""What one example is: a number of features, (height, width, channels) or (time, features)."""

SCHEDULES = ("constant", "cosine")
Rhythm = str | int
"""When connections move: "epoch", or every so many steps."""


class Kernel(NamedTuple):
    """A kernel of a network that is not built yet.

    Args:
        shape: (n_in, n_out).
        density: Of its connections.
        biases: Numbers added to what it gives.
        uses: How often one example uses each weight: at every place of a convolution, in every step of a sequence.
    """

    shape: tuple[int, int]
    density: float
    biases: int
    uses: int = 1

    @property
    def connections(self) -> int:
        """Their exact number."""
        return connection_count(self.density, self.shape)


@dataclass(frozen=True, kw_only=True)
class Space(Checked, ABC):
    """Sparse networks of one kind, rewired while they are trained with Adam.

    A kind of network is a subclass: a frozen dataclass whose fields are ranges, with `form`, `for_data`,
    `declare_network`, `kernels`, `largest` and `build`. One whose layers may have batch normalisation has a field
    `normalize`, too.

    Args:
        zeta: Range (log scale) of the share of connections SET replaces per epoch, within (0, 1).
        learning_rate: Range (log scale) of Adam's learning rate.
        batch_sizes: Batch sizes to choose from, ascending, in examples.
        activation: Activation of the hidden layers, a name Keras knows.
        policies: How connections may move, of `keras_sparse.rewiring.named.NAMES`: "set", "static", "rigl", ….
        patterns: Where they may start, of `known_patterns`: "random", "balanced" (units have equally many inputs), ….
        schedules: What may become of the learning rate: "constant", or "cosine" (200 steps up, then down to 0).
        rhythms: When connections may move: "epoch", or every so many steps, e.g. 150. Policies that move them at every
            step ("continuous-set", "deep-r") do so whatever is said here.
        newcomers: Where Adam's second moment of a new connection may start: "initial" or "mean", see `ks.Rewire`.
        weight_decays: What a step of learning rate 1 may take of every weight (Loshchilov and Hutter 2019), >= 0,
            ascending: 0.1 is a tenth.
        smoothings: Shares of the labels that may be spread over all classes, within [0, 1), ascending. Classification
            only; a regression ignores them.

    Attributes:
        kind: The name of this kind of network.
        known_patterns: What `patterns` may have.
        form: What its networks take: "features", "images" or "sequences".
    """

    kind: ClassVar[str]
    known_patterns: ClassVar[tuple[str, ...]] = tuple(name for name in PATTERNS if name not in FLAT_ONLY)

    zeta: Range = (0.02, 0.3)
    learning_rate: Range = (2e-3, 3e-2)
    batch_sizes: tuple[int, ...] = (16, 32, 64)
    activation: str = "relu"
    policies: tuple[str, ...] = ("set",)
    patterns: tuple[str, ...] = ("random",)
    schedules: tuple[str, ...] = ("constant",)
    rhythms: tuple[Rhythm, ...] = ("epoch",)
    newcomers: tuple[str, ...] = ("initial",)
    weight_decays: tuple[float, ...] = (0.0,)
    smoothings: tuple[float, ...] = (0.0,)

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
        self._check_names("policies", NAMES)
        self._check_names("patterns", self.known_patterns)
        self._check_names("schedules", SCHEDULES)
        self._check_names("newcomers", NEWCOMERS)
        steps: Any = tuple(rhythm for rhythm in self.rhythms if rhythm != "epoch")
        each_once = self.rhythms and len(set(self.rhythms)) == len(self.rhythms)
        if not each_once or not are_whole(steps) or min(steps, default=1) < 1:
            raise ValueError(f'rhythms: expected "epoch" or numbers of steps >= 1, each once, got {self.rhythms!r}.')
        for field in self._numbers().values():
            self._check_ascending(field, math.inf if field == "weight_decays" else 1.0)
        if "normalize" in self._variants():
            self._check_names("normalize", (False, True))

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
        """Registers every hyperparameter on a `keras_tuner.HyperParameters`.

        The network's, then zeta, learning_rate and batch_size, then those of policy, pattern, normalize, schedule,
        rhythm, newcomers, dropout, weight_decay and smoothing of which the space has several.
        """
        self.declare_network(hp)
        log_range(hp, "zeta", self.zeta)
        log_range(hp, "learning_rate", self.learning_rate)
        hp.Choice("batch_size", list(self.batch_sizes), default=self.batch_sizes[len(self.batch_sizes) // 2])
        for name, options in self._variants().items():
            if len(options) > 1 and name == "normalize":
                hp.Boolean(name)
            elif len(options) > 1:
                hp.Choice(name, [str(option) for option in options], ordered=False)
        for name, field in self._numbers().items():
            if len(options := getattr(self, field)) > 1:
                hp.Choice(name, [float(option) for option in options])

    def _variants(self) -> dict[str, tuple[Any, ...]]:
        """What is a hyperparameter only where there is something to choose."""
        fields = {"policy": "policies", "pattern": "patterns", "normalize": "normalize", "schedule": "schedules"}
        fields |= {"rhythm": "rhythms", "newcomers": "newcomers"}
        return {name: getattr(self, field) for name, field in fields.items() if hasattr(self, field)}

    def variant(self, values: Mapping[str, Any], name: str) -> Any:
        """The "policy", "pattern", "normalize", "schedule", "rhythm" or "newcomers" that `values` describe."""
        return values.get(name, self._variants().get(name, (False,))[0])

    def _numbers(self) -> dict[str, str]:
        """Fields of numbers to choose from, by the name of their hyperparameter."""
        fields = {"dropout": "dropouts", "weight_decay": "weight_decays", "smoothing": "smoothings"}
        return {name: field for name, field in fields.items() if hasattr(self, field)}

    def number(self, values: Mapping[str, Any], name: str) -> float:
        """The "dropout", "weight_decay" or "smoothing" that `values` describe."""
        return float(values.get(name, getattr(self, self._numbers()[name])[0]))

    def connections(self, values: Mapping[str, Any], n_in: Any, n_out: int) -> int:
        """Connections of the network that `values` describe, known before it is built."""
        return sum(kernel.connections for kernel in self.kernels(values, n_in, n_out))

    def known(self, values: Mapping[str, Any], n_in: Any, n_out: int) -> dict[str, float]:
        """What the network that `values` describe costs, as far as that is known before it is built.

        Returns:
            "connections", "flops" and "bytes", as `measures.static` finds them.
        """
        kernels = self.kernels(values, n_in, n_out)
        return {
            "connections": sum(kernel.connections for kernel in kernels),
            "flops": 2 * sum(kernel.connections * kernel.uses for kernel in kernels),
            "bytes": sum(stored_bytes(kernel.shape, kernel.connections) + 4 * kernel.biases for kernel in kernels),
        }

    def references(self, n_in: Any, n_out: int) -> dict[str, float]:
        """What f_c = 1 means: the cost of the widest, deepest network of the space, dense, in float32.

        Its connections are the positions Σ n_in · n_out of its kernels: of a convolution they are [kh · kw · c_in,
        filters]; a recurrent layer has two.
        """
        found = {"connections": 0, "flops": 0, "bytes": 0}
        for values in self.largest():
            kernels = self.kernels(values, n_in, n_out)
            positions = sum(math.prod(kernel.shape) for kernel in kernels)
            flops = 2 * sum(math.prod(kernel.shape) * kernel.uses for kernel in kernels)
            costs = {"connections": positions, "flops": flops, "bytes": 4 * positions}
            found = {name: max(found[name], cost) for name, cost in costs.items()}
        return dict(found)

    def slowest(self, n_in: Any, n_out: int) -> dict[str, Any]:
        """Values of that of the `largest` networks that takes the most operations, without its densities."""
        values = max(
            self.largest(),
            key=lambda values: sum(
                math.prod(kernel.shape) * kernel.uses for kernel in self.kernels(values, n_in, n_out)
            ),
        )
        return {name: value for name, value in values.items() if "density" not in name}

    def reference_size(self, n_in: Any, n_out: int) -> int:
        """Positions Σ n_in · n_out of the widest, deepest network of the space: f_c = 1 where connections count."""
        return int(self.references(n_in, n_out)["connections"])

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


def head_junctions(values: Mapping[str, Any], n_out: int) -> list[Junction]:
    """The dense layers that `declare_head` declares, the output layer last."""
    output = Junction("output", n_out, float(values["density_output"]))
    if not (units := int(values["hidden_units"])):
        return [output]
    return [Junction("hidden_1", units, float(values["density_hidden"])), output]


def dense_kernels(junctions: Sequence[Junction], n_in: int) -> list[Kernel]:
    """The kernels of a row of dense layers on `n_in` features."""
    sizes = [n_in, *(junction.units for junction in junctions)]
    return [
        Kernel((before, after.units), after.density, biases=after.units)
        for before, after in zip(sizes, junctions, strict=False)
    ]
