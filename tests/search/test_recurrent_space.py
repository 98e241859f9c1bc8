"""The space of recurrent networks: sizes, conditions, and what its networks do with padding."""

import json

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse.search import measures
from keras_sparse.search.data.statistics import PADDING
from keras_sparse.search.encoding import Encoding
from keras_sparse.search.recurrent_space import RecurrentSpace

spaces = st.builds(
    RecurrentSpace,
    cells=st.sampled_from([("lstm",), ("gru",), ("gru", "lstm")]),
    layers=st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda t: tuple(sorted(t))),
    units=st.sets(st.integers(1, 60), min_size=1, max_size=3).map(lambda s: tuple(sorted(s))),
    hidden_units=st.sets(st.integers(0, 40), min_size=1, max_size=3).map(lambda s: tuple(sorted(s))),
    recurrent_density=st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 1)).map(lambda t: tuple(sorted(t))),
)


def drawn(space, seed):
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    encoding = Encoding(hp.space)
    return encoding.decode(np.random.default_rng(seed).random(encoding.size))


@given(spaces)
def test_json_round_trip(space):
    assert RecurrentSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@given(spaces, st.integers(1, 30), st.integers(1, 200), st.integers(0, 2**31))
def test_no_network_is_larger_than_the_reference(space, features, n_out, seed):
    values = drawn(space, seed)
    assert 1 <= space.connections(values, (7, features), n_out) <= space.reference_size((7, features), n_out)


VALUES = {
    "cell": "lstm", "layers": 2, "units_1": 20, "density_1": 0.25, "recurrent_density_1": 0.1,
    "units_2": 10, "density_2": 0.1, "recurrent_density_2": 0.05,
    "head": "average", "hidden_units": 0, "density_output": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 240 + 160 + 80 + 20 + 45),
        ({"cell": "gru", "layers": 1, "head": "last"}, 180 + 120 + 90),
        ({"hidden_units": 8, "density_hidden": 0.5}, 240 + 160 + 80 + 20 + 40 + 36),
    ],
)
def test_connections_by_hand_and_as_built(changes, count):
    space, values = RecurrentSpace(), VALUES | changes
    assert space.connections(values, (6, 12), 9) == count
    model = space.build(values, (6, 12), 9, task="classification")
    assert space.known(values, (6, 12), 9) == measures.static(model)
    assert model.output_shape == (None, 9)
    assert model.layers[0].name == "recurrent_1"


def test_a_regression_network_is_linear():
    model = RecurrentSpace().build(VALUES, (6, 12), 1, task="regression")
    assert model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("head", ["last", "average"])
def test_padded_steps_are_skipped(cell, head):
    values = VALUES | {"cell": cell, "head": head, "layers": 1}
    model = RecurrentSpace().build(values, (6, 12), 9, task="classification", padded=True)
    x = np.random.default_rng(0).normal(size=(2, 6, 12)).astype("float32")
    x[:, 4:] = PADDING
    steps = model.get_layer("recurrent_1")(x[:, :4])  # never sees the padding
    seen = keras.ops.mean(steps, axis=1) if head == "average" else steps
    np.testing.assert_allclose(model(x), model.get_layer("output")(seen), rtol=1e-4, atol=1e-5)


def test_hyperparameters_exist_only_in_networks_that_have_them():
    hp = keras_tuner.HyperParameters()
    RecurrentSpace().declare(hp)
    one = {"units_1", "density_1", "recurrent_density_1"}
    rest = {"cell", "layers", "head", "hidden_units", "density_output", "zeta", "learning_rate", "batch_size"}
    assert set(hp.values) == one | rest
    hp = keras_tuner.HyperParameters()
    hp.values = {"layers": 2, "hidden_units": 64}
    RecurrentSpace().declare(hp)
    assert set(hp.values) == one | rest | {"units_2", "density_2", "recurrent_density_2", "density_hidden"}


def test_the_default_space_suits_the_sequences():
    assert RecurrentSpace.for_data((29, 12), 216).input_density == pytest.approx((1 / 12, 1 / 3))
    assert RecurrentSpace.for_data((100, 1), 216).input_density == (1, 1)
    assert RecurrentSpace.for_data((100, 300), 48_000).batch_sizes == (64, 128, 256)
    assert RecurrentSpace.for_data((9, 2), 9, units=[3]).units == (3,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": ("rnn",)}, "cells: expected some of lstm, gru, each once"),
        ({"cells": ("gru", "gru")}, "cells: expected"),
        ({"heads": ()}, "heads: expected some of last, average"),
        ({"layers": (2, 1)}, "layers: expected 1 <= fewest <= most"),
        ({"units": (0,)}, "units: expected ascending"),
        ({"recurrent_density": (0, 1)}, "recurrent_density: expected"),
        ({"zeta": (True, True)}, "zeta: expected"),
        ({"policies": ("dense",)}, "policies: expected some of set, static"),
        ({"patterns": ("informative",)}, "patterns: expected some of random, balanced, each once"),
        ({"schedules": "cosine"}, "schedules: expected some of constant, cosine"),
    ],
)
def test_ranges_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        RecurrentSpace(**changes)


def test_examples_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"needs n_in = \(time, features\), got \(8, 8, 1\)"):
        RecurrentSpace().reference_size((8, 8, 1), 9)


def test_normalisation_is_no_field_of_it():
    with pytest.raises(ValueError, match=r"no field normalize; it has .*layers"):
        RecurrentSpace.from_dict({"normalize": [True]})


def test_the_reference_in_operations_counts_every_step():
    space = RecurrentSpace(cells=("gru",), layers=(1, 1), units=(8,), hidden_units=(0,))
    assert space.references((7, 5), 3)["flops"] == 2 * (7 * (5 * 24 + 8 * 24) + 8 * 3)
    assert space.slowest((7, 5), 3) == {"cell": "gru", "layers": 1, "units_1": 8, "head": "last", "hidden_units": 0}
