"""Small-world measures of a network's graph, beside those of a random graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..topology import counter_rng
from ..topology.connectivity import Connectivity
from ..topology.patterns import Random
from .network import Network, stages

_SOURCES, _PATHS, _GRAPH = 0, 1, 2  # what random numbers are for


class SmallWorld(NamedTuple):
    """Path length and clustering of a graph, and of a random one with the same units and connections per junction.

    Attributes:
        path_length: mean shortest path between units that reach each other, in connections; NaN without any.
        clustering: share of paths of three connections that a fourth one closes; NaN without such paths.
        random_path_length: the same of the random graph.
        random_clustering: the same of the random graph.
        reached: share of the pairs of units with connections that reach each other.
        units: number of units with connections.
        connections: number of connections.
    """

    path_length: float
    clustering: float
    random_path_length: float
    random_clustering: float
    reached: float
    units: int
    connections: int

    @property
    def sigma(self) -> float:
        """(C / C_random) / (L / L_random): above 1 in a small world (Humphries and Gurney 2008); NaN if undefined."""
        if not self.random_clustering > 0:
            return float("nan")
        return self.clustering / self.random_clustering * self.random_path_length / self.path_length


def small_world(network: Network, *, sources: int = 32, paths: int = 100_000, seed: int = 0) -> SmallWorld:
    """Measure how far apart the units of a network are and how its connections cluster.

    The graph is undirected; its nodes are the units of all layers. It is bipartite (even layers, odd layers), so it has
    no triangles, and clustering is that of Robins and Alexander (2004): the share of paths of three connections whose
    ends are joined too, 4 · four-cycles / three-paths. Both measures are sampled: shortest paths from `sources` units
    with connections to all others, and `paths` uniform three-paths. The random graph (Watts and Strogatz 1998 compare
    with one) has in each junction as many connections, at uniformly random positions.

    Memory is O(connections), time O(sources · connections). Dense layers take part with all their connections.

    Args:
        network: a built model whose junctions follow each other, a kernel, or a list of kernels or Connectivities.
        sources: number of units to measure paths from; all of them, exactly, where there are fewer.
        paths: number of three-paths to look at.
        seed: of the samples and of the random graph.

    Returns:
        A `SmallWorld`.

    Raises:
        ValueError: when the junctions do not follow each other, or for `sources` or `paths` below 1.

    Example:
        >>> import keras_sparse as ks
        >>> square = ks.Connectivity([0, 0, 1, 1], [0, 1, 0, 1], shape=(2, 2))
        >>> world = ks.analysis.small_world(square)
        >>> round(world.path_length, 3), world.clustering
        (1.333, 1.0)
    """
    if sources < 1 or paths < 1:
        raise ValueError(f"`sources` and `paths` are sample sizes of at least 1; got {sources} and {paths}.")
    found = stages(network, chain=True)
    shapes = [stage.shape for stage in found]
    graph = _graph([stage.connectivity for stage in found])
    counts = [int(stage.degrees()[0].sum()) for stage in found]
    length, reached = _path_length(graph, sources, counter_rng.generator(seed, _SOURCES))
    clustering = _clustering(graph, paths, counter_rng.generator(seed, _PATHS))
    units = int(np.count_nonzero(np.diff(graph.indptr)))
    del graph
    seeds = counter_rng.generator(seed, _GRAPH).integers(2**62, size=len(shapes)).tolist()
    graph = _graph([Random().sample(s, k, seed=own) for s, k, own in zip(shapes, counts, seeds, strict=True)])
    return SmallWorld(
        path_length=length,
        clustering=clustering,
        random_path_length=_path_length(graph, sources, counter_rng.generator(seed, _SOURCES))[0],
        random_clustering=_clustering(graph, paths, counter_rng.generator(seed, _PATHS)),
        reached=reached,
        units=units,
        connections=sum(counts),
    )


def _graph(parts: list[Connectivity]) -> Any:
    """Return the symmetric adjacency matrix of the units of all layers, CSR with sorted columns."""
    from scipy.sparse import coo_array

    starts = np.cumsum([0, *(part.shape[0] for part in parts)])
    units = int(starts[-1]) + parts[-1].shape[1]
    kind = np.int32 if units < 2**31 else np.int64
    left = np.concatenate([(p.inputs + s).astype(kind) for p, s in zip(parts, starts, strict=False)])
    right = np.concatenate([(p.outputs + s).astype(kind) for p, s in zip(parts, starts[1:], strict=True)])
    ends = np.concatenate([left, right]), np.concatenate([right, left])
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(units, units)).tocsr()  # csgraph wants float64
    graph.sort_indices()
    return graph


def _path_length(graph: Any, sources: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return (mean shortest path, share of pairs that have one) from up to `sources` units with connections."""
    connected = np.flatnonzero(np.diff(graph.indptr))
    if len(connected) < 2:
        return float("nan"), float("nan")
    chosen = connected if len(connected) <= sources else rng.choice(connected, sources, replace=False)
    total = pairs = 0
    for source in chosen:
        sizes = _levels(graph, int(source))
        total += int(np.dot(sizes, np.arange(len(sizes))))
        pairs += int(sizes[1:].sum())
    return total / pairs, pairs / (len(chosen) * (len(connected) - 1))


def _levels(graph: Any, source: int) -> NDArray[np.int64]:
    """Return how many units lie 0, 1, 2 … connections away from `source`."""
    from scipy.sparse.csgraph import breadth_first_order

    order, predecessors = breadth_first_order(graph, source, directed=True)  # symmetric: both ways are stored
    place = np.empty(graph.shape[0], np.int64)
    place[order] = np.arange(len(order))
    parents = place[predecessors[order[1:]]]  # never falls: the search takes units in order
    ends = [1]
    while ends[-1] <= len(parents):  # units whose parents lie before `end` end the next level
        ends.append(1 + int(np.searchsorted(parents, ends[-1])))
    return np.diff([0, *ends])


def _clustering(graph: Any, paths: int, rng: np.random.Generator) -> float:
    """Return the share of `paths` random three-paths a - u - v - b that the connection a - b closes."""
    begins, neighbours = graph.indptr, graph.indices
    degree = np.diff(begins).astype(np.int64)
    # The middle connection of a three-path; every connection stands twice, once per direction.
    weights = np.repeat(degree - 1, degree) * (degree[neighbours] - 1)
    reach = np.cumsum(weights)
    if not len(reach) or not reach[-1]:
        return float("nan")
    middle = np.searchsorted(reach, rng.integers(reach[-1], size=paths), side="right")
    u = np.searchsorted(begins, middle, side="right") - 1
    v = neighbours[middle]
    a = _other(begins, neighbours, degree, u, middle - begins[u], rng)
    # The same connection seen from v: its place among v's sorted neighbours.
    b = _other(begins, neighbours, degree, v, _find(begins, neighbours, v, u) - begins[v], rng)
    place = _find(begins, neighbours, a, b)
    inside = place < begins[a + 1]
    return float(np.mean(inside & (neighbours[np.minimum(place, len(neighbours) - 1)] == b)))


def _other(begins: Any, neighbours: Any, degree: Any, unit: Any, taken: Any, rng: np.random.Generator) -> Any:
    """Return a random neighbour of every `unit` other than its neighbour number `taken`."""
    number = rng.integers(degree[unit] - 1)
    return neighbours[begins[unit] + number + (number >= taken)]


def _find(begins: Any, neighbours: Any, unit: Any, wanted: Any) -> Any:
    """Return the place of the first neighbour of every `unit` that is not below `wanted`: a binary search for all."""
    low, high = begins[unit].astype(np.int64), begins[unit + 1].astype(np.int64)
    while np.any(open_ := low < high):
        middle = (low + high) // 2
        below = open_ & (neighbours[np.minimum(middle, len(neighbours) - 1)] < wanted)
        low, high = np.where(below, middle + 1, low), np.where(open_ & ~below, middle, high)
    return low
