"""Preprocessing: what features look like, precision, strange values, and the winner it makes."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_sparse.search.data import DataError, Dataset, fit, load


def array_data(x, y=None, x_test=None):
    """Classification data whose training part is x."""
    y = np.arange(len(x)) % 2 if y is None else y
    regression = y.dtype.kind == "f"
    x_test = x if x_test is None else x_test
    return Dataset(
        name="made up",
        task="regression" if regression else "classification",
        x_train=x,
        y_train=y,
        x_val=x,
        y_val=y,
        x_test=x_test,
        y_test=y,
        classes=None if regression else [0, 1],
    )


def table(n=60, **columns):
    town = np.array(["Rome", "Oslo", "a\nb", "[UNK]", "日本", 'quo"te'] * (n // 6), dtype=object)
    return array_data({"size": np.arange(n, dtype="float32"), "town": town, **columns}, np.arange(n) % 2)


def network(p):
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(p.n_outputs)]
    if p.task == "classification":
        layers.append(keras.layers.Softmax())
    return keras.Sequential([keras.Input((p.n_features,)), *layers])


def test_features_are_standardised_on_the_training_part_only():
    data = load("digits")
    p = fit(data)
    features = p.features(data.x_train)
    assert features.dtype == np.float32
    assert features.shape == (1150, p.n_features) == (1150, 64)
    loud = data.x_train.std(axis=0) > 3
    np.testing.assert_allclose(features[:, loud].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(features[:, loud].std(axis=0), 1, atol=1e-2)
    # Other held-out data, same preprocessing.
    changed = array_data(data.x_train, data.y_train, x_test=data.x_test * 3)
    np.testing.assert_array_equal(fit(changed).features(data.x_train), features)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint32", "int64", "uint64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 1)])
def test_any_dtype_and_shape(dtype, shape):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 90, (50, *shape)).astype(dtype)
    p = fit(array_data(x))
    (tensor,) = p.model.inputs
    assert (tensor.name, tensor.shape, tensor.dtype) == ("x", (None, *shape), dtype)
    assert p.model.name == "preprocess"
    features = p.features(x)
    expected = x.reshape(50, -1).astype(float)
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_constant_features_stay_silent_whatever_comes():
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    x[:, 2] = 1e6 / 3
    later = x.copy()
    later[:, 2] = -1e30
    features = fit(array_data(x)).features(np.concatenate([x, later]))
    np.testing.assert_array_equal(features[:, 2], 0)


def test_a_nearly_constant_pixel_cannot_explode():
    x = np.random.default_rng(0).integers(0, 256, (1000, 9)).astype("uint8")
    x[:, 4] = 0
    x[7, 4] = 1
    odd = x[:1].copy()
    odd[0, 4] = 255
    features = fit(array_data(x)).features(np.concatenate([odd, x]))
    assert np.abs(features[1:, 4]).max() < 0.1  # one grey level is not worth thirty deviations
    assert np.abs(features).max() <= 10


def test_units_that_differ_are_not_floored():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)) * [1e-12, 1e-3, 1.0, 1e9, 1e20]
    np.testing.assert_allclose(fit(array_data(x)).features(x).std(axis=0), 1, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 6),
    st.lists(st.floats(-(2.0**123), 2.0**123, width=32), min_size=12, max_size=12),
    st.sampled_from(["float32", "float64"]),
)
def test_finite_input_gives_finite_bounded_features(rows, values, dtype):
    x = np.array(values).reshape(rows, -1)[:, :2].astype(dtype) if rows in (2, 3, 4, 6) else np.zeros((5, 2), dtype)
    x[0, 0] += 1
    try:
        features = fit(array_data(x)).features(x)
    except DataError:
        assert (x == x[0]).all()
        return
    assert np.isfinite(features).all()
    assert np.abs(features).max() <= 10


def test_large_offsets_keep_their_signal():
    """Timestamps: in float32, 1.6e9 + t/10 is the same number for all t."""
    t = np.arange(100) / 10
    x = np.stack([1.6e9 + t, t], axis=1)
    features = fit(array_data(x)).features(x)
    np.testing.assert_allclose(features[:, 0], features[:, 1], atol=1e-4)
    times = {"t": (1_600_000_000 + np.arange(100)), "u": 1.6e9 + t, "v": t.astype("float32")}
    data = array_data(times, np.arange(100) % 2)
    features = fit(data).features(times)
    np.testing.assert_allclose(features[:, 0], features[:, 2], atol=1e-4)
    np.testing.assert_allclose(features[:, 1], features[:, 2], atol=1e-4)


def test_whole_timestamps_survive_keras_own_evaluate():
    """Keras casts float64 arrays to float32 before the model sees them; int64 columns are safe from that."""
    times = {"t": (1_600_000_000 + np.arange(96)), "c": np.ones(96, "float32")}
    p = fit(array_data(times, np.arange(96) % 2))
    np.testing.assert_array_equal(p.model.predict(times, verbose=0), p.features(times))


def test_table_inputs_and_one_hot():
    data = table(flag=np.arange(60, dtype="float32") % 2, big=np.arange(60) + 1_600_000_000)
    p = fit(data)
    kinds = {t.name: (t.shape, t.dtype) for t in p.model.inputs}
    assert kinds == {
        "size": ((None,), "float32"),
        "town": ((None,), "string"),
        "flag": ((None,), "float32"),
        "big": ((None,), "int64"),
    }
    assert p.n_features == 3 + 1 + 6
    features = p.features(data.x_train)
    town = features[:, 3:10]
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-5)
    assert len(np.unique(town, axis=0)) == 6
    # Unknown towns, "[UNK]_" and "" among them, look alike: no known one.
    unknown = {k: v[:3] for k, v in data.x_train.items()} | {"town": np.array(["Bonn", "[UNK]_", ""], dtype=object)}
    new = p.features(unknown)[:, 3:10]
    assert np.isfinite(new).all()
    assert len(np.unique(new, axis=0)) == 1
    np.testing.assert_allclose(new[0], town.min(axis=0), atol=1e-6)


def test_categories_come_from_the_training_part():
    data = table()
    x = dict(data.x_train)
    other = Dataset(
        name="t",
        task="classification",
        x_train=x,
        y_train=data.y_train,
        x_val=x,
        y_val=data.y_val,
        x_test=x | {"town": np.array(["Mars"] * 60, dtype=object)},
        y_test=data.y_test,
        classes=[0, 1],
    )
    assert fit(other).n_features == fit(data).n_features


def test_nothing_varies():
    with pytest.raises(DataError, match="every feature is constant in the 30 training rows"):
        fit(array_data(np.ones((30, 3))))


def test_channels_first_is_refused_clearly():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            fit(load("digits"))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_regression_target_and_raw_units():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype("float32")
    y = 5000.0 + 300.0 * x[:, 0].astype(float)
    p = fit(array_data(x, y))
    scaled = p.target(y)
    assert scaled.dtype == np.float32
    assert abs(scaled.mean()) < 1e-5
    assert abs(scaled.std() - 1) < 1e-5
    net = network(p)
    model = p.attach(net)
    expected = net.predict(p.features(x), verbose=0)[:, 0] * y.std() + y.mean()
    predicted = model.predict(x, verbose=0)
    assert predicted.shape == (200, 1)
    np.testing.assert_allclose(predicted[:, 0], expected, rtol=1e-6)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["mse"], np.mean((predicted[:, 0] - y) ** 2), rtol=1e-4)


def test_regression_far_from_zero_predicts_with_enough_digits():
    x = np.random.default_rng(0).normal(size=(100, 2)).astype("float32")
    y = 1_600_000_031.0 + x[:, 0].astype(float)
    p = fit(array_data(x, y))
    predicted = p.attach(network(p)).predict(x, verbose=0)[:, 0]
    assert len(np.unique(predicted)) > 90
    assert np.abs(predicted - 1_600_000_031).max() < 20  # in float32 the offset alone could be wrong by 64


def test_constant_training_target_does_not_divide_by_zero():
    p = fit(array_data(np.random.default_rng(0).normal(size=(20, 2)), np.full(20, 3.5)))
    np.testing.assert_array_equal(p.target(np.array([3.5, 4.5])), [0.0, 1.0])


def test_attach_shares_the_network_and_names_the_parts():
    p = fit(load("digits"))
    net = network(p)
    model = p.attach(net)
    assert [layer.name for layer in model.layers] == ["x", "preprocess", "network"]
    net.layers[0].kernel.assign(net.layers[0].kernel * 2)
    digits = load("digits").x_test
    np.testing.assert_array_equal(
        model.predict(digits, verbose=0), net.predict(p.features(digits), verbose=0, batch_size=32)
    )
    assert net.name != "network"  # the caller's model is left as it was
    assert model.count_params() == net.count_params()


def test_attach_refuses_what_does_not_fit():
    p = fit(load("digits"))
    for n_in, n_out in ((63, 10), (64, 9)):
        wrong = keras.Sequential([keras.Input((n_in,)), keras.layers.Dense(n_out)])
        with pytest.raises(ValueError, match=r"must map \[batch, 64\] to \[batch, 10\].*Received one from"):
            p.attach(wrong)
    with pytest.raises(ValueError, match="must be a built functional or sequential model"):
        p.attach(keras.Sequential([keras.layers.Dense(10)]))


EVALUATE = """
import sys, numpy as np, keras
for folder in sys.argv[1:]:
    model = keras.models.load_model(folder + "/best.keras")
    z = np.load(folder + "/data.npz", allow_pickle=False)
    x = {k[2:]: z[k].astype(object) if z[k].dtype.kind == "U" else z[k] for k in z.files if k.startswith("x_")}
    print(*model.evaluate(x.get("x", x), z["y"], verbose=0))
assert not any(name.startswith("keras_sparse") for name in sys.modules)
"""


def test_winner_evaluates_in_another_process_without_our_code(tmp_path):
    here = []
    for name, data in (("digits", load("digits")), ("table", table()), ("regression", regression_table())):
        folder = tmp_path / name
        folder.mkdir()
        p = fit(data)
        model = p.attach(network(p))
        model.save(folder / "best.keras")
        x = data.x_test if isinstance(data.x_test, dict) else {"x": data.x_test}
        arrays = {f"x_{k}": v.astype(str) if v.dtype == object else v for k, v in x.items()}
        np.savez(folder / "data.npz", y=data.y_test, **arrays)
        here.append(model.evaluate(data.x_test, data.y_test, verbose=0))
        # And what was trained on is what is served.
        output = model.get_layer("network").predict(p.features(data.x_test), verbose=0)
        served = model.predict(data.x_test, verbose=0)
        np.testing.assert_allclose(output * p.y_std + p.y_mean, served, rtol=1e-5, atol=1e-6)
    folders = [str(tmp_path / name) for name in ("digits", "table", "regression")]
    # The second is for older versions of Matplotlib beside a new pyparsing: "'oneOf' deprecated - use 'one_of'".
    warnings = ["-W", "error::UserWarning", "-W", "ignore:'"]
    command = [sys.executable, *warnings, "-c", EVALUATE, *folders]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    there = [[float(value) for value in line.split()] for line in run.stdout.splitlines()]
    np.testing.assert_allclose(there, here, rtol=1e-5)


def regression_table():
    data = table()
    y = np.linspace(0, 1, 60)
    return array_data(data.x_train, y)


def test_mixed_precision_leaves_features_alone():
    data = load("digits")
    plain = fit(data).features(data.x_test)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        p = fit(data)
        np.testing.assert_array_equal(p.features(data.x_test), plain)
        assert p.attach(network(p)).evaluate(data.x_test, data.y_test, verbose=0)[0] > 0
    finally:
        keras.config.set_dtype_policy("float32")


def test_features_of_tf_data_pipelines():
    data = table()
    p = fit(data)
    columns = {k: v.tolist() if v.dtype == object else v for k, v in data.x_train.items()}
    rows = tf.data.Dataset.from_tensor_slices(columns)
    np.testing.assert_allclose(p.model.predict(rows.batch(7), verbose=0), p.features(data.x_train), atol=1e-6)


def test_a_table_of_text_alone_and_a_category_named_like_keras_own_token():
    """Keras drops "[UNK]" from a vocabulary that begins with it."""
    data = array_data({"t": np.array(["[UNK]", "a", "b"] * 10, dtype=object)})
    p = fit(data)
    assert p.n_features == 4
    assert len(np.unique(p.features(data.x_train), axis=0)) == 3
