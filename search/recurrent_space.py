"""The space of recurrent networks a search walks through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras

from .base_space import Kernel, Space, dense_kernels, head_junctions
from .data.forms import Form
from .networks import Recurrence, build_rnn
from .objective import Task
from .ranges import Range, batches, declare_head, declare_layers, log_range, widened, width

_GATES = {"lstm": 4, "gru": 3}
_BIASES = {"lstm": 4, "gru": 6}
"""Per unit: a GRU adds some before and some after it resets."""
_HEADS = ("last", "average")


@dataclass(frozen=True, kw_only=True)
class RecurrentSpace(Space):
    """Cell, depth, units and densities of sparse recurrent networks.

    A network is a row of `SparseLSTM` or `SparseGRU` layers, each with a density for its kernel and one for its
    recurrent kernel; then the last output, or the average of all; an optional hidden layer and the output layer, both
    `SparseDense`. Padded steps are skipped.

    Args:
        cells: Any of "lstm" and "gru".
        layers: Fewest and most recurrent layers, both ≥ 1.
        units: Units a recurrent layer may have, ascending.
        input_density: Range (log scale) of the density of the first layer's kernel, within (0, 1].
        layer_density: The same for the kernels of later layers.
        recurrent_density: The same for the recurrent kernels.
        heads: Any of "last" and "average".
        hidden_units: Widths of the hidden layer, ascending; 0 stands for none.
        hidden_density: Range of the density of the junction before the hidden layer.
        output_density: The same for the output layer.
        zeta: Range (log scale) of the share of connections SET replaces per epoch, within (0, 1).
        learning_rate: Range (log scale) of Adam's learning rate.
        batch_sizes: Batch sizes to choose from, ascending, in examples.
        activation: Activation of the hidden layer, a name Keras knows; recurrent layers have Keras' own.
        policies: How connections may move, of `keras_sparse.rewiring.named.NAMES`: "set", "static", "rigl", ….
        patterns: Where they may start: "random" or "balanced" (gates and units have equally many inputs).
        schedules: What may become of the learning rate: "constant", or "cosine" (200 steps up, then down to 0).

    Raises:
        ValueError: A range is empty, descending or outside its bounds.

    Example:
        >>> space = RecurrentSpace(layers=(1, 1), units=(32, 64), hidden_units=(0,))
        >>> space.reference_size((29, 12), 9)  # 12·256 + 64·256 + 64·9
        20032
    """

    kind: ClassVar[str] = "rnn"

    cells: tuple[str, ...] = ("lstm", "gru")
    layers: tuple[int, int] = (1, 2)
    units: tuple[int, ...] = (32, 48, 64, 96, 128)
    input_density: Range = (0.05, 0.2)
    layer_density: Range = (0.02, 0.2)
    recurrent_density: Range = (0.02, 0.2)
    heads: tuple[str, ...] = ("last", "average")
    hidden_units: tuple[int, ...] = (0, 32, 64)
    hidden_density: Range = (0.02, 0.2)
    output_density: Range = (0.1, 0.5)
    learning_rate: Range = (1e-3, 2e-2)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_names("cells", tuple(_GATES))
        self._check_counts("layers")
        self._check_options("units")
        self._check_options("hidden_units", least=0)
        self._check_names("heads", _HEADS)

    @property
    def form(self) -> Form:
        """What the networks take."""
        return "sequences"

    @classmethod
    def for_data(cls, n_in: tuple[int, ...], n_train: int, **changes: Any) -> Self:
        """The default space for sequences of size `n_in` and `n_train` training examples.

        The first density is widened until a gate may have 4 inputs on average (12 features: 0.083–0.33), and batch
        sizes grow with the data as for `MLPSpace`.

        Args:
            n_in: (time, features).
            n_train: Number of training examples, ≥ 1.
            **changes: Fields to set otherwise.
        """
        rules = {"input_density": widened(cls.input_density, n_in[-1]), "batch_sizes": batches(n_train)}
        return cls(**{**rules, **changes})

    def declare_network(self, hp: Any) -> None:
        """Registers the hyperparameters of the network.

        Names: cell, layers, units_1, density_1, recurrent_density_1, units_2, …, head, hidden_units, density_hidden,
        density_output. Those of later layers and of the hidden layer exist only in networks that have them.
        """
        hp.Choice("cell", list(self.cells), default=self.cells[0])
        fewest, most = self.layers
        hp.Int("layers", fewest, most, default=fewest)
        declare_layers(hp, "layers", self.layers, self._declare_layer)
        declare_head(hp, self)

    def _declare_layer(self, hp: Any, layer: int) -> None:
        width(hp, f"units_{layer}", self.units)
        log_range(hp, f"density_{layer}", self.input_density if layer == 1 else self.layer_density)
        log_range(hp, f"recurrent_density_{layer}", self.recurrent_density)

    def recurrences(self, values: Mapping[str, Any]) -> list[Recurrence]:
        """The recurrent layers of the network that `values` describe."""
        return [
            Recurrence(
                f"recurrent_{layer}",
                int(values[f"units_{layer}"]),
                float(values[f"density_{layer}"]),
                float(values[f"recurrent_density_{layer}"]),
            )
            for layer in range(1, int(values["layers"]) + 1)
        ]

    def kernels(self, values: Mapping[str, Any], n_in: tuple[int, ...], n_out: int) -> list[Kernel]:
        """The kernels of the network that `values` describe: two per recurrent layer, then the dense ones."""
        gates, (steps, seen), found = _GATES[values["cell"]], _sequence(n_in), []
        for layer in self.recurrences(values):
            wide, biases = gates * layer.units, _BIASES[values["cell"]] * layer.units
            found.append(Kernel((seen, wide), layer.density, biases=biases, uses=steps))
            found.append(Kernel((layer.units, wide), layer.recurrent_density, biases=0, uses=steps))
            seen = layer.units
        return found + dense_kernels(head_junctions(values, n_out), seen)

    def largest(self) -> Iterator[dict[str, Any]]:
        """Values of the widest, deepest networks, with and without a hidden layer."""
        values: dict[str, Any] = {"cell": max(self.cells, key=_GATES.__getitem__), "layers": self.layers[1]}
        for layer in range(1, self.layers[1] + 1):
            values |= {f"units_{layer}": self.units[-1], f"density_{layer}": 1.0, f"recurrent_density_{layer}": 1.0}
        values |= {"head": self.heads[0], "density_hidden": 1.0, "density_output": 1.0}
        for hidden in self.hidden_units:
            yield values | {"hidden_units": hidden}

    def build(
        self, values: Mapping[str, Any], n_in: tuple[int, ...], n_out: int, *, task: Task, padded: bool = False
    ) -> keras.Model:
        """The network that `values` describe; see `Space.build`."""
        return build_rnn(
            self.recurrences(values),
            head_junctions(values, n_out),
            shape=_sequence(n_in),
            cell=values["cell"],
            head=values["head"],
            task=task,
            activation=self.activation,
            padded=padded,
        )


def _sequence(n_in: tuple[int, ...]) -> tuple[int, int]:
    if not isinstance(n_in, tuple) or len(n_in) != 2:
        raise ValueError(f"A space of recurrent networks needs n_in = (time, features), got {n_in}.")
    return n_in
