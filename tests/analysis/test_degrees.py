import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.analysis import degree_distribution, degrees, hidden_degrees

# 0 → 0, 0 → 1, 2 → 1, 3 → 1; input 1 and output 2 have no connection.
SMALL = ks.Connectivity([0, 0, 2, 3], [0, 1, 1, 1], shape=(4, 3))


def model():
    return keras.Sequential(
        [
            keras.Input((40,)),
            ks.SparseDense(300, density=0.1, seed=1, name="first"),
            keras.layers.Dropout(0.2),
            ks.SparseDense(20, density=0.2, seed=2, name="second"),
            keras.layers.Dense(5, name="dense"),
        ]
    )


def test_of_a_connectivity():
    into, out = degrees(SMALL)
    assert into.tolist() == [1, 3, 0]
    assert out.tolist() == [2, 0, 1, 1]


def test_of_a_kernel_and_of_its_layer_are_those_of_its_connectivity():
    layer = model().get_layer("first")
    connectivity = layer.kernel.connectivity
    for source in (layer.kernel, layer):
        into, out = degrees(source)
        np.testing.assert_array_equal(into, connectivity.in_degrees)
        np.testing.assert_array_equal(out, connectivity.out_degrees)


def test_hidden_units_have_in_and_out_degrees_and_dense_layers_join_all():
    network = model()
    first, second = (network.get_layer(name).kernel.connectivity for name in ("first", "second"))
    hidden = hidden_degrees(network)
    assert [len(units) for units in hidden] == [300, 20]
    np.testing.assert_array_equal(hidden[0], first.in_degrees + second.out_degrees)
    np.testing.assert_array_equal(hidden[1], second.in_degrees + 5)
    assert sum(units.sum() for units in hidden) == len(first) + 2 * len(second) + 20 * 5


def test_nested_models_are_walked_in_order():
    inner = keras.Sequential([keras.Input((6,)), ks.SparseDense(8, density=0.5), ks.SparseDense(4, density=0.5)])
    outer = keras.Sequential([keras.Input((12,)), ks.SparseDense(6, density=0.5), inner, keras.layers.Dense(2)])
    assert [len(units) for units in hidden_degrees(outer)] == [6, 8, 4]


def test_distribution_by_hand():
    k, share, at_least = degree_distribution(SMALL.out_degrees)
    assert k.tolist() == [0, 1, 2]
    assert share.tolist() == [0.25, 0.5, 0.25]
    assert at_least.tolist() == [1.0, 0.75, 0.25]


@pytest.mark.parametrize("wrong", [[], [1.5, 2.0], [-1, 2], [[1, 2]]])
def test_what_are_no_degrees(wrong):
    with pytest.raises(ValueError, match="non-negative integers"):
        degree_distribution(wrong)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="no chain: 0 ends at 3 units and 1 begins at 4"):
        hidden_degrees([SMALL, SMALL])
    with pytest.raises(ValueError, match="3 junctions first, second, dense"):
        degrees(model())
    with pytest.raises(ValueError, match="not built"):
        degrees(keras.Sequential([ks.SparseDense(3)]))
    with pytest.raises(ValueError, match="no junction to analyse"):
        degrees(keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)]))
    with pytest.raises(ValueError, match="got 'first'"):
        degrees("first")
    with pytest.raises(ValueError, match="entry 1 is 7"):
        hidden_degrees([SMALL, 7])
