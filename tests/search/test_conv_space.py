"""The space of convolutional networks: sizes, conditions, and that every network of it can be built."""

import json
import math

import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_sparse.search import measures
from keras_sparse.search.conv_space import ConvSpace
from keras_sparse.search.encoding import Encoding

options = st.sets(st.integers(1, 9), min_size=1, max_size=3).map(lambda s: tuple(sorted(s)))
spaces = st.builds(
    ConvSpace,
    dimensions=st.integers(1, 2),
    blocks=st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda t: tuple(sorted(t))),
    filters=options,
    kernel_sizes=options,
    strides=options,
    heads=st.sampled_from([("average",), ("max", "flatten"), ("flatten",)]),
    hidden_units=st.sets(st.integers(0, 40), min_size=1, max_size=3).map(lambda s: tuple(sorted(s))),
    conv_density=st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 1)).map(lambda t: tuple(sorted(t))),
)
sides = st.integers(1, 12)


def encoding_of(space):
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    return Encoding(hp.space)


def drawn(space, seed):
    encoding = encoding_of(space)
    return encoding.decode(np.random.default_rng(seed).random(encoding.size))


@given(spaces)
def test_json_round_trip(space):
    assert ConvSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@given(spaces, sides, sides, st.integers(1, 4), st.integers(1, 200), st.integers(0, 2**31))
def test_no_network_is_larger_than_the_reference(space, height, width, channels, n_out, seed):
    n_in = (height, width, channels)[2 - space.dimensions :]
    values = drawn(space, seed)
    assert 1 <= space.connections(values, n_in, n_out) <= space.reference_size(n_in, n_out)
    lengths = n_in[:-1]
    for convolution in space.convolutions(values, n_in):
        assert all(window <= length for window, length in zip(convolution.size, lengths))
        lengths = [math.ceil(length / stride) for length, stride in zip(lengths, convolution.strides)]
        assert min(lengths) >= 1


@settings(max_examples=12, deadline=None)
@given(spaces, sides, sides, st.integers(1, 3), st.integers(0, 2**31), st.booleans())
def test_every_network_can_be_built_and_costs_what_is_foretold(space, height, width, channels, seed, padded):
    n_in = (height, width, channels)[2 - space.dimensions :]
    values = drawn(space, seed)
    model = space.build(values, n_in, 3, task="classification", padded=padded and space.dimensions == 1)
    found = measures.static(model)
    assert space.known(values, n_in, 3) == found
    assert all(0 < found[name] <= most for name, most in space.references(n_in, 3).items() if name != "bytes")
    assert np.allclose(model(np.ones((2, *n_in), "float32")).numpy().sum(axis=1), 1, atol=1e-5)


VALUES = {
    "blocks": 2, "filters_1": 8, "kernel_1": 5, "stride_1": 2, "density_1": 0.2,
    "filters_2": 16, "kernel_2": 3, "stride_2": 2, "density_2": 0.1,
    "head": "flatten", "hidden_units": 20, "density_hidden": 0.05, "density_output": 0.5,
}  # fmt: skip


def test_connections_by_hand():
    space = ConvSpace()
    # 28 × 28 → 14 × 14 → 7 × 7, flattened: 784.
    assert space.connections(VALUES, (28, 28, 3), 10) == 120 + 115 + 784 + 100
    small = VALUES | {"head": "average", "hidden_units": 0}
    assert space.connections(small, (28, 28, 3), 10) == 120 + 115 + 80
    # On 3 × 4 pixels the first window is 3 × 4, the second sees 2 × 2 of them.
    assert space.connections(small, (3, 4, 1), 10) == round(0.2 * 12 * 8) + round(0.1 * 4 * 8 * 16) + 80
    along_time = ConvSpace(dimensions=1)
    assert along_time.connections(small, (29, 12), 9) == 96 + round(0.1 * 3 * 8 * 16) + 72


def test_the_reference_is_the_largest_network_also_where_strides_leave_less_to_flatten():
    space = ConvSpace(blocks=(1, 2), filters=(4,), kernel_sizes=(3,), strides=(2,), heads=("flatten",))
    one, two = (9 * 4 + 16 * 16 * 4 * 128), (9 * 4 + 9 * 4 * 4 + 8 * 8 * 4 * 128)
    assert space.reference_size((32, 32, 1), 10) == max(one, two) + 128 * 10
    # Without a hidden layer, if that is more.
    space = ConvSpace(heads=("average",), blocks=(1, 1), hidden_units=(0, 32))
    assert space.reference_size((8, 8, 1), 900) == 25 * 64 + 64 * 900


def test_the_reference_in_operations_counts_every_place():
    space = ConvSpace(blocks=(1, 1), filters=(4,), kernel_sizes=(3,), strides=(1, 2), heads=("average",))
    # 3·3·2·4 weights at 8·8 places, average, 4·128, 128·5.
    assert space.references((8, 8, 2), 5)["flops"] == 2 * (72 * 64 + 512 + 640)
    slowest = space.slowest((8, 8, 2), 5)
    assert (slowest["stride_1"], slowest["hidden_units"]) == (1, 128)
    assert not [name for name in slowest if "density" in name]


def test_hyperparameters_exist_only_in_networks_that_have_them():
    hp = keras_tuner.HyperParameters()
    hp.values = {"blocks": 1, "hidden_units": 0}
    ConvSpace().declare(hp)
    one = {f"{name}_1" for name in ("filters", "kernel", "stride", "density")}
    rest = {"blocks", "head", "hidden_units", "density_output", "zeta", "learning_rate", "batch_size"}
    assert set(hp.values) == one | rest
    hp = keras_tuner.HyperParameters()
    hp.values = {"blocks": 2, "hidden_units": 32}
    ConvSpace().declare(hp)
    two = {f"{name}_2" for name in ("filters", "kernel", "stride", "density")}
    assert set(hp.values) == one | two | rest | {"density_hidden"}


@pytest.mark.parametrize(
    ("n_in", "expected"),
    [
        ((28, 28, 1), {"blocks": (1, 3), "kernel_sizes": (3, 5), "strides": (1, 2), "input_density": (1 / 9, 4 / 9)}),
        ((8, 8, 3), {"blocks": (1, 3), "kernel_sizes": (3, 5), "input_density": (0.1, 0.4)}),
        ((4, 4, 1), {"blocks": (1, 2), "kernel_sizes": (3,)}),
        ((2, 2, 1), {"blocks": (1, 1), "kernel_sizes": (2,), "input_density": (0.25, 1.0)}),
        ((1, 1, 5), {"blocks": (1, 1), "kernel_sizes": (1,), "input_density": (0.2, 0.8)}),
        ((1, 20, 1), {"blocks": (1, 3), "kernel_sizes": (3, 5), "input_density": (1 / 3, 1.0)}),
        ((224, 224, 3), {"blocks": (1, 5), "strides": (2,), "heads": ("average", "max")}),
    ],
)
def test_the_default_space_suits_the_images(n_in, expected):
    space = ConvSpace.for_data(n_in, 1000)
    for name, value in expected.items():
        assert getattr(space, name) == (pytest.approx(value) if name == "input_density" else value)
    assert space.batch_sizes == (16, 32, 64)


def test_for_data_takes_changes():
    space = ConvSpace.for_data((20, 4), 1000, dimensions=1, filters=[4, 8], kernel_sizes=[7])
    assert space.to_dict() | {"kind": "cnn", "dimensions": 1, "filters": [4, 8], "kernel_sizes": [7]} == space.to_dict()
    assert space.form == "sequences"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimensions": 3}, "dimensions: expected 2 for images or 1 for sequences, got 3"),
        ({"blocks": (0, 2)}, "blocks: expected 1 <= fewest <= most"),
        ({"blocks": 2}, "blocks: expected 1 <= fewest <= most, got 2"),
        ({"filters": (16, 8)}, "filters: expected ascending whole numbers >= 1"),
        ({"kernel_sizes": (3.5,)}, "kernel_sizes: expected ascending"),
        ({"strides": (0,)}, "strides: expected ascending"),
        ({"hidden_units": (-1, 3)}, "hidden_units: expected ascending whole numbers >= 0"),
        ({"heads": ("mean",)}, r"heads: expected some of average, max, flatten, each once, got \('mean',\)"),
        ({"heads": "max"}, "heads: expected some of"),
        ({"conv_density": (0.1, 1.1)}, "conv_density: expected"),
        ({"input_density": 0.3}, "input_density: expected"),
        ({"output_density": ("a", "b")}, "output_density: expected"),
        ({"activation": "rellu"}, "rellu"),
    ],
)
def test_ranges_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        ConvSpace(**changes)


def test_examples_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"2 dimensions needs n_in = \(height, width, channels\), got \(29, 12\)"):
        ConvSpace().connections(VALUES, (29, 12), 9)
