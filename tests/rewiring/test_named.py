import pytest

import keras_sparse as ks
from keras_sparse.rewiring.named import NAMES, named, single_steps


def test_names():
    assert type(named("set", 0.2)) is ks.SET
    assert named("set", 0.2).fraction(0.5) == 0.2
    assert named("rigl", 0.2).fraction(0.0) == 0.2
    assert all(isinstance(named(name, 0.1), ks.Policy) for name in NAMES)
    with pytest.raises(ValueError, match="must be one of set, static"):
        named("magic", 0.1)


def test_which_look_at_single_steps():
    assert [name for name in NAMES if not single_steps(named(name, 0.1))] == ["set", "static"]
