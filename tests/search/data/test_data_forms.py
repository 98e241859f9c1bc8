"""Images and sequences: shapes, lengths from files, and their preprocessing."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras_sparse.search.data import DataError, fit, load, with_lengths
from keras_sparse.search.data.forms import example_shape
from keras_sparse.search.data.statistics import PADDING

Y = np.arange(40) % 2
RNG = np.random.default_rng(0)


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    return save


@pytest.mark.parametrize(
    ("shape", "features", "images", "sequences"),
    [
        ((6, 5), (30,), (6, 5, 1), (6, 5)),
        ((6, 5, 3), (90,), (6, 5, 3), (6, 15)),
        ((4,), (4,), None, None),
        ((2, 3, 4, 5), (120,), None, (2, 60)),
    ],
)
def test_one_array_seen_in_three_ways(save, shape, features, images, sequences):
    data = load(save(x=RNG.normal(size=(40, *shape)), y=Y))
    for form, expected in (("features", features), ("images", images), ("sequences", sequences)):
        if expected is None:
            with pytest.raises(DataError, match=r"data.npz has examples of shape .*Reshape x to \[rows, "):
                fit(data, form)
            continue
        p = fit(data, form)
        assert example_shape(data, form) == p.shape == expected
        assert p.n_features == np.prod(shape)
        assert p.features(data.x_val).shape == (len(data.y_val), *expected)
        assert p.model.input_shape == (None, *shape)


def test_digits_are_images_as_they_are_flat():
    data = load("digits")
    assert data.x_train.shape[1:] == (64,)
    p = fit(data, "images")
    assert p.shape == (8, 8, 1)
    assert fit(data, "sequences").shape == (8, 8)
    features = p.features(data.x_train)
    raw = data.x_train.reshape(-1, 8, 8, 1)
    np.testing.assert_allclose(features, (raw - raw.mean()) / raw.std(), atol=1e-4)


def test_features_may_share_one_scale():
    data = load("digits")
    p = fit(data, shared=True)
    raw = data.x_train
    np.testing.assert_allclose(p.features(raw), (raw - raw.mean()) / raw.std(), atol=1e-4)
    # The margin is seldom on: by its own deviation it is as loud as the middle.
    assert np.ptp(fit(data).features(raw).std(axis=0)) < np.ptp(p.features(raw).std(axis=0))


def test_columns_of_a_table_share_no_scale(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,y\n" + "\n".join(f"{i},{i * 1000},{'pq'[i % 2]}" for i in range(40)))
    with pytest.raises(DataError, match=r"columns share no unit.*Leave scaling at 'each'"):
        fit(load(str(path)), shared=True)


def test_tables_are_no_images(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(40)))
    for form in ("images", "sequences"):
        with pytest.raises(DataError, match=f"t.csv is a table, and networks on {form} need arrays. Use the network"):
            fit(load(str(path)), form)


def test_images_are_standardised_per_channel(save):
    x = (RNG.normal(size=(40, 5, 4, 3)) * [1, 30, 0] + [5, 100, 7]).astype("float32")
    data = load(save(x=x, y=Y))
    features = fit(data, "images").features(data.x_train)
    np.testing.assert_allclose(features.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    assert (features[..., 2] == 0).all()  # constant
    assert features[..., 1].std() == pytest.approx(1, abs=1e-3)
    # Neighbouring pixels keep their order: one scale for the whole channel.
    np.testing.assert_allclose(np.argsort(features[0, :, :, 1].ravel()), np.argsort(data.x_train[0, :, :, 1].ravel()))


def padded(n=40, time=6):
    """Sequences with garbage behind their ends."""
    length = RNG.integers(1, time + 1, n)
    x = RNG.normal(3.0, 2.0, size=(n, time, 2)).astype("float32")
    x[np.arange(time) >= length[:, None]] = 1000.0
    x[0, 0], length[0] = 0.0, time
    return x, length


@pytest.mark.parametrize("name", ["length", "Lengths"])
def test_lengths_follow_their_sequences_into_the_parts(save, name):
    x, length = padded()
    x[:, 0, 0] = length  # to recognise them by
    data = load(save(x=x, y=Y, **{name: length[:, None].astype("float64")}))
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(data, f"length_{part}"), getattr(data, f"x_{part}")[:, 0, 0])
    assert data.length_train.dtype == np.int64
    other = load(save(x=x, y=Y, length=np.full(40, 6)))
    assert other.fingerprint != data.fingerprint
    # Other networks see the arrays as ever.
    assert fit(data).shape == (12,)


def test_padding_takes_no_part(save):
    x, length = padded()
    data = with_lengths(load(save(x_train=x, y_train=Y, x_test=x, y_test=Y, length_train=length, length_test=length)))
    assert not data.is_table
    p = fit(data, "sequences")
    assert p.padded
    features = p.features(data.x_train)
    real = np.arange(6) < data.x_train["length"][:, None]
    assert (features[~real] == PADDING).all()
    np.testing.assert_allclose(features[real].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features[real].std(axis=0), 1, atol=1e-4)
    cleaned = {"x": np.where(real[..., None], data.x_train["x"], 0), "length": data.x_train["length"]}
    np.testing.assert_array_equal(p.features(cleaned), features)


def test_the_served_model_takes_raw_sequences_and_lengths(save, tmp_path):
    x, length = padded()
    data = with_lengths(load(save(x=x, y=Y, length=length)))
    p = fit(data, "sequences")
    network = keras.Sequential([keras.Input((6, 2)), keras.layers.Masking(PADDING), keras.layers.GRU(4)])
    network.add(keras.layers.Dense(2, activation="softmax"))
    p.attach(network).save(tmp_path / "m.keras")
    served = keras.models.load_model(tmp_path / "m.keras")
    expected = network.predict(p.features(data.x_test), verbose=0)
    np.testing.assert_allclose(served.predict(data.x_test, verbose=0), expected, atol=1e-5)
    assert "accuracy" in served.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)


def test_without_lengths_all_steps_count(save):
    x, _ = padded()
    data = load(save(x=x, y=Y))
    assert with_lengths(data) is data
    p = fit(data, "sequences")
    assert not p.padded
    assert p.features(data.x_train).min() >= -10


def test_an_array_called_length_beside_images_or_rows_means_nothing(save):
    assert load(save(x=RNG.normal(size=(40, 3)), y=Y, length="any")).length_train is None
    assert load(save(x=RNG.normal(size=(40, 3, 3, 1)), y=Y, length=np.zeros(3))).length_train is None


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (np.full(39, 2), r"data.npz: length has shape \[39\] and dtype int64. Expected one whole number from 1 to 6"),
        (np.full((40, 2), 2), r"has shape \[40, 2\].* for each of the 40 rows"),
        (np.array(3), r"has shape \[\]"),
        (np.full(40, "a"), "dtype <U1.*Rename the array if it means something else"),
        (np.full(40, 7), r"length\[0\] is 7. Expected one whole number from 1 to 6"),
        (np.r_[np.ones(5), 0, np.ones(34)], r"length\[5\] is 0"),
        (np.r_[np.ones(7), np.nan, np.ones(32)], r"length\[7\] is nan"),
        (np.full(40, 1.5), r"length\[0\] is 1.5"),
        (np.full(40, -1), r"length\[0\] is -1"),
        (np.array([None] * 40), "holds Python objects, which are never unpickled"),
    ],
)
def test_lengths_that_are_none_are_refused(save, length, message):
    with pytest.raises(DataError, match=message):
        load(save(x=padded()[0], y=Y, length=length))


def test_lengths_of_some_parts_only_are_refused(save):
    x, length = padded()
    parts = {"x_train": x, "y_train": Y, "x_test": x, "y_test": Y}
    for lengths in ({"length_train": length}, {"length": length}):
        with pytest.raises(
            DataError, match=r"has no array (length_train or )?length_test\. Expected the lengths of ev"
        ):
            load(save(**parts, **lengths))


def test_lengths_are_for_sequences_only(save):
    x, length = padded()
    with pytest.raises(ValueError, match="Leave with_lengths out"):
        fit(with_lengths(load(save(x=x, y=Y, length=length))))


SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no data sets at {SHARED}")
def test_real_sequences():
    data = with_lengths(load(str(SHARED / "japanese_vowels.npz")))
    p = fit(data, "sequences")
    assert p.shape == (29, 12)
    assert set(data.x_test) == {"x", "length"}
    features = p.features(data.x_train)
    assert 0 < np.mean(features == PADDING) < 0.7
