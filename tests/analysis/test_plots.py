import keras
import matplotlib
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.analysis import plot_degrees, plot_input_map, plot_turnover

matplotlib.use("Agg")
from matplotlib import pyplot


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


@pytest.fixture
def model():
    return keras.Sequential(
        [
            keras.Input((64,)),
            ks.SparseDense(100, density=0.1, seed=1, name="first"),
            ks.SparseDense(10, density=0.3, seed=2, name="second"),
            keras.layers.Dense(4, name="dense"),
        ]
    )


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_degrees(model, tmp_path):
    ax = plot_degrees(model)
    assert labels(ax) == ["first, in-degree", "second, in-degree", "random, same mean"]
    k, _, at_least = ks.analysis.degree_distribution(ks.analysis.degrees(model.get_layer("first")).in_degrees)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.stack([k, at_least], 1)[k > 0])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    ax.figure.savefig(tmp_path / "degrees.png")
    kernel = model.get_layer("first").kernel
    assert labels(plot_degrees(kernel))[:2] == ["in-degree", "out-degree"]
    assert labels(plot_degrees(np.array([1, 2, 2])))[0] == "degrees"
    with pytest.raises(ValueError, match="All junctions are dense"):
        plot_degrees(model.get_layer("dense"))


def test_input_map(model):
    figure, ax = pyplot.subplots()
    assert plot_input_map(model, (8, 8), ax=ax) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), ks.analysis.input_map(model, shape=(8, 8)))
    coloured = plot_input_map(model, (4, 4, 4), weighted=True)
    expected = ks.analysis.input_map(model, shape=(4, 4, 4), weighted=True).sum(2)
    np.testing.assert_allclose(coloured.images[0].get_array(), expected)
    figure.canvas.draw()
    with pytest.raises(ValueError, match="height, width"):
        plot_input_map(model, (64,))


def test_turnover():
    history = {
        "a": {"epoch": np.arange(3), "turnover": np.array([0, 0.3, 0.2]), "explored": np.array([0.1, 0.2, 0.25])},
        "b": {"epoch": np.arange(3), "turnover": np.array([0, 0.1, 0.1]), "explored": np.full(3, np.nan)},
    }
    ax = plot_turnover(history)
    assert [line.get_ydata().tolist() for line in ax.lines[:3]] == [[0, 0.3, 0.2], [0.1, 0.2, 0.25], [0, 0.1, 0.1]]
    with pytest.raises(ValueError, match="Nothing was recorded"):
        plot_turnover(ks.analysis.Monitor())
