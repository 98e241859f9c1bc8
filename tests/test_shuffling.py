import numpy as np
import pytest

from keras_sparse import shuffling


@pytest.fixture(autouse=True)
def undone():
    before = np.random.get_state()
    yield
    np.random.set_state(before)


def test_goes_on_where_it_was():
    np.random.seed(5)
    np.random.normal(size=3)  # an odd number: one more is kept
    kept = shuffling.state()
    first = np.random.permutation(100), np.random.normal()
    shuffling.restore(kept)
    assert np.array_equal(np.random.permutation(100), first[0])
    assert np.random.normal() == first[1]
    shuffling.restore({})  # a file without them
    assert np.random.normal() != first[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shuffle_place", np.array([625.0, 0, 0])),
        ("shuffle_place", np.array([-1.0, 0, 0])),
        ("shuffle_place", np.array([np.nan, 0, 0])),
        ("shuffle_place", np.array([1.0])),
        ("shuffle_keys", np.zeros(3, np.uint32)),
        ("shuffle_keys", np.zeros(624)),
    ],
)
def test_what_is_no_state_is_refused(name, value):
    before = shuffling.state()
    with pytest.raises(ValueError, match="no state of random numbers"):
        shuffling.restore({**before, name: value})
    assert np.array_equal(shuffling.state()["shuffle_place"], before["shuffle_place"])
