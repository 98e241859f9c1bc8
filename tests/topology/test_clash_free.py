import itertools
import tracemalloc
from math import gcd, lcm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks

kinds, dither = st.sampled_from([1, 2, 3]), st.booleans()


@given(st.integers(1, 30), st.integers(1, 30), kinds, dither, st.integers(0, 2**40), st.data())
def test_degrees_and_counts_are_exact_whatever_divides_what(n_in, n_out, kind, dithered, seed, data):
    count = data.draw(st.integers(1, gcd(n_in, n_out))) * lcm(n_in, n_out)
    z = data.draw(st.sampled_from([None, *(z for z in range(1, n_in + 1) if n_in % z == 0)]))
    pattern = ks.ClashFree(z, kind, dithered)
    c = pattern.sample((n_in, n_out), count, seed=seed)
    assert set(c.out_degrees) == {count // n_in}
    assert set(c.in_degrees) == {count // n_out}
    assert len(np.unique(c.keys)) == len(c) == count
    assert np.array_equal(c.keys, pattern.sample((n_in, n_out), count, seed=seed).keys)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("dithered", [False, True])
def test_every_output_reads_each_memory_equally_often(kind, dithered):
    # fi = 6 edges are two cycles of z = 3 memories: clash-free reading takes each memory twice.
    c = ks.ClashFree(3, kind, dithered).sample((12, 8), 48, seed=4)
    reads = np.zeros((8, 3), int)
    np.add.at(reads, (c.outputs, c.inputs % 3), 1)
    assert (reads == 2).all()


def test_kind_2_reads_consecutive_addresses_and_kind_3_repeats_its_sweep():
    # One memory: address = input, and fi = 3 edges of an output are consecutive addresses.
    mask = ks.ClashFree(1, 2).sample((9, 6), 18, seed=3).to_mask()
    assert all({(i + 1) % 9 for i in np.flatnonzero(m)} & set(np.flatnonzero(m)) for m in mask.T)
    # Outputs 0 … 2 read the first sweep, 3 … 5 the second.
    third = ks.ClashFree(3, 3, dither=True).sample((9, 6), 18, seed=3).to_mask()
    assert np.array_equal(third[:, :3], third[:, 3:])
    first = ks.ClashFree(3, 1).sample((9, 6), 18, seed=3).to_mask()
    assert not np.array_equal(first[:, :3], first[:, 3:])


@pytest.mark.parametrize(("kind", "number"), [(1, 46656), (2, 729), (3, 27)])
def test_number_of_patterns_is_the_papers(kind, number):
    assert ks.ClashFree(3, kind).patterns((9, 6), 18) == number


@pytest.mark.parametrize(("kind", "number"), [(1, 60_466_176), (2, 236_196), (3, 486)])
def test_number_of_patterns_with_dither_is_the_papers(kind, number):
    assert ks.ClashFree(4, kind, dither=True).patterns((12, 12), 24) == number


def brute_force(z, depth, sweeps, fan_in, kind, dithered):
    """Return how many access patterns there are, by trying all of them."""
    addresses = list(itertools.permutations(range(depth)))
    if kind == 2:
        addresses = [tuple((start + c) % depth for c in range(depth)) for start in range(depth)]
    memories = list(itertools.permutations(range(z))) if dithered else [tuple(range(z))]
    one_sweep = [
        [(c, order[m][c], m) for c in range(depth) for m in lanes]
        for order in itertools.product(addresses, repeat=z)
        for lanes in memories
    ]
    found = set()
    for run in itertools.product(one_sweep, repeat=sweeps):
        edges = [(s, *edge) for s, sweep in enumerate(run) for edge in sweep]
        outputs = [edges[e : e + fan_in] for e in range(0, len(edges), fan_in)]
        if all(len({edge[2:] for edge in output}) == fan_in for output in outputs):
            found.add(tuple(frozenset(output) for output in outputs))
    return len(found)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize(
    ("z", "n", "degree", "dithered"),
    # n_out is no multiple of the out-degree: outputs straddle sweeps.
    [(1, 3, 2, False), (2, 4, 3, False), (4, 4, 3, True), (3, 3, 2, True), (2, 4, 3, True)],
)
def test_number_of_patterns_where_outputs_straddle_sweeps(z, n, degree, dithered, kind):
    expected = brute_force(z, n // z, degree, degree, kind, dithered)
    assert ks.ClashFree(z, kind, dithered).patterns((n, n), n * degree) == expected > 0


@pytest.mark.parametrize("kind", [1, 2])
def test_sweeps_that_leave_hardly_a_choice(kind):
    # D = 2, fi = 5: an output reads two memories at both addresses and the third at one. After `tail` edges of the last
    # sweep, some memories are used up for the first lanes of the next one.
    z, depth, fan_in = 3, 2, 5
    pattern = ks.ClashFree(z, kind, dither=True)
    for seed in range(50):
        assert set(pattern.sample((6, 6), 30, seed=seed).in_degrees) == {fan_in}
    plan = pattern._plan((6, 6), 30)
    assert any(plan.tight(*plan.straddling(sweep)) for sweep in range(plan.sweeps))
    orders = list(itertools.product(itertools.permutations(range(depth)), repeat=z))
    last = [(c, (2, 0, 1)[lane]) for c in range(depth) for lane in range(z)]  # (address, memory), in order
    for sweep in range(1, plan.sweeps):
        tail, head = plan.straddling(sweep)
        next_sweeps = set()
        for order, lanes in itertools.product(orders, itertools.permutations(range(z))):
            edges = [(c, order[m][c], m) for c in range(depth) for m in lanes]
            if not {edge[1:] for edge in edges[:head]} & set(last[len(last) - tail :]):
                outputs = [[e for place, e in enumerate(edges) if (tail + place) // fan_in == o] for o in range(3)]
                next_sweeps.add(tuple(map(frozenset, outputs)))
        assert pattern._sweep_patterns(plan, tail, head) == len(next_sweeps)


@pytest.mark.parametrize("kind", [1, 2])
def test_all_patterns_are_drawn(kind):
    # One memory; output 1 straddles both sweeps. Each input misses one of the outputs, in six ways.
    pattern = ks.ClashFree(1, kind)
    seen = {pattern.sample((3, 3), 6, seed=s).to_mask().tobytes() for s in range(200)}
    assert len(seen) == 6


def test_by_default_memories_are_as_many_as_addresses():
    assert ks.ClashFree(kind=3).patterns((16, 16), 32) == 4**4
    assert ks.ClashFree(kind=3).patterns((7, 7), 14) == 7  # of a prime number: one memory


@pytest.mark.parametrize(("z", "message"), [(5, "divisors: 3 and 9"), (20, "divisors: 9"), (2, "divisors: 1 and 3")])
def test_memories_that_do_not_divide_the_inputs_are_refused(z, message):
    with pytest.raises(ValueError, match=message):
        ks.ClashFree(z).sample((9, 6), 18, seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"z": 0}, "positive number"), ({"z": 2.0}, "positive number"), ({"kind": 4}, "1, 2 or 3; got 4")],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.ClashFree(**arguments)


def test_other_densities_are_refused_and_the_nearest_named():
    with pytest.raises(ValueError, match=r"0\.33 \(18 connections\) and 0\.67 \(36 connections\)"):
        ks.ClashFree().sample((9, 6), 20, seed=0)


def test_a_million_by_a_million_takes_memory_for_its_connections_only():
    tracemalloc.start()
    c = ks.ClashFree(dither=True).sample((10**6, 10**6), 10**6, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(c.in_degrees) == set(c.out_degrees) == {1}
    assert peak < 100 * 10**6
