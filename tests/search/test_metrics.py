"""Keras metrics on the search's labels and outputs, against scikit-learn and by hand."""

import keras
import numpy as np
import pytest
from keras_sparse.search.metrics import Adapted, canonical, direction_of, evaluate
from sklearn.metrics import f1_score, log_loss, mean_absolute_error, roc_auc_score


class Fixed:
    """A model that predicts what it was given."""

    def __init__(self, outputs):
        self.outputs = np.asarray(outputs, "float32")

    def predict(self, x, **_):
        return self.outputs


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def probabilities(rng, n, classes):
    return rng.dirichlet(np.ones(classes), n)


def test_several_classes(rng):
    y, p = rng.integers(0, 3, 2500), probabilities(rng, 2500, 3)

    def value(name):
        return evaluate(Fixed(p), Adapted(name, "classification", 3), np.zeros(2500), y)

    assert value("f1_score") == pytest.approx(f1_score(y, p.argmax(1), average="macro"), abs=1e-5)
    assert value("sparse_categorical_crossentropy") == pytest.approx(log_loss(y, p), abs=1e-5)
    assert value("categorical_crossentropy") == pytest.approx(log_loss(y, p), abs=1e-5)
    assert value("auc") == pytest.approx(roc_auc_score(np.eye(3)[y].ravel(), p.ravel()), abs=2e-3)


def test_two_classes(rng):
    y = rng.integers(0, 2, 500)
    p = probabilities(rng, 500, 2)
    auc = evaluate(Fixed(p), Adapted("auc", "classification", 2), np.zeros(500), y)
    assert auc == pytest.approx(roc_auc_score(y, p[:, 1]), abs=5e-3)


def test_regression_in_the_targets_own_unit(rng):
    y = rng.normal(50, 3, 300)
    metric = Adapted("mae", "regression", 1, mean=50.0, deviation=3.0)
    standardised = ((y - 50) / 3).astype("float32")
    assert evaluate(Fixed(np.zeros((300, 1))), metric, y, standardised) == pytest.approx(
        mean_absolute_error(y, np.full(300, 50.0)), rel=1e-5
    )


def test_they_work_in_fit(rng):
    x, y = rng.normal(size=(64, 4)), rng.integers(0, 3, 64)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", Adapted("auc", "classification", 3)])
    logs = model.fit(x, y, validation_data=(x, y), verbose=0).history
    assert logs["val_auc"][0] == pytest.approx(evaluate(model, Adapted("auc", "classification", 3), x, y), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", "max"), ("auc", "max"), ("f1_score", "max"), ("R2Score", "max"), ("recall", "max"), ("mse", "min"),
        ("mae", "min"), ("mape", "min"), ("root_mean_squared_error", "min"), ("sparse_categorical_crossentropy", "min"),
        ("kl_divergence", "min"), ("false_negatives", "min"), ("loss", "min"), ("cosine_similarity", "max"),
    ],
)  # fmt: skip
def test_directions(name, direction):
    assert direction_of(name) == direction


def test_names():
    assert canonical(None, "classification") == "accuracy"
    assert canonical(None, "regression") == "mse"
    assert canonical("rmse", "regression") == "root_mean_squared_error"
    with pytest.raises(ValueError, match="no metric 'nonsense'"):
        Adapted("nonsense", "classification", 3)
    with pytest.raises(ValueError, match="cannot be made by its name alone"):
        Adapted("mean_io_u", "classification", 3)
