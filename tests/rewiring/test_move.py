import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.rewiring import move as moves
from keras_sparse.rewiring.move import Move
from keras_sparse.topology import places


@pytest.mark.parametrize("chunk", [3, 1 << 18])
@given(keep=st.lists(st.booleans(), max_size=20), data=st.data())
def test_survivors_keep_their_order(chunk, keep, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "CHUNK", chunk)
        patch.setattr(moves, "CHUNK", chunk)
        keep = np.array(keep, bool)
        stay = int(keep.sum())
        order = data.draw(st.permutations([False] * stay + [True] * data.draw(st.integers(0, 20))))
        new = np.flatnonzero(order)
        move = Move(keep, new)
        old = np.arange(1.0, len(keep) + 1)
        carried = move.carry(old, len(order) + 2, fill=-1.0)
        assert np.delete(carried[: len(order)], new).tolist() == old[keep].tolist()
        assert carried[new].tolist() == [-1.0] * len(new)
        assert carried[len(order) :].tolist() == [-1.0] * 2


def test_from_the_source_of_every_connection():
    move = Move.from_source(4, np.array([-1, 0, 3, -1]))
    assert move.carry(np.array([5, 6, 7, 8]), 4).tolist() == [0, 5, 8, 0]
