from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.rewiring.sharing import divide


def test_in_proportion():
    assert divide(10, [1, 3, 1], [100, 100, 100]) == [2, 6, 2]


def test_what_is_too_much_for_one_goes_to_the_others():
    assert divide(10, [1, 3, 1], [100, 2, 100]) == [4, 2, 4]


def test_no_more_than_there_is_room_for():
    assert divide(10, [1, 1], [3, 2]) == [3, 2]


def test_equal_shares_without_weights():
    assert divide(4, [0, 0], [9, 9]) == [2, 2]


@given(st.integers(0, 500), st.lists(st.tuples(st.floats(0, 10), st.integers(0, 99)), min_size=1, max_size=8))
def test_the_sum_is_exact_and_no_limit_is_exceeded(total, kernels):
    weights, limits = zip(*kernels, strict=True)
    counts = divide(total, weights, limits)
    assert sum(counts) == min(total, sum(limits))
    assert all(0 <= count <= limit for count, limit in zip(counts, limits, strict=True))


def test_weights_that_are_not_finite_count_as_equal():
    assert divide(10, [float("inf"), 1.0], [8, 8]) == [5, 5]
