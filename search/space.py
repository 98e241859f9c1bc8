"""The space of multi-layer perceptrons a search walks through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras

from .base_space import Inputs, Kernel, Space, dense_kernels
from .data.forms import Form
from .networks import Junction, build_mlp
from .objective import Task
from .placing import PATTERNS
from .ranges import Range, batches, declare_layers, log_range, widened, width

SCALINGS = ("each", "shared")
_WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True)
class MLPSpace(Space):
    """Depth, widths, one density per junction, ζ, learning rate and batch size of sparse MLPs.

    The defaults are ranges in which networks are truly sparse: later junctions are denser, the output junction most
    (Dey et al.: later junctions need more density; large and sparse beats small and dense). To search elsewhere pass
    other ranges; to search for something else subclass it and extend `declare` and `SparseHyperModel`. Examples of any
    shape are flattened.

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
            "informative" (balanced, and in the first junction off inputs that hardly vary), "local" (the same, and in
            every junction but the last near a place of the picture: `ks.Local`, evenly; for images only).
        normalize: Whether hidden layers may have batch normalisation; it is folded into the network that is kept.
        schedules: What may become of the learning rate: "constant", or "cosine" (200 steps up, then down to 0).
        rhythms: When connections may move: "epoch", or every so many steps, e.g. 150.
        newcomers: Where Adam's second moment of a new connection may start: "initial" or "mean", see `ks.Rewire`.
        weight_decays: What a step of learning rate 1 may take of every weight, see `Space`.
        smoothings: Shares of the labels that may be spread over all classes, within [0, 1), ascending.
        dropouts: Shares of the hidden units that a training step may leave out, within [0, 1), ascending.
        scaling: How features are standardised: "each" by its own mean and deviation, or all by "shared" ones, which
            suits pixels: those at the margin, which are seldom on, are then not blown up.

    Raises:
        ValueError: A range is empty, descending or outside its bounds.

    Example:
        >>> space = MLPSpace(hidden_layers=(1, 2), units=(64, 128, 256))
        >>> space.reference_size(64, 10)
        84480
        >>> MLPSpace.from_dict(space.to_dict()) == space
        True
    """

    kind: ClassVar[str] = "mlp"
    known_patterns: ClassVar[tuple[str, ...]] = PATTERNS

    hidden_layers: tuple[int, int] = (1, 3)
    units: tuple[int, ...] = _WIDTHS
    input_density: Range = (0.01, 0.07)
    hidden_density: Range = (0.01, 0.07)
    output_density: Range = (0.1, 0.25)
    normalize: tuple[bool, ...] = (False,)
    dropouts: tuple[float, ...] = (0.0,)
    scaling: str = "each"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_counts("hidden_layers")
        self._check_options("units")
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, got {self.scaling!r}.")

    @property
    def form(self) -> Form:
        """What the networks take."""
        return "features"

    @classmethod
    def for_data(cls, n_in: Inputs, n_train: int, **changes: Any) -> Self:
        """The default space for a data set of `n_in` features and `n_train` training examples.

        Two rules. Units need something to look at: the first junction's range is widened upwards until a hidden unit
        may have 4 inputs on average, and its lower end is at least one input (16 features: 0.0625–0.25). Epochs of
        large data should not have many more steps than those of small data: see `batches`.

        Args:
            n_in: Number of features, ≥ 1.
            n_train: Number of training examples, ≥ 1.
            **changes: Fields to set otherwise.
        """
        rules = {"input_density": widened(cls.input_density, _flat(n_in)), "batch_sizes": batches(n_train)}
        return cls(**{**rules, **changes})

    def declare_network(self, hp: Any) -> None:
        """Registers the hyperparameters of the network.

        Names: hidden_layers, units_1, density_1, units_2, density_2, …, density_output. Those of the second and later
        hidden layers exist only in networks that have the layer.
        """
        fewest, most = self.hidden_layers
        hp.Int("hidden_layers", fewest, most, default=fewest)
        declare_layers(hp, "hidden_layers", self.hidden_layers, self._declare_layer)
        log_range(hp, "density_output", self.output_density)

    def _declare_layer(self, hp: Any, layer: int) -> None:
        width(hp, f"units_{layer}", self.units)
        log_range(hp, f"density_{layer}", self.input_density if layer == 1 else self.hidden_density)

    def junctions(self, values: Mapping[str, Any], n_out: int) -> list[Junction]:
        """The layers of the network that `values` describe, the output layer last."""
        hidden = [
            Junction(f"hidden_{layer}", int(values[f"units_{layer}"]), float(values[f"density_{layer}"]))
            for layer in range(1, int(values["hidden_layers"]) + 1)
        ]
        return [*hidden, Junction("output", n_out, float(values["density_output"]))]

    def kernels(self, values: Mapping[str, Any], n_in: Inputs, n_out: int) -> list[Kernel]:
        """The kernels of the network that `values` describe, one per junction."""
        return dense_kernels(self.junctions(values, n_out), _flat(n_in))

    def largest(self) -> list[dict[str, Any]]:
        """Values of the widest, deepest network of the space."""
        most = self.hidden_layers[1]
        layers = {f"units_{i}": self.units[-1] for i in range(1, most + 1)}
        return [{"hidden_layers": most, **layers, **{f"density_{i}": 1.0 for i in [*range(1, most + 1), "output"]}}]

    def build(
        self, values: Mapping[str, Any], n_in: Inputs, n_out: int, *, task: Task, padded: bool = False
    ) -> keras.Model:
        """The network that `values` describe; see `Space.build`. Padding does not concern it."""
        del padded
        return build_mlp(
            self.junctions(values, n_out),
            n_in=_flat(n_in),
            task=task,
            activation=self.activation,
            normalize=self.variant(values, "normalize"),
            dropout=self.number(values, "dropout"),
        )


def _flat(n_in: Inputs) -> int:
    return n_in if isinstance(n_in, int) else math.prod(n_in)
