import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.topology.hashing import digest

EXPECTED = 16308312531972932219  # of the numbers below 50,000


@given(st.lists(st.integers(0, 2**16 - 1), max_size=30), st.data())
def test_any_change_changes_it(numbers, data):
    array = np.array(numbers, np.uint16)
    before = digest(array)
    assert before == digest(array.copy())
    assert digest(np.append(array, np.uint16(0))) != before
    if len(array):
        place = data.draw(st.integers(0, len(array) - 1))
        array[place] ^= np.uint16(1 << data.draw(st.integers(0, 15)))
        assert digest(array) != before


def test_small_changes_in_large_arrays_do_not_collide():
    array = np.zeros(100_000, np.uint16)
    rng = np.random.default_rng(0)
    seen = {digest(array)}
    for _ in range(300):  # two entries of the same place in their words: the weakest spot of a sum
        i, j = 4 * rng.choice(len(array) // 4, 2, replace=False) + 3
        other = array.copy()
        other[[i, j]] = rng.integers(1, 2**16, 2)
        seen.add(digest(other))
    assert len(seen) == 301


def test_it_is_the_same_in_every_process():
    # A fixed number: files hold fingerprints, so they must not depend on machine or version.
    code = "import numpy as np; from keras_sparse.topology.hashing import digest; print(digest(np.arange(50_000)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == digest(np.arange(50_000)) == EXPECTED


def test_where_one_array_ends_matters():
    numbers = np.arange(10)
    assert digest(numbers[:4], numbers[4:]) != digest(numbers[:5], numbers[5:])
