import pytest

import keras_sparse as ks
from keras_sparse.rewiring.named import NAMES, named, rhythm


def test_names():
    assert type(named("set", 0.2)) is ks.SET
    assert named("set", 0.2).fraction(0.5) == 0.2
    assert named("rigl", 0.2).fraction(0.0) == 0.2
    assert all(isinstance(named(name, 0.1), ks.Policy) for name in NAMES)
    with pytest.raises(ValueError, match="must be one of set, static"):
        named("magic", 0.1)


def test_which_must_see_every_step():
    policies = {name: named(name, 0.1) for name in NAMES}
    assert [n for n, p in policies.items() if not p.single_steps] == ["set", "static", "continuous-set"]
    assert [n for n, p in policies.items() if rhythm(p) == 1] == ["continuous-set"]
