import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.topology.patterns import initial_count

PATTERNS = [
    (ks.Random(), 0.1),
    (ks.Structured(), 0.25),
    (ks.Structured(round=True), 0.3),
    (ks.ClashFree(), 0.5),
    (ks.ClashFree(z=4, kind=2, dither=True), 0.25),
    (ks.Block((2, 4)), 0.25),
    (ks.Local((2, 4)), 0.25),
    (ks.NM(1, 4), None),
    (ks.NM(3, 4, axis="output"), 0.75),
]
BY_NAME = pytest.mark.parametrize(("pattern", "density"), PATTERNS, ids=[repr(p) for p, _ in PATTERNS])


@BY_NAME
def test_config_round_trips(pattern, density):
    again = type(pattern).from_config(pattern.get_config())
    assert again == pattern
    assert hash(again) == hash(pattern)
    assert repr(again) == repr(pattern)
    assert eval(f"ks.{pattern!r}") == pattern
    assert [other for other, _ in PATTERNS if other == pattern] == [pattern]


@BY_NAME
def test_layers_and_files_round_trip(pattern, density, tmp_path):
    model = keras.Sequential([keras.Input((8,)), ks.SparseDense(12, density=density, pattern=pattern, seed=1)])
    kernel = model.layers[0].kernel
    assert kernel.pattern is pattern
    assert kernel.capacity == len(kernel)
    twin = ks.SparseDense.from_config(model.layers[0].get_config())
    twin.build((None, 8))
    assert twin.kernel.connectivity == kernel.connectivity
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras").layers[0]
    assert (again.pattern, again.density) == (pattern, density)
    assert again.kernel.pattern == pattern
    np.testing.assert_array_equal(again.kernel.to_dense(), kernel.to_dense())


@BY_NAME
def test_seeds_differ(pattern, density):
    shape = (16, 24)
    count = initial_count(pattern, shape, density)
    drawn = [pattern.sample(shape, count, seed=s) for s in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_density_is_a_tenth_where_neither_layer_nor_pattern_says_more():
    assert initial_count(ks.Random(), (100, 30), None) == 300
    assert initial_count(ks.Random(), (3, 3, 16, 32), ks.ERK(2)) == 2 * (3 + 3 + 16 + 32)


def test_a_pattern_of_ones_own_may_know_its_count():
    class Diagonal:
        def count(self, shape):
            return min(shape) if shape[0] == shape[1] else None

        def sample(self, shape, count, *, seed):
            return ks.Connectivity(np.arange(count) % shape[0], np.arange(count) // shape[0], shape=shape)

    assert initial_count(Diagonal(), (5, 5), None) == 5
    assert initial_count(Diagonal(), (5, 4), None) == 2
    with pytest.raises(ValueError, match="has 5 connections"):
        initial_count(Diagonal(), (5, 5), 0.9)


def test_a_file_with_fewer_connections_than_the_pattern_begins_with_loads():
    layer = ks.SparseDense(12, density=0.25, pattern=ks.Structured(), seed=1)
    layer.build_from_config({"input_shape": (None, 8), "layout": {"capacity": 7}})
    assert layer.kernel.capacity == len(layer.kernel) == 7
    assert layer.kernel.pattern == ks.Structured()
