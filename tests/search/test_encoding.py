"""Any KerasTuner space as a unit cube."""

import keras_tuner
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse.search.encoding import INACTIVE, Encoding


def mixed():
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    hp.Int("depth", 1, 3)
    hp.Int("free", 8, 4096, sampling="log")
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("grid", 0.0, 1.0, step=0.25)
    hp.Fixed("constant", 7)
    hp.Boolean("flag")
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("only_b", 0.0, 1.0)
    with hp.conditional_scope("depth", [2, 3]):
        hp.Choice("width", [8, 16, 32])
    return Encoding(hp.space)


ENCODING = mixed()
points = st.lists(st.floats(0, 1), min_size=ENCODING.size, max_size=ENCODING.size)


@given(points)
def test_decoding_is_stable_under_encoding(point):
    values = ENCODING.decode(point)
    encoded = ENCODING.encode(values)
    assert ((encoded >= 0) & (encoded <= 1)).all()
    assert ENCODING.decode(encoded) == values
    assert ENCODING.key(ENCODING.decode(encoded)) == ENCODING.key(values)


@given(points)
def test_values_are_in_range_and_only_the_active_ones(point):
    values = ENCODING.decode(point)
    assert ("only_b" in values) == (values["kind"] == "b")
    assert ("width" in values) == (values["depth"] > 1)
    assert 1 <= values["depth"] <= 3
    assert 8 <= values["free"] <= 4096
    assert 1e-4 <= values["rate"] <= 1e-1
    assert values["constant"] == 7
    assert float(f"{values['rate']:.4g}") in (values["rate"], 1e-4, 1e-1)


def test_inactive_coordinates_are_fixed():
    values = ENCODING.decode(np.zeros(ENCODING.size))
    assert values["kind"] == "a"
    assert ENCODING.encode(values)[-2:].tolist() == [INACTIVE, INACTIVE]
    other = ENCODING.decode([0.0] * (ENCODING.size - 2) + [0.9, 0.9])
    assert ENCODING.key(other) == ENCODING.key(values)


def test_unordered_choices_are_equally_far_apart():
    features = [ENCODING.features(ENCODING.decode([u] + [0.5] * (ENCODING.size - 1))) for u in (0.1, 0.5, 0.9)]
    a, b, c = (f[:3] for f in features)
    assert np.linalg.norm(a - b) == np.linalg.norm(b - c) == np.linalg.norm(a - c) > 0


def test_defaults_and_enumeration():
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", [8, 16], default=16)
    hp.Int("depth", 1, 5, step=2)
    hp.Boolean("flag")
    encoding = Encoding(hp.space)
    assert encoding.defaults() == {"width": 16, "depth": 1, "flag": False}
    listed = list(encoding.enumerate())
    assert len({encoding.key(values) for values in listed}) == len(listed) == 12
    assert ENCODING.enumerate() is None


def test_a_point_of_another_space_is_noticed():
    with pytest.raises(StopIteration):
        ENCODING.decode([0.5])
