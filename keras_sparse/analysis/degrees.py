"""How many connections units have."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..topology.connectivity import Int64
from .network import Network, single, stages


class Degrees(NamedTuple):
    """Degrees of the units at both ends of a junction.

    Attributes:
        in_degrees: number of connections into each output unit, int64 [n_out].
        out_degrees: number of connections out of each input unit, int64 [n_in].
    """

    in_degrees: Int64
    out_degrees: Int64


class DegreeDistribution(NamedTuple):
    """A degree distribution.

    Attributes:
        degree: the degrees k that occur, ascending, int64 [n].
        probability: P(k), the share of units with degree k, [n]; sums to 1.
        complementary: P(K ≥ k), the share of units with degree k or more, [n]; begins at 1 and falls.
    """

    degree: Int64
    probability: NDArray[np.float64]
    complementary: NDArray[np.float64]


def degrees(kernel: Network) -> Degrees:
    """Return the degrees of a junction's units, in O(K) time without decoding the connections.

    Args:
        kernel: a kernel, a Connectivity, or a layer with one kernel.

    Returns:
        (in_degrees [n_out], out_degrees [n_in]).

    Raises:
        ValueError: when `kernel` is not one junction.

    Example:
        >>> import keras_sparse as ks
        >>> into, out = ks.analysis.degrees(ks.Connectivity([0, 2, 2], [1, 0, 1], shape=(3, 2)))
        >>> into.tolist(), out.tolist()
        ([1, 2], [1, 0, 2])
    """
    return Degrees(*single(kernel).degrees())


def hidden_degrees(network: Network) -> list[Int64]:
    """Return the degree of every hidden unit: connections from the left junction plus connections to the right one.

    Args:
        network: a built model whose junctions follow each other, or a list of kernels or Connectivities. Dense layers
            join all units to all.

    Returns:
        One int64 array [units] per hidden layer; a network of one junction has none.

    Raises:
        ValueError: when the junctions do not follow each other.

    Example:
        >>> import keras_sparse as ks
        >>> left = ks.Connectivity([0, 1, 1], [0, 0, 1], shape=(2, 2))
        >>> right = ks.Connectivity([0], [2], shape=(2, 3))
        >>> [degrees.tolist() for degrees in ks.analysis.hidden_degrees([left, right])]
        [[3, 1]]
    """
    both = [stage.degrees() for stage in stages(network, chain=True)]
    return [left[0] + right[1] for left, right in itertools.pairwise(both)]


def degree_distribution(degrees: ArrayLike) -> DegreeDistribution:
    """Return how often each degree occurs.

    Args:
        degrees: of all units, non-negative integers [units].

    Returns:
        (k, P(k), P(K ≥ k)) over the degrees that occur.

    Raises:
        ValueError: when `degrees` are no degrees.

    Example:
        >>> import keras_sparse as ks
        >>> k, share, at_least = ks.analysis.degree_distribution([3, 1, 1, 0])
        >>> k.tolist(), share.tolist(), at_least.tolist()
        ([0, 1, 3], [0.25, 0.5, 0.25], [1.0, 0.75, 0.25])
    """
    checked = check_degrees(degrees)
    degree, count = np.unique(checked, return_counts=True)
    return DegreeDistribution(degree, count / len(checked), np.cumsum(count[::-1])[::-1] / len(checked))


def check_degrees(degrees: ArrayLike) -> Int64:
    """Return `degrees` as int64 [units], or raise ValueError when they are none."""
    array = np.asarray(degrees)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu" or int(array.min()) < 0:
        raise ValueError(
            f"Degrees are non-negative integers, one per unit, at least one; got {array.dtype} {array.shape}."
        )
    return array.astype(np.int64)
