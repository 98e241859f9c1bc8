"""TFDS: local copies of all kinds, and quick, clear failure without a network."""

import json
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from keras_sparse.search.data import DataError, load, tfds_source
from keras_sparse.search.data import network as net

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "tfds"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no prepared data sets at {SHARED}")


@needs_shared
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_prepared_images(name, monkeypatch):
    monkeypatch.setattr(net.socket, "create_connection", lambda *a, **k: pytest.fail("asked the network"))
    data = load(name, data_dir=str(SHARED), seed=1)
    assert data.x_train.shape == (48000, 28, 28, 1)
    assert data.x_train.dtype == np.uint8
    assert (len(data.y_val), len(data.y_test)) == (12000, 10000)
    assert len(data.classes) == 10
    # The published test split, untouched.
    import tensorflow_datasets as tfds

    published = tfds.as_numpy(tfds.load(name, split="test", data_dir=str(SHARED)).take(5))
    for x, y, example in zip(data.x_test, data.y_test, published, strict=False):
        np.testing.assert_array_equal(x, example["image"])
        assert y == example["label"]


def store(folder, features, splits, supervised=("size", "label")):
    """Write a prepared data set "tiny" of examples given as arrays per split."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        features=features(tfds.features),
        split_datasets={split: tf.data.Dataset.from_tensor_slices(arrays) for split, arrays in splits.items()},
        data_dir=str(folder),
    )
    if supervised:
        path = folder / "tiny" / "1.0.0" / "dataset_info.json"
        info = json.loads(path.read_text())
        info["supervisedKeys"] = {"tuple": {"items": [{"featureKey": key} for key in supervised]}}
        path.write_text(json.dumps(info))


def examples(n, **more):
    return {"size": np.arange(n, dtype="float32"), "label": np.arange(n) % 2, **more}


def numbers(f):
    return f.FeaturesDict({"size": np.float32, "label": f.ClassLabel(names=["no", "yes"])})


def test_own_data_set_with_all_splits(tmp_path):
    splits = {"train": examples(20), "validation": examples(6), "test": examples(8)}
    store(tmp_path, numbers, splits)
    data = load("tiny", data_dir=str(tmp_path))
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [20, 6, 8]
    assert data.classes == ["no", "yes"]
    np.testing.assert_array_equal(data.y_train, data.x_train[:, 0] % 2)
    assert load("tiny:1.0.0", data_dir=str(tmp_path)).fingerprint == data.fingerprint


def test_target_where_there_are_no_supervised_keys(tmp_path):
    def features(f):
        town = f.ClassLabel(names=["Rome", "Oslo"])
        return f.FeaturesDict({"size": np.float32, "town": town, "note": np.str_, "label": np.int64})

    n = 30
    more = {"town": np.arange(n) % 2, "note": np.where(np.arange(n) % 3, b"x", b"y")}
    store(tmp_path, features, {"train": examples(n, **more)}, supervised=None)
    with pytest.raises(DataError, match=r"no supervised keys.*Its features: label, note, size, town"):
        load("tiny", data_dir=str(tmp_path))
    with pytest.raises(DataError, match="no feature 'lable' for the target"):
        load("tiny", data_dir=str(tmp_path), target="lable")
    data = load("tiny", data_dir=str(tmp_path), target="label")
    assert set(data.x_train["town"]) == {"Rome", "Oslo"}
    assert set(data.x_train["note"]) == {"x", "y"}
    assert data.x_train["size"].dtype == np.float32
    assert list(data.x_train) == ["note", "size", "town"]
    assert load("tiny", data_dir=str(tmp_path), target="size").task == "regression"


def test_missing_values_in_a_table(tmp_path):
    train, test = examples(20, other=np.arange(20)), examples(20, other=np.arange(20))
    test["size"][3] = np.nan

    def features(f):
        return f.FeaturesDict({"size": np.float32, "other": np.int64, "label": np.int64})

    store(tmp_path, features, {"train": train, "test": test}, supervised=None)
    with pytest.raises(DataError, match=r"test example \d+ \(counting from 1\), column 'size': the value is missing"):
        load("tiny", data_dir=str(tmp_path), target="label")


def test_hidden_labels_are_no_test_split(tmp_path):
    hidden = {"size": np.arange(5, dtype="float32") + 1000, "label": np.full(5, -1)}
    store(tmp_path, numbers, {"train": examples(20), "test": hidden})
    data = load("tiny", data_dir=str(tmp_path))
    assert data.x_test.max() < 1000
    partly = {"size": np.arange(5, dtype="float32"), "label": np.array([0, 1, -1, 1, 0])}
    shutil.rmtree(tmp_path / "tiny")
    store(tmp_path, numbers, {"train": examples(20), "test": partly})
    with pytest.raises(DataError, match=r"label \(test\)\[\d\] is -1: a missing label"):
        load("tiny", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        (lambda f: f.Tensor(shape=(None,), dtype=np.int64), np.zeros((20, 3), int), "examples of different shapes"),
        (lambda f: f.Text(), np.array([b"a b c"] * 20), "'size' holds text"),
        (lambda f: f.Sequence(np.int64), np.zeros((20, 3), int), "examples of different shapes|is a Sequence"),
    ],
)
def test_not_arrays_of_one_shape(tmp_path, feature, values, message):
    def features(f):
        return f.FeaturesDict({"size": feature(f), "label": np.int64})

    splits = {"train": {"size": values, "label": np.arange(20) % 2}}
    store(tmp_path, features, splits)
    with pytest.raises(DataError, match=message):
        load("tiny", data_dir=str(tmp_path))


def test_no_train_split(tmp_path):
    store(tmp_path, numbers, {"everything": examples(20)})
    with pytest.raises(DataError, match=r"tiny has no train split. Its splits: everything"):
        load("tiny", data_dir=str(tmp_path))


def test_too_large_for_memory(tmp_path, monkeypatch):
    from keras_sparse.search.data import tfds_source

    store(tmp_path, numbers, {"train": examples(20)})
    monkeypatch.setattr(tfds_source.os, "sysconf", lambda name: 10)
    with pytest.raises(DataError, match=r"train split needs .* more than half of this machine's memory"):
        load("tiny", data_dir=str(tmp_path))


def test_damaged_copy(tmp_path):
    store(tmp_path, numbers, {"train": examples(20)})
    (shard,) = (tmp_path / "tiny" / "1.0.0").glob("*.tfrecord*")
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"the train split in .* cannot be read.*damaged or incomplete"):
        load("tiny", data_dir=str(tmp_path))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(net.socket, "create_connection", refuse)


def test_not_prepared_and_offline(tmp_path, offline):
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        load("cifar10", data_dir=str(tmp_path / "here"))
    assert time.monotonic() - start < 10
    message = str(caught.value)
    for piece in ("cifar10/3.0.2", str(tmp_path / "here"), "toronto.edu does not answer", "tfds build cifar10:3.0.2"):
        assert piece in message
    assert "--data-dir" in message


def test_fetched_by_hand(tmp_path, offline):
    with pytest.raises(DataError, match=r"must be fetched by hand first: .*tfds build imagenet2012"):
        load("imagenet2012", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifra10", "neither a file nor a data set that TFDS knows. Did you mean cifar10"),
        ("digit", "Did you mean digits"),
        ("qqqqqqq", "neither a file nor a data set that TFDS knows. Expected digits"),
        ("mnist:9.9.9", r"TFDS knows 'mnist', but not 'mnist:9.9.9': .*only: 3\.0\.1"),
        ("mnist/foo", "TFDS knows 'mnist', but not 'mnist/foo': BuilderConfig foo not found"),
        ("huggingface:mnist", "neither a file nor the name of a data set"),
    ],
)
def test_unknown_names(name, message, tmp_path, offline):
    with pytest.raises(DataError, match=message):
        load(name, data_dir=str(tmp_path))


def test_a_failing_download_is_explained(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(self, **keywords):
        raise ConnectionError("connection reset")

    monkeypatch.setattr(tfds_source, "unreachable", lambda urls: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(DataError, match=r"preparing it failed: connection reset. Where there is a network"):
        load("cifar10", data_dir=str(tmp_path))


def test_probe():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert net.unreachable([f"http://127.0.0.1:{port}/x", f"http://127.0.0.1:{port}/y"]) is None
    assert net.unreachable([f"http://127.0.0.1:{port}/x"]) == "127.0.0.1"


def test_probe_gives_up_in_time(monkeypatch):
    def late(*a, **k):
        time.sleep(30)
        raise TimeoutError

    monkeypatch.setattr(net.socket, "create_connection", late)
    start = time.monotonic()
    assert net.unreachable(["http://a.example/x", "http://b.example/x"], timeout=0.3) == "a.example"
    assert time.monotonic() - start < 2


def test_probe_asks_the_proxy(monkeypatch):
    asked = []

    def connect(address, timeout):
        asked.append(address)
        return socket.socket()

    monkeypatch.setattr(net.socket, "create_connection", connect)
    monkeypatch.setattr(net, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert net.unreachable(["https://storage.googleapis.com/x"]) is None
    assert asked == [("proxy.example", 3128)]
