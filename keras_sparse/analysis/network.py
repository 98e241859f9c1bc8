"""What can be analysed (a model, kernels, connectivities), seen as a row of junctions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..junctions import junctions, layers
from ..kernel import SparseKernel
from ..topology.connectivity import Connectivity, Int64

# A built model or layer, a kernel, a connectivity, or a sequence of the last two in the order of the network.
Network = Any


@dataclass(frozen=True)
class Stage:
    """One junction of a network under analysis.

    Attributes:
        name: of the layer, or the junction's place in the sequence.
        shape: (n_in, n_out).
        source: where its connections are read from, when they are asked for: a kernel, a connectivity, or the matrix
            of a dense layer, which joins all to all.
    """

    name: str
    shape: tuple[int, int]
    source: SparseKernel | Connectivity | keras.Variable

    @property
    def dense(self) -> bool:
        """Whether it is a dense layer's matrix."""
        return not isinstance(self.source, SparseKernel | Connectivity)

    @property
    def connectivity(self) -> Connectivity:
        """The connections, in the order of `magnitudes`; of a dense layer as many as it has weights."""
        if isinstance(self.source, Connectivity):
            return self.source
        if isinstance(self.source, SparseKernel):
            return self.source.connectivity
        inputs, outputs = np.divmod(np.arange(self.shape[0] * self.shape[1]), self.shape[1])
        return Connectivity._trusted(inputs, outputs, self.shape)

    def degrees(self) -> tuple[Int64, Int64]:
        """Return (in-degrees [n_out], out-degrees [n_in])."""
        if isinstance(self.source, Connectivity):
            return self.source.in_degrees, self.source.out_degrees
        if isinstance(self.source, SparseKernel):
            layout, (ids, rows, _) = self.source.layout, self.source.index()  # without decoding
            return layout.in_degrees(ids, rows), layout.out_degrees(rows)
        n_in, n_out = self.shape
        return np.full(n_out, n_in, np.int64), np.full(n_in, n_out, np.int64)

    def magnitudes(self) -> NDArray[np.float64]:
        """Return |w| of every connection, [K].

        Raises:
            ValueError: for a connectivity, which has no weights.
        """
        if isinstance(self.source, Connectivity):
            raise ValueError(f"Junction {self.name} is a Connectivity, without weights: give its kernel or model.")
        values = self.source.host_values() if isinstance(self.source, SparseKernel) else _read(self.source).ravel()
        return np.abs(values.astype(np.float64))


def stages(network: Network, *, chain: bool = False) -> list[Stage]:
    """Return the junctions of `network` in the order of its layers: sparse kernels, and `keras.layers.Dense`.

    Args:
        network: a built model or layer, a kernel, a connectivity, or a sequence of kernels and connectivities.
        chain: whether every junction must begin at the units at which the one before ends.

    Raises:
        ValueError: when there is nothing to analyse, when the model is not built, or when the junctions are no chain.
    """
    if isinstance(network, SparseKernel | Connectivity):
        found = [_single("0", network)]
    elif isinstance(network, keras.layers.Layer):
        found = _of_layers(network)
    elif isinstance(network, Sequence) and not isinstance(network, str):
        found = [_single(str(place), part) for place, part in enumerate(network)]
    else:
        raise ValueError(
            f"Expected a built model or layer, a kernel, a Connectivity or a list of the last two; got {network!r}."
        )
    if not found:
        raise ValueError("There is no junction to analyse: the network has no sparse kernel and no Dense layer.")
    if chain:
        for left, right in itertools.pairwise(found):
            if left.shape[1] != right.shape[0]:
                raise ValueError(
                    f"The junctions are no chain: {left.name} ends at {left.shape[1]} units and {right.name} begins at "
                    f"{right.shape[0]}. Give a list of kernels that follow each other."
                )
    return found


def single(kernel: Network) -> Stage:
    """Return the only junction of a kernel, a connectivity or a layer.

    Raises:
        ValueError: when there are several, or none.
    """
    found = stages(kernel)
    if len(found) > 1:
        names = ", ".join(stage.name for stage in found)
        raise ValueError(f"Expected one kernel; got the {len(found)} junctions {names}. Give one of their kernels.")
    return found[0]


def _single(name: str, part: Any) -> Stage:
    if not isinstance(part, SparseKernel | Connectivity):
        raise ValueError(f"A sequence to analyse holds kernels and Connectivities; entry {name} is {part!r}.")
    return Stage(name, part.shape, part)


def _of_layers(model: keras.layers.Layer) -> list[Stage]:
    if not model.built:
        raise ValueError(f"{model.name} is not built, so it has no connections yet: call it once, or give it an Input.")
    sparse = {id(junction.layer): [] for junction in junctions(model)}
    for junction in junctions(model):
        sparse[id(junction.layer)].append(Stage(junction.name, junction.kernel.shape, junction.kernel))
    found: list[Stage] = []
    for layer in layers(model):
        found += sparse.get(id(layer), [])
        if type(layer) is keras.layers.Dense and layer.built:
            matrix: Any = layer.kernel
            found.append(Stage(layer.name, (int(matrix.shape[0]), int(matrix.shape[1])), matrix))
    return found


def _read(matrix: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(matrix))
