"""The space of convolutional networks a search walks through."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras

from .base_space import Kernel, Space, dense_kernels, head_junctions
from .data.forms import Form
from .networks import Convolution, build_cnn
from .objective import Task
from .ranges import Range, batches, declare_head, declare_layers, log_range, widened, width

_HEADS = ("average", "max", "flatten")
_LARGE = 32
"""Pixels of a side above which a convolution at every place costs too much."""


@dataclass(frozen=True, kw_only=True)
class ConvSpace(Space):
    """Depth, channels, windows, strides and densities of sparse convolutional networks.

    A network is a row of `SparseConv2D` layers, whose padding keeps the size but for their strides; then the average or
    the maximum of every channel, or all there is, flattened; an optional hidden layer and the output layer, both
    `SparseDense`. Windows and strides are cut to the size of what they look at, so every network of the space can be
    built for every image, and no connection looks at padding alone.

    Args:
        dimensions: 2 for images (height, width, channels); 1 for sequences (time, features), along which
            `SparseConv1D` layers go. It is given, not searched.
        blocks: Fewest and most convolutions, both ≥ 1.
        filters: Channels a convolution may have, ascending.
        kernel_sizes: Sides of the window, ascending.
        strides: Strides of the window, ascending.
        input_density: Range (log scale) of the density of the first convolution's kernel, within (0, 1].
        conv_density: The same for later convolutions.
        heads: Any of "average", "max" and "flatten".
        hidden_units: Widths of the hidden layer, ascending; 0 stands for none.
        hidden_density: Range of the density of the junction before the hidden layer.
        output_density: The same for the output layer.
        zeta: Range (log scale) of the share of connections SET replaces per epoch, within (0, 1).
        learning_rate: Range (log scale) of Adam's learning rate.
        batch_sizes: Batch sizes to choose from, ascending, in examples.
        activation: Activation of convolutions and hidden layers, a name Keras knows.
        policies: How connections may move, of `keras_sparse.rewiring.named.NAMES`: "set", "static", "rigl", ….
        patterns: Where they may start: "random" or "balanced" (filters and units have equally many inputs).
        normalize: Whether convolutions and hidden layers may have batch normalisation; it is folded into the network
            that is kept.
        schedules: What may become of the learning rate: "constant", or "cosine" (200 steps up, then down to 0).

    Raises:
        ValueError: A range is empty, descending or outside its bounds.

    Example:
        >>> space = ConvSpace(blocks=(1, 2), filters=(8, 16), kernel_sizes=(3,), heads=("average",), hidden_units=(0,))
        >>> space.reference_size((28, 28, 1), 10)  # 3·3·1·16 + 3·3·16·16 + 16·10
        2608
    """

    kind: ClassVar[str] = "cnn"

    dimensions: int = 2
    blocks: tuple[int, int] = (1, 3)
    filters: tuple[int, ...] = (8, 16, 24, 32, 48, 64)
    kernel_sizes: tuple[int, ...] = (3, 5)
    strides: tuple[int, ...] = (1, 2)
    input_density: Range = (0.1, 0.4)
    conv_density: Range = (0.02, 0.2)
    heads: tuple[str, ...] = ("average", "flatten")
    hidden_units: tuple[int, ...] = (0, 32, 64, 128)
    hidden_density: Range = (0.01, 0.1)
    output_density: Range = (0.1, 0.5)
    learning_rate: Range = (1e-3, 1e-2)
    normalize: tuple[bool, ...] = (False,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions not in (1, 2):
            raise ValueError(f"dimensions: expected 2 for images or 1 for sequences, got {self.dimensions!r}.")
        self._check_counts("blocks")
        for name in ("filters", "kernel_sizes", "strides"):
            self._check_options(name)
        self._check_options("hidden_units", least=0)
        self._check_names("heads", _HEADS)

    @property
    def form(self) -> Form:
        """What the networks take."""
        return "images" if self.dimensions == 2 else "sequences"

    @classmethod
    def for_data(cls, n_in: tuple[int, ...], n_train: int, **changes: Any) -> Self:
        """The default space for images or sequences of size `n_in` and `n_train` training examples.

        No more blocks than halve the longer side down to 1 and windows not larger than that side; above 32 pixels
        every convolution halves the sides, up to 5 are tried and nothing is flattened, since a convolution at every
        pixel and a unit that looks at all of them cost much. Filters have
        something to look at: the first density is widened until they may have 4 inputs on average (3 × 3 × 1: 0.11–
        0.44). Batch sizes grow with the data as for `MLPSpace`.

        Args:
            n_in: (height, width, channels) or (time, features).
            n_train: Number of training examples, ≥ 1.
            **changes: Fields to set otherwise.
        """
        side, large = max(n_in[:-1]), max(n_in[:-1]) > _LARGE
        sizes = changes.get("kernel_sizes") or tuple(k for k in cls.kernel_sizes if k <= side) or (side,)
        window = math.prod(min(min(sizes), length) for length in n_in[:-1])
        rules = {
            "blocks": (1, min(max(1, int(math.log2(side))), 5 if large else cls.blocks[1])),
            "kernel_sizes": sizes,
            "strides": cls.strides[1:] if large else cls.strides,
            "heads": ("average", "max") if large else cls.heads,
            "input_density": widened(cls.input_density, window * n_in[-1]),
            "batch_sizes": batches(n_train),
        }
        return cls(**{**rules, **changes})

    def declare_network(self, hp: Any) -> None:
        """Registers the hyperparameters of the network.

        Names: blocks, filters_1, kernel_1, stride_1, density_1, filters_2, …, head, hidden_units, density_hidden,
        density_output. Those of later convolutions and of the hidden layer exist only in networks that have them.
        """
        fewest, most = self.blocks
        hp.Int("blocks", fewest, most, default=max(fewest, min(2, most)))
        declare_layers(hp, "blocks", self.blocks, self._declare_block)
        declare_head(hp, self)

    def _declare_block(self, hp: Any, block: int) -> None:
        width(hp, f"filters_{block}", self.filters)
        hp.Choice(f"kernel_{block}", list(self.kernel_sizes), default=self.kernel_sizes[0])
        hp.Choice(f"stride_{block}", list(self.strides), default=self.strides[-1])
        log_range(hp, f"density_{block}", self.input_density if block == 1 else self.conv_density)

    def convolutions(self, values: Mapping[str, Any], n_in: tuple[int, ...]) -> list[Convolution]:
        """The convolutions of the network that `values` describe, for examples of size `n_in`."""
        if len(n_in) != self.dimensions + 1:
            wanted = "(height, width, channels)" if self.dimensions == 2 else "(time, features)"
            raise ValueError(f"A space of {self.dimensions} dimensions needs n_in = {wanted}, got {n_in}.")
        sides, found = n_in[:-1], []
        for block in range(1, int(values["blocks"]) + 1):
            window, stride = int(values[f"kernel_{block}"]), int(values[f"stride_{block}"])
            size, strides = tuple(min(window, n) for n in sides), tuple(min(stride, n) for n in sides)
            name, density = f"conv_{block}", float(values[f"density_{block}"])
            found.append(Convolution(name, int(values[f"filters_{block}"]), size, strides, density))
            sides = _strided(sides, strides)
        return found

    def kernels(self, values: Mapping[str, Any], n_in: tuple[int, ...], n_out: int) -> list[Kernel]:
        """The kernels of the network that `values` describe: (positions of the window · channels, filters), then the
        dense ones."""
        sides, channels, found = n_in[:-1], n_in[-1], []
        for convolution in self.convolutions(values, n_in):
            shape = math.prod(convolution.size) * channels, convolution.filters
            sides, channels = _strided(sides, convolution.strides), convolution.filters
            found.append(Kernel(shape, convolution.density, biases=channels, uses=math.prod(sides)))
        seen = channels * (math.prod(sides) if values["head"] == "flatten" else 1)
        return found + dense_kernels(head_junctions(values, n_out), seen)

    def largest(self) -> Iterator[dict[str, Any]]:
        """Values of the widest networks of every depth: with strides, those with fewer blocks leave more to flatten."""
        fewest, most = self.blocks
        values: dict[str, Any] = {"head": "flatten" if "flatten" in self.heads else self.heads[0]}
        values |= {"density_hidden": 1.0, "density_output": 1.0}
        for block in range(1, most + 1):
            values |= {f"filters_{block}": self.filters[-1], f"kernel_{block}": self.kernel_sizes[-1]}
            values |= {f"stride_{block}": self.strides[0], f"density_{block}": 1.0}
        for blocks, hidden in itertools.product(range(fewest, most + 1), self.hidden_units):
            yield values | {"blocks": blocks, "hidden_units": hidden}

    def build(
        self, values: Mapping[str, Any], n_in: tuple[int, ...], n_out: int, *, task: Task, padded: bool = False
    ) -> keras.Model:
        """The network that `values` describe; see `Space.build`."""
        return build_cnn(
            self.convolutions(values, n_in),
            head_junctions(values, n_out),
            shape=tuple(n_in),
            head=values["head"],
            task=task,
            activation=self.activation,
            padded=padded,
            normalize=self.variant(values, "normalize"),
        )


def _strided(sides: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-side // stride) for side, stride in zip(sides, strides, strict=True))
