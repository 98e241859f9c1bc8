import itertools
import math
import tracemalloc

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.analysis import small_world


def complete(n_in, n_out):
    return ks.Connectivity.from_mask(np.ones((n_in, n_out)))


def exact(parts):
    """Path length and Robins-Alexander clustering by looking at everything."""
    starts = np.cumsum([0, *(part.shape[0] for part in parts)])
    size = starts[-1] + parts[-1].shape[1]
    joined = np.zeros((size, size), bool)
    for part, left, right in zip(parts, starts, starts[1:]):
        joined[part.inputs + left, part.outputs + right] = True
    joined |= joined.T
    distance = np.where(joined, 1.0, np.inf)
    for middle in range(size):
        distance = np.minimum(distance, distance[:, [middle]] + distance[[middle]])
    off_diagonal = distance[~np.eye(size, dtype=bool)]
    closed = paths = 0
    for u, v in itertools.product(range(size), repeat=2):
        if joined[u, v]:
            ends = joined[np.ix_(joined[u] & (np.arange(size) != v), joined[v] & (np.arange(size) != u))]
            closed, paths = closed + ends.sum(), paths + ends.size
    return off_diagonal[np.isfinite(off_diagonal)].mean(), closed / paths


def test_a_chain_by_hand():
    # 0 - 1 - 2 - 3 across three junctions: distances 1, 2, 3, 1, 2, 1; its only three-path is open.
    step = complete(1, 1)
    world = small_world([step, step, step])
    assert world.path_length == pytest.approx(10 / 6)
    assert (world.clustering, world.reached, world.units, world.connections) == (0.0, 1.0, 4, 3)


def test_two_parts_do_not_reach_each_other():
    world = small_world(ks.Connectivity([0, 1], [0, 1], shape=(3, 2)))
    assert world.path_length == 1.0
    assert world.reached == pytest.approx(1 / 3)
    assert world.units == 4  # the third input has no connection
    assert math.isnan(world.clustering)
    assert math.isnan(world.sigma)


def test_agrees_with_looking_at_everything():
    parts = [ks.Random().sample((9, 8), 25, seed=1), ks.Random().sample((8, 7), 20, seed=2)]
    length, clustering = exact(parts)
    world = small_world(parts, sources=100, paths=200_000, seed=3)
    assert world.path_length == pytest.approx(length)
    assert world.clustering == pytest.approx(clustering, abs=0.006)


def test_a_random_network_is_like_the_random_graph_and_cliques_are_not():
    random = small_world(ks.Random().sample((500, 500), 5000, seed=0), seed=4)
    assert random.sigma == pytest.approx(1, abs=0.15)
    units = np.arange(500)
    within = [(i, 10 * (i // 10) + j) for i in units for j in range(10)]  # fifty complete 10 × 10 blocks
    inputs, outputs = np.array(within).T
    rewired = (inputs % 10 == 0) & (outputs % 10 == 0)
    outputs = np.where(rewired, (outputs + 10) % 500, outputs)  # one connection of each leads to the next
    world = small_world(ks.Connectivity(inputs, outputs, shape=(500, 500)), seed=4)
    assert world.clustering > 0.8
    assert world.random_clustering < 0.1
    assert world.reached == 1.0


def test_samples_are_a_function_of_the_seed():
    kernel = ks.Random().sample((300, 200), 3000, seed=1)
    assert small_world(kernel, sources=5, paths=500, seed=1) == small_world(kernel, sources=5, paths=500, seed=1)
    assert small_world(kernel, sources=5, paths=500, seed=1) != small_world(kernel, sources=5, paths=500, seed=2)


def test_a_model_with_a_dense_layer():
    model = keras.Sequential([keras.Input((30,)), ks.SparseDense(20, density=0.2, seed=1), keras.layers.Dense(4)])
    world = small_world(model)
    assert world.connections == 120 + 80
    assert 1 < world.path_length < 5


def test_memory_follows_the_connections_not_the_positions():
    kernel = ks.Random().sample((200_000, 200_000), 400_000, seed=0)  # 4e10 positions
    tracemalloc.start()
    small_world(kernel, sources=2, paths=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250 * (400_000 + 400_000)


def test_errors():
    with pytest.raises(ValueError, match="sample sizes"):
        small_world(complete(2, 2), sources=0)
