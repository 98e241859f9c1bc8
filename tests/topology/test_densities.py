import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.topology.densities import check_density, connection_count

shapes = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=5)


def test_erdos_renyi_is_the_papers_formula():
    # epsilon (n_in + n_out) connections: 20 * (784 + 1000)
    assert connection_count(ks.ErdosRenyi(20), (784, 1000)) == 35680
    assert ks.ErdosRenyi(20).density((10, 10)) == 1.0


def test_erk_counts_every_dimension_of_a_kernel():
    dims = (3, 3, 64, 128)
    assert ks.ERK(1).density(dims) == pytest.approx((3 + 3 + 64 + 128) / (9 * 64 * 128))
    assert ks.ERK(5).density((784, 300)) == ks.ErdosRenyi(5).density((784, 300))


def test_fraction_is_rounded_and_never_empty():
    assert connection_count(0.05, (784, 100)) == 3920
    assert connection_count(1e-9, (10, 10)) == 1
    assert connection_count(1.0, (7, 3)) == 21


@pytest.mark.parametrize("density", [0, -0.1, 1.5, 5, "0.1", None, True, float("nan")])
def test_a_wrong_density_is_refused(density):
    with pytest.raises(ValueError, match=r"fraction in \(0, 1\]"):
        check_density(density)


@pytest.mark.parametrize("epsilon", [0, -1, float("inf"), "20"])
def test_a_wrong_epsilon_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon"):
        ks.ErdosRenyi(epsilon)


@given(shapes, st.sampled_from(["erk", "er", "uniform"]), st.data())
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
