"""The MLP space: ranges, names, conditions, sizes."""

import itertools
import json

import keras_tuner
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse.search.encoding import Encoding
from keras_sparse.search.space import MLPSpace

spaces = st.builds(
    MLPSpace,
    hidden_layers=st.tuples(st.integers(1, 4), st.integers(1, 4)).map(lambda t: tuple(sorted(t))),
    units=st.sets(st.integers(1, 600), min_size=1, max_size=6).map(lambda s: tuple(sorted(s))),
    input_density=st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 1)).map(lambda t: tuple(sorted(t))),
    output_density=st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 1)).map(lambda t: tuple(sorted(t))),
    batch_sizes=st.sets(st.integers(1, 600), min_size=1, max_size=4).map(lambda s: tuple(sorted(s))),
)


def encoding_of(space):
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    return Encoding(hp.space)


@given(spaces)
def test_json_round_trip(space):
    assert MLPSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@given(spaces, st.integers(1, 300), st.integers(1, 20), st.integers(0, 2**31))
def test_no_network_is_larger_than_the_reference(space, n_in, n_out, seed):
    encoding = encoding_of(space)
    values = encoding.decode(np.random.default_rng(seed).random(encoding.size))
    junctions = space.junctions(values, n_out)
    assert space.hidden_layers[0] <= len(junctions) - 1 <= space.hidden_layers[1]
    assert 1 <= space.connections(values, n_in, n_out) <= space.reference_size(n_in, n_out)


def test_connections_by_hand():
    values = {"hidden_layers": 2, "units_1": 100, "density_1": 0.05, "units_2": 30, "density_2": 0.1}
    space = MLPSpace()
    assert space.connections(values | {"density_output": 0.2}, 64, 10) == 320 + 300 + 60
    assert space.connections(values | {"density_output": 1e-9}, 64, 10) == 320 + 300 + 1


def test_hyperparameters_of_deeper_layers_exist_in_deeper_networks_only():
    hp = keras_tuner.HyperParameters()
    MLPSpace().declare(hp)
    shallow = {
        "hidden_layers", "units_1", "density_1", "density_output", "zeta", "learning_rate", "batch_size",
    }  # fmt: skip
    assert set(hp.values) == shallow
    hp = keras_tuner.HyperParameters()
    hp.values = {"hidden_layers": 2}
    MLPSpace().declare(hp)
    assert set(hp.values) == shallow | {"units_2", "density_2"}


def test_the_default_space_holds_sparse_networks_only():
    space = MLPSpace.for_data(64, 1150)
    encoding = encoding_of(space)
    rng = np.random.default_rng(0)
    for _ in range(300):
        values = encoding.decode(rng.random(encoding.size))
        sizes = [64, *(junction.units for junction in space.junctions(values, 10))]
        positions = sum(a * b for a, b in itertools.pairwise(sizes))
        assert space.connections(values, 64, 10) / positions <= 0.10


@pytest.mark.parametrize(
    ("n_train", "batches"),
    [(100, (16, 32, 64)), (1150, (16, 32, 64)), (48_000, (64, 128, 256)), (10**7, (256, 512, 1024))],
)
def test_large_data_get_large_batches(n_train, batches):
    assert MLPSpace.for_data(64, n_train).batch_sizes == batches


@pytest.mark.parametrize(
    ("n_in", "expected"), [(784, (0.01, 0.07)), (16, (0.0625, 0.25)), (3, (1 / 3, 1.0)), (1, (1, 1))]
)
def test_units_of_narrow_data_get_something_to_look_at(n_in, expected):
    assert MLPSpace.for_data(n_in, 1000).input_density == expected


def test_for_data_takes_changes():
    assert MLPSpace.for_data(3, 1000, batch_sizes=(8,), units=(4,)).to_dict()["batch_sizes"] == [8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_layers": (0, 2)}, "hidden_layers: expected 1 <= fewest <= most"),
        ({"hidden_layers": (3, 2)}, "hidden_layers"),
        ({"units": ()}, "units: expected ascending"),
        ({"units": (64, 32)}, "units: expected ascending"),
        ({"batch_sizes": (0, 8)}, "batch_sizes"),
        ({"input_density": (0.0, 0.5)}, "input_density: expected"),
        ({"output_density": (0.5, 1.5)}, "output_density"),
        ({"hidden_density": (0.5, 0.1)}, "hidden_density"),
        ({"zeta": (0.1, 1.0)}, "zeta"),
        ({"learning_rate": (-1.0, 1.0)}, "learning_rate"),
    ],
)
def test_ranges_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        MLPSpace(**changes)


def test_unknown_spaces_and_fields_are_refused():
    with pytest.raises(ValueError, match="kind 'mlp', got 'cnn'"):
        MLPSpace.from_dict({"kind": "cnn"})
    with pytest.raises(ValueError, match="no field widths"):
        MLPSpace.from_dict({"widths": [3]})


def test_what_there_is_only_one_of_is_no_hyperparameter():
    hp = keras_tuner.HyperParameters()
    space = MLPSpace(policies=("rigl",), patterns=("random", "balanced"), normalize=(False, True))
    space.declare(hp)
    assert {"pattern", "normalize"} <= set(hp.values)
    assert not {"policy", "schedule"} & set(hp.values)
    assert space.variant(hp.values, "policy") == "rigl"
    assert space.variant({"pattern": "balanced"}, "pattern") == "balanced"
    assert MLPSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    for name in ("policies", "patterns", "schedules", "normalize"):
        with pytest.raises(ValueError, match=f"{name}: expected some of"):
            MLPSpace(**{name: ("nonsense",)})
        with pytest.raises(ValueError, match=name):
            MLPSpace(**{name: ()})
