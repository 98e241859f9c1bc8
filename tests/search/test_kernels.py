"""The kernel over mixed spaces, against the paper's example and finite differences."""

import numpy as np
import pytest
from keras_sparse.search.kernels import ABSENT, MixedKernel
from keras_sparse.search.surrogate import Layout, _scales, predict


def test_the_ramp_of_the_paper():
    """Deep-n-Cheap: d = 0.875, 1.236, 3, hence 0.682, 0.466, 0.01 and their mean 0.386."""
    kernel = MixedKernel(np.array([1 / 3]), (), ((0, 1, 2),))
    a = np.array([[0.0, 0.0, ABSENT]])
    b = np.array([[0.875 / 3, (1.236 / 3) ** 2, 0.7]])
    assert kernel(a, b)[0, 0] == pytest.approx(0.386, abs=1e-3)
    assert kernel(a, a)[0, 0] == kernel(b, b)[0, 0] == 1


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0, 1.5])
def test_it_is_a_kernel_for_lists_of_any_lengths(scale):
    rng = np.random.default_rng(0)
    x = rng.random((60, 5))
    for row, length in zip(x, rng.integers(0, 5, 60)):
        row[1 + length :] = ABSENT
    matrix = MixedKernel(np.array([0.7, scale]), (0,), ((1, 2, 3, 4),))(x)
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-8


def test_the_gradient_is_that_of_differences():
    rng = np.random.default_rng(0)
    x = rng.random((9, 6))
    x[:4, 5] = ABSENT
    scales = np.array([0.5, 1.0, 0.4, 0.8])
    layout = ((0, 1), ((2, 3), (4, 5)))
    value, gradient = MixedKernel(scales, *layout)(x, eval_gradient=True)
    for i in range(4):
        moved = scales.copy()
        moved[i] *= np.exp(1e-6)
        slope = (MixedKernel(moved, *layout)(x) - value) / 1e-6
        np.testing.assert_allclose(gradient[..., i], slope, atol=1e-5)


def test_a_process_finds_the_coordinate_that_matters():
    rng = np.random.default_rng(0)
    past, new = rng.random((40, 6)), rng.random((50, 6))
    mean, deviation = predict(Layout((0, 1, 2, 3), ((4, 5),)), past, np.sin(4 * past[:, 1]), new)
    truth = np.sin(4 * new[:, 1])
    assert np.abs(mean - truth).mean() < 0.1
    assert np.all(deviation > 0)
    mean, _ = predict(Layout((0, 1, 2, 3, 4, 5), ()), past, np.full(40, 2.0), new)
    assert np.all(mean == 2.0)


@pytest.mark.parametrize("results", [18, 43, 90])
def test_a_prediction_is_a_function_of_the_results_whatever_was_predicted_before(results):
    rng = np.random.default_rng(1)
    past, new = rng.random((results + 3, 4)), rng.random((20, 4))
    targets = np.cos(3 * past[:, 0]) + 0.01 * rng.standard_normal(len(past))
    layout = Layout((0, 1, 2, 3), ())
    _scales.cache_clear()
    alone = predict(layout, past[:results], targets[:results], new)
    _scales.cache_clear()
    for n in range(results - 4, results):
        predict(layout, past[:n], targets[:n], new)
    assert _scales.cache_info().misses < 3 or results <= 20  # fits are shared
    after = predict(layout, past[:results], targets[:results], new)
    np.testing.assert_array_equal(alone, after)
    assert np.abs(after[0] - np.cos(3 * new[:, 0])).mean() < 0.05
    # A result that is not fitted to counts all the same.
    more = predict(layout, past, np.append(targets[:-3], targets[-3:] + 1.0), new)
    assert not np.allclose(more[0], after[0])
