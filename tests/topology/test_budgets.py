import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology.budgets import stored_bytes
from keras_sparse.topology.densities import connection_count

shapes = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=5)
rules = st.sampled_from(["erk", "er", "uniform"])


@given(shapes, rules, st.data())
def test_a_budget_is_met_exactly(dims, rule, data):
    total = sum(a * b for a, b in dims)
    budget = data.draw(st.integers(len(dims), total))
    densities = ks.allocate(dims, connections=budget, rule=rule)
    counts = [connection_count(d, s) for d, s in zip(densities, dims, strict=True)]
    assert sum(counts) == budget
    assert all(1 <= c <= a * b for c, (a, b) in zip(counts, dims, strict=True))


def test_erk_gives_small_junctions_higher_densities():
    wide, narrow = ks.allocate([(784, 300), (100, 10)], connections=8000)
    assert 1.0 > narrow > 5 * wide
    # A junction that would exceed density 1 becomes dense and the rest is solved again.
    wide, narrow = ks.allocate([(784, 300), (100, 10)], connections=30000)
    assert narrow == 1.0
    assert wide == 29000 / (784 * 300)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"connections": 1}, "between 2"),
        ({"connections": 10**6}, "all positions"),
        ({"connections": 50, "rule": "best"}, "'erk', 'er' or 'uniform'"),
    ],
)
def test_a_budget_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.allocate([(10, 10), (10, 5)], **arguments)


def counts_of(densities, dims):
    return [connection_count(d, s) for d, s in zip(densities, dims, strict=True)]


@given(shapes, rules, st.booleans(), st.booleans(), st.data())
def test_exempt_junctions_are_dense_and_count(dims, rule, first, last, data):
    sizes = [a * b for a, b in dims]
    exempt = {i for i, dense in ((0, first), (len(dims) - 1, last)) if dense}
    least = sum(size if i in exempt else 1 for i, size in enumerate(sizes))
    budget = data.draw(st.integers(least, sum(sizes)))
    options = {"rule": rule, "dense_first": first, "dense_last": last}
    counts = counts_of(ks.allocate(dims, connections=budget, **options), dims)
    assert sum(counts) == budget
    assert all(counts[i] == sizes[i] for i in exempt)
    if least > len(dims):
        with pytest.raises(ValueError, match=f"between {least} .*all of a dense one"):
            ks.allocate(dims, connections=least - 1, **options)


wide = st.lists(st.tuples(st.integers(1, 800), st.integers(1, 3000)), min_size=1, max_size=4)


@given(wide, rules, st.booleans(), st.data())
def test_bytes_are_not_exceeded_and_no_junction_could_grow(dims, rule, dense_last, data):
    sizes = [a * b for a, b in dims]
    least = sum(stored_bytes(s, 1) for s in dims[:-1]) + stored_bytes(dims[-1], sizes[-1] if dense_last else 1)
    everything = sum(stored_bytes(s, size) for s, size in zip(dims, sizes, strict=True))
    budget = data.draw(st.integers(least, everything))
    counts = counts_of(ks.allocate(dims, bytes=budget, rule=rule, dense_last=dense_last), dims)
    used = [stored_bytes(s, count) for s, count in zip(dims, counts, strict=True)]
    assert sum(used) <= budget
    for s, size, count, own in zip(dims, sizes, counts, used, strict=True):
        assert count == size or sum(used) - own + stored_bytes(s, count + 1) > budget
    with pytest.raises(ValueError, match=f"at least {least}"):
        ks.allocate(dims, bytes=least - 1, rule=rule, dense_last=dense_last)
    assert ks.allocate(dims, bytes=everything) == [1.0] * len(dims)


def test_bytes_are_what_the_kernels_store():
    dims, budget = [(784, 300), (300, 100), (100, 10)], 60_000
    densities = ks.allocate(dims, bytes=budget)
    stored = 0
    for (n_in, n_out), density in zip(dims, densities, strict=True):
        layer = ks.SparseDense(n_out, density=density)
        layer.build((None, n_in))
        assert layer.kernel.bytes == stored_bytes((n_in, n_out), len(layer.kernel))
        stored += layer.kernel.bytes
    assert budget - 12 < stored <= budget


def test_bytes_follow_the_rule():
    dims = [(784, 300), (300, 100), (100, 10)]
    by_bytes = ks.allocate(dims, bytes=100_000)
    by_count = ks.allocate(dims, connections=sum(counts_of(by_bytes, dims)))
    assert by_bytes == pytest.approx(by_count, rel=0.01)


@pytest.mark.parametrize("arguments", [{}, {"connections": 20, "bytes": 1000}])
def test_a_budget_is_of_one_kind(arguments):
    with pytest.raises(ValueError, match="either as `connections` or as `bytes`"):
        ks.allocate([(10, 10)], **arguments)
