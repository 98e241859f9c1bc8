import pytest

import keras_sparse as ks
from keras_sparse.topology.densities import check_density, connection_count


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
