"""Networks beside the plain ones: other policies, patterns, normalisation, learning rates."""

import keras
import keras_tuner
import numpy as np
import pytest
from keras_sparse.search import search
from keras_sparse.search.conv_space import ConvSpace
from keras_sparse.search.data import load
from keras_sparse.search.hypermodel import SparseHyperModel, cosine
from keras_sparse.search.networks import smoothed
from keras_sparse.search.placing import balanced, informative
from keras_sparse.search.recurrent_space import RecurrentSpace
from keras_sparse.search.space import MLPSpace

import keras_sparse as ks
from keras_sparse.junctions import junctions

BASE = {"hidden_layers": (2, 2), "units": (16,), "input_density": (0.2, 0.3), "batch_sizes": (20,)}


def trained(problem, epochs=2, values=None, **space):
    x, y = problem
    hypermodel = SparseHyperModel(
        MLPSpace(**BASE, **space), n_in=12, n_out=3, task="classification", n_train=len(y), informative=range(3, 12)
    )
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values or {})
    model = hypermodel.build(hp)
    start = model.layers[0].kernel.connectivity
    history = hypermodel.fit(hp, model, x, y, validation_data=(x, y), epochs=epochs, verbose=0)
    return hypermodel, model, start, history.history


def test_a_folded_network_is_the_same_network(problem):
    hypermodel, model, _, _ = trained(problem, normalize=(True,), epochs=4)
    folded = hypermodel.finished(model)
    assert not [layer for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)]
    x, y = problem
    np.testing.assert_allclose(folded.predict(x, verbose=0), model.predict(x, verbose=0), atol=2e-5)
    sizes = [ks.inspect(m).connections for m in (folded, model)]
    assert sizes[0] == sizes[1]
    assert ks.inspect(folded).parameters == ks.inspect(model).parameters - 2 * 2 * 16
    assert "accuracy" in folded.evaluate(x, y, verbose=0, return_dict=True)
    assert hypermodel.finished(folded) is folded


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_folded_convolutional_network_is_the_same_network(dimensions):
    n_in = (6, 5, 2)[2 - dimensions :]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, *n_in)).astype("float32"), rng.integers(3, size=80)
    space = ConvSpace(
        dimensions=dimensions, blocks=(2, 2), filters=(6,), heads=("flatten",), hidden_units=(8,), normalize=(True,)
    )
    hypermodel = SparseHyperModel(space, n_in=n_in, n_out=3, task="classification", padded=dimensions == 1)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, epochs=3, verbose=0)
    folded = hypermodel.finished(model)
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) == 3
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(folded.predict(x, verbose=0), model.predict(x, verbose=0), atol=2e-5)


@pytest.mark.parametrize(
    ("space", "n_in"),
    [
        (ConvSpace(blocks=(1, 1), policies=("rigl",), patterns=("balanced",), schedules=("cosine",)), (6, 5, 2)),
        (RecurrentSpace(layers=(1, 1), policies=("rigl",), patterns=("balanced",), schedules=("cosine",)), (4, 5)),
    ],
)
def test_other_kinds_of_networks_have_policies_patterns_and_schedules_too(space, n_in):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, *n_in)).astype("float32"), rng.integers(3, size=60)
    hypermodel = SparseHyperModel(space, n_in=n_in, n_out=3, task="classification")
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    start = [junction.kernel.connectivity for junction in junctions(model)]
    assert all(np.ptp(connectivity.in_degrees) <= 1 for connectivity in start)
    hypermodel.fit(hp, model, x, y, epochs=3, verbose=0)
    after = [junction.kernel.connectivity for junction in junctions(model)]
    assert [len(connectivity) for connectivity in after] == [len(connectivity) for connectivity in start]
    assert any(a != b for a, b in zip(after, start, strict=True))
    assert float(model.optimizer.learning_rate) < hp.get("learning_rate") / 2  # not 0: RigL's probes are no steps
    assert hypermodel.finished(model) is model


@pytest.mark.parametrize("policy", ["static", "rigl", "deep-r", "continuous-set"])
def test_policies(problem, policy):
    _, model, start, history = trained(problem, policies=(policy,), epochs=3)
    after = model.layers[0].kernel.connectivity
    assert len(after) == len(start)
    if policy != "deep-r":  # which moves what reaches zero only
        assert (after == start) == (policy == "static")
    assert np.isfinite(history["loss"]).all()


def test_patterns(problem):
    for pattern in ("balanced", "informative"):
        _, _, start, _ = trained(problem, patterns=(pattern,))
        assert np.ptp(start.in_degrees) <= 1
        if pattern == "informative":
            assert start.out_degrees[:3].sum() == 0


def test_balanced_connections():
    rng = np.random.default_rng(0)
    found = balanced((20, 7), 45, rng, among=[1, 2, 3, 4, 5, 6, 7])
    assert len(found) == 45
    assert set(found.in_degrees) == {6, 7}
    assert found.out_degrees[8:].sum() == 0
    assert len(balanced((20, 7), 45, rng, among=[3])) == 45  # too few: all inputs
    x = np.c_[np.zeros(50), rng.normal(size=(50, 2)), np.full(50, 3.0)]
    assert informative(x) == [1, 2]


def test_the_learning_rate_rises_and_falls(problem):
    rate = cosine(0.01, 4000)
    assert [float(rate(step)) for step in (0, 100, 200, 2100, 4000)] == pytest.approx(
        [0, 0.005, 0.01, 0.005, 0], abs=1e-4
    )
    _, model, _, _ = trained(problem, schedules=("cosine",))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("policy", "rhythm"), [("rigl", 5), ("set", 6), ("continuous-set", 6)])
def test_connections_move_every_so_many_steps(problem, policy, rhythm, monkeypatch):
    seen = {}

    class Seen(ks.Rewire):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            seen.update(kwargs, callback=self)

    monkeypatch.setattr(ks, "Rewire", Seen)
    _, model, start, _ = trained(
        problem, policies=(policy,), rhythms=(rhythm,), newcomers=("mean",), epochs=4, values={"zeta": 0.3}
    )
    assert seen["newcomers"] == "mean"
    assert seen["every"] == (1 if policy == "continuous-set" else rhythm)
    steps = {entry["step"] for entry in seen["callback"].history}
    if policy != "continuous-set":
        assert rhythm % model.steps_per_execution == 0
        due = int(model.optimizer.iterations) // rhythm
        # The last execution of an epoch may be a shorter one; RigL stops after three quarters, and looks at a step.
        assert due / 2 <= len(steps) <= due + 1
    assert model.layers[0].kernel.connectivity != start


def test_rhythms_are_searched(problem):
    space = MLPSpace(**BASE, rhythms=("epoch", 4), newcomers=("initial", "mean"))
    assert MLPSpace.from_dict(space.to_dict()) == space
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    assert hp.values["rhythm"] == "epoch"
    _, model, *_ = trained(
        problem, rhythms=("epoch", 4), newcomers=("initial", "mean"), values={"rhythm": "4", "newcomers": "mean"}
    )
    assert 4 % model.steps_per_execution == 0
    for wrong in ((), (0,), ("batch",), (4, 4), (2.5,)):
        with pytest.raises(ValueError, match="rhythms: expected"):
            MLPSpace(rhythms=wrong)


def test_dropout(problem):
    hypermodel, model, _, _ = trained(problem, dropouts=(0.0, 0.3), normalize=(True,), values={"dropout": 0.3})
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.3, 0.3]
    x, _ = problem
    folded = hypermodel.finished(model)
    np.testing.assert_allclose(folded.predict(x, verbose=0), model.predict(x, verbose=0), atol=2e-5)
    _, plain, *_ = trained(problem, epochs=1)
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.Dropout)]
    for wrong in ((), (1.0,), (-0.1,), (0.3, 0.1), (0.1, 0.1)):
        with pytest.raises(ValueError, match="dropouts: expected ascending numbers"):
            MLPSpace(dropouts=wrong)


def test_pixels_may_share_a_scale_in_a_search(tmp_path):
    data = load("digits")
    result = search(data, output=tmp_path / "run", space={"scaling": "shared"}, max_trials=1, epochs=1)
    served = keras.models.load_model(result.best["model"])
    inside = served.get_layer("preprocess")
    features = np.asarray(inside(data.x_val))
    np.testing.assert_allclose(features, (data.x_val - data.x_train.mean()) / data.x_train.std(), atol=1e-3)
    accuracy = served.evaluate(data.x_val, data.y_val, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx(result.best["val_accuracy"], abs=1e-6)
    with pytest.raises(ValueError, match="scaling must be one of each, shared, got 'pixels'"):
        MLPSpace(scaling="pixels")


def test_local_fields_are_where_the_picture_says_something():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 72)).astype("float32"), rng.integers(3, size=60)
    alive = [i for i in range(72) if i % 12 // 2 not in (0, 5)]  # 6 x 6 pixels of two channels, no margins
    space = MLPSpace(hidden_layers=(1, 1), units=(64,), input_density=(0.1, 0.1), patterns=("local", "balanced"))
    hypermodel = SparseHyperModel(
        space, n_in=72, n_out=3, task="classification", n_train=60, informative=alive, grid=(6, 6)
    )
    hp = keras_tuner.HyperParameters()
    hp.values = {"pattern": "local", "density_1": 0.1}
    hypermodel.fit(hp, model := hypermodel.build(hp), x, y, epochs=1, verbose=0)
    start = hypermodel.build(hp).layers[0].kernel.connectivity
    assert np.isin(start.inputs, alive).all()
    assert np.ptp(start.in_degrees) <= 1
    rows = start.inputs // 12
    spread = [np.ptp(rows[start.outputs == unit]) for unit in range(64)]
    hp.values = {**hp.values, "pattern": "balanced"}
    other = hypermodel.build(hp).layers[0].kernel.connectivity
    assert np.mean(spread) < 0.8 * np.mean([np.ptp(other.inputs[other.outputs == unit] // 12) for unit in range(64)])
    # Too few inputs vary for so many connections: all are taken.
    hp.values = {**hp.values, "pattern": "local"}
    hypermodel.informative = [14]
    assert len(hypermodel.build(hp).layers[0].kernel.connectivity) == len(start)
    assert np.isfinite(model.predict(x, verbose=0)).all()
    with pytest.raises(ValueError, match='"local" needs the `grid`'):
        SparseHyperModel(space, n_in=72, n_out=3, task="classification").build(hp)


def test_local_fields_go_on_behind_the_first_layer_and_end_at_the_output():
    layers = {"hidden_layers": 2, "units_1": 144, "units_2": 64, "density_1": 0.06, "density_2": 0.06}
    space = MLPSpace(hidden_layers=(2, 2), units=(64, 144), patterns=("local", "balanced"))
    hypermodel = SparseHyperModel(space, n_in=144, n_out=3, task="classification", grid=(12, 12))
    spans = {}
    for pattern in space.patterns:
        hp = keras_tuner.HyperParameters()
        hp.values = {**layers, "density_output": 0.5, "pattern": pattern}
        first, second, output = (layer.kernel.connectivity for layer in hypermodel.build(hp).layers)
        spans[pattern] = [
            np.mean([np.ptp(c.inputs[c.outputs == unit] // 12) for unit in range(c.shape[1])])
            for c in (first, second, output)
        ]
    for local, other in zip(spans["local"][:2], spans["balanced"][:2], strict=True):
        assert local < 0.7 * other
    assert spans["local"][2] > 3


def test_local_fields_are_searched_on_images_only(tmp_path):
    result = search(load("digits"), output=tmp_path / "run", space={"patterns": ("local",)}, max_trials=1, epochs=1)
    assert result.best is not None
    table = tmp_path / "flat.npz"
    rng = np.random.default_rng(0)
    np.savez(table, x_train=rng.normal(size=(60, 5)), y_train=np.arange(60) % 3)
    with pytest.raises(ValueError, match='cannot be searched with the pattern "local": it is for images'):
        search(load(str(table)), output=tmp_path / "other", space={"patterns": ("local",)}, max_trials=1)
    assert not [path for path in (tmp_path / "other").iterdir() if not path.name.startswith(".")]


def test_smoothed_labels_are_one_hot_ones_smoothed():
    found = np.random.default_rng(0).dirichlet(np.ones(4), size=6).astype("float32")
    labels = np.array([0, 1, 2, 3, 1, 1])
    wanted = keras.losses.categorical_crossentropy(np.eye(4)[labels], found, label_smoothing=0.2)
    np.testing.assert_allclose(smoothed(0.2)(labels[:, None], found), wanted, rtol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
def test_decay_and_smoothing_end_with_the_training(problem, normalize):
    small, free = (
        trained(
            problem,
            epochs=6,
            normalize=(normalize,),
            weight_decays=(0.0, 3.0),
            smoothings=(0.0, 0.5),
            values={"weight_decay": decay, "smoothing": smoothing, "learning_rate": 0.01},
        )
        for decay, smoothing in ((3.0, 0.0), (0.0, 0.5))
    )
    norms = [np.linalg.norm(model.layers[-1].kernel.values) for _, model, *_ in (small, free)]
    assert norms[0] < 0.5 * norms[1]
    hypermodel, model, _, history = free
    x, y = problem
    # With half of each label spread over three classes nothing gets below the entropy of such labels.
    assert min(history["loss"]) > -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 6))
    kept = hypermodel.finished(model)
    told = kept.evaluate(x, y, verbose=0, return_dict=True)
    found = kept.predict(x, verbose=0)
    assert told["loss"] == pytest.approx(-np.log(found[np.arange(len(y)), y]).mean(), rel=1e-4)


def test_numbers_to_choose_from_are_checked():
    space = MLPSpace(weight_decays=(0, 0.1), smoothings=(0.0, 0.1))
    assert MLPSpace.from_dict(space.to_dict()) == space
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    assert (hp.values["weight_decay"], hp.values["smoothing"]) == (0.0, 0.0)
    for wrong in ((), (-0.1,), (0.1, 0.1), ("a",), (0.1, float("inf"))):
        with pytest.raises(ValueError, match=r"weight_decays: expected ascending numbers within \[0, inf\)"):
            MLPSpace(weight_decays=wrong)
    with pytest.raises(ValueError, match=r"smoothings: expected ascending numbers within \[0, 1\)"):
        ConvSpace(smoothings=(1.0,))
