"""npz files: parts, dtypes, and everything that may be wrong with arrays."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from keras_sparse.search.data import DataError, load

X = np.arange(60.0).reshape(20, 3)
Y = np.arange(20) % 2


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    return save


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "uint64", "float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 1)])
def test_x_keeps_its_shape_and_dtype(save, dtype, shape):
    x = (np.arange(20 * int(np.prod(shape, dtype=int))) % 7).reshape(20, *shape).astype(dtype)
    data = load(save(x=x, y=Y))
    assert data.x_train.shape[1:] == (shape or (1,))
    assert data.x_train.dtype == np.dtype(dtype).newbyteorder("=")
    assert not data.is_table


def test_own_parts_are_kept(save):
    parts = {f"x_{p}": X + k for k, p in enumerate(["train", "valid", "test"])}
    data = load(save(**parts, y_train=Y, y_valid=Y[::-1], y_test=Y))
    np.testing.assert_array_equal(data.x_train, X)
    np.testing.assert_array_equal(data.x_val, X + 1)
    np.testing.assert_array_equal(data.x_test, X + 2)
    np.testing.assert_array_equal(data.y_val, Y[::-1])


def test_validation_comes_from_training_and_own_test_stays(save):
    data = load(save(X_train=X, Y_train=Y, x_test=X + 100, y_test=Y))
    np.testing.assert_array_equal(data.x_test, X + 100)
    assert len(data.y_val) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate([data.x_train, data.x_val])[:, 0]), X[:, 0])


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (Y, "classification", [0, 1]),
        (Y * 2.0 - 1.0, "classification", [-1, 1]),
        (Y.astype(bool), "classification", [False, True]),
        (np.where(Y, "cat", "dog"), "classification", ["cat", "dog"]),
        (np.where(Y, b"cat", b"dog"), "classification", ["cat", "dog"]),
        (np.eye(2)[Y], "classification", [0, 1]),
        (Y[:, None], "classification", [0, 1]),
        (np.linspace(0, 1, 20), "regression", None),
        (np.arange(20), "regression", None),
    ],
)
def test_targets(save, y, task, classes):
    data = load(save(x=X, y=y))
    assert data.task == task
    assert data.classes == classes
    if classes == ["cat", "dog"]:
        np.testing.assert_array_equal(data.y_train, (data.x_train[:, 0] / 3 + 1) % 2)


def test_task_can_be_forced(save):
    assert load(save(x=X, y=Y), task="regression").classes is None
    with pytest.raises(DataError, match="Regression needs a target of numbers, but it holds text such as 'a'"):
        load(save(x=X, y=np.where(Y, "b", "a")), task="regression")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": Y}, r"lacks its inputs or targets\. Expected the arrays x and y; or .*Found a, b\."),
        ({}, "Found nothing"),
        ({"x": X}, "Found x"),
        ({"x_train": X, "x_test": X, "y_test": Y}, "has no array y_train beside x_train"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "has no array y_test beside x_test"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "has both x, y and parts"),
        ({"x": X, "X": X, "y": Y}, "has both x and X"),
        ({"x_train": X, "y_train": Y, "x_val": X, "y_val": Y, "x_valid": X, "y_valid": Y}, "has several val parts"),
        ({"x": X, "y": Y[:-1]}, r"data\.npz: y has 19 rows, but the inputs have 20"),
        ({"x": X, "y": np.array(3)}, "y has a single value, but the inputs have 20"),
        ({"x": np.array(3.0), "y": Y}, "x is a single value"),
        ({"x": X[:0], "y": Y[:0]}, r"x is empty: its shape is \[0, 3\]"),
        ({"x": X[:, :0], "y": Y}, "x has no features"),
        ({"x": X + 0j, "y": Y}, r"x holds complex numbers \(dtype complex128\)"),
        ({"x": X.astype(str), "y": Y}, "x holds text"),
        ({"x": X.astype("datetime64[s]"), "y": Y}, r"x holds values \(dtype datetime64\[s\]\)"),
        ({"x": X.astype(np.longdouble), "y": Y}, "x holds values"),
        ({"x": X, "y": Y + 0j}, "y has dtype complex128"),
        ({"x": X, "y": np.stack([Y, Y], 1)}, "y has 2 values per row and is not one-hot"),
        ({"x": X, "y": np.where(Y, "a", " ")}, r"y\[0\] is empty: a missing label"),
        ({"x": X, "y": np.zeros(20, int)}, r"target 'y' has a single class \(0\) in all 20 rows"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"but x_test \[2\] and float64"),
        ({"x_train": X, "y_train": Y, "x_test": X.astype("f4"), "y_test": Y}, r"but x_test \[3\] and float32"),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
            "The test part has classes of the target 'y' that the training part does not have: 2.",
        ),
        (
            {"x_train": X, "y_train": Y * 0, "x_test": X, "y_test": Y},
            r"The training part has a single class \(0\)",
        ),
    ],
)
def test_refused(save, arrays, message):
    with pytest.raises(DataError, match=message):
        load(save(**arrays))


@pytest.mark.parametrize(("value", "what"), [(np.nan, r"missing \(NaN\)"), (np.inf, "infinite"), (1e300, "beyond")])
def test_bad_numbers_are_located(save, value, what):
    x = np.zeros((5000, 2, 2))
    x[4321, 1, 0] = value
    with pytest.raises(DataError, match=rf"data\.npz: x\[4321, 1, 0\] is .*{what}"):
        load(save(x=x, y=np.arange(5000) % 2))
    y = np.arange(20.0)
    y[7] = value
    with pytest.raises(DataError, match=rf"data\.npz: y\[7\] is .*{what}"):
        load(save(x=X, y=y))


class Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


def test_objects_are_never_unpickled(save):
    for arrays in ({"x": np.array([Bomb()] * 20, dtype=object), "y": Y}, {"x": X, "y": np.array([Bomb()] * 20)}):
        with pytest.raises(DataError, match="holds Python objects, which are never unpickled"):
            load(save(**arrays))
    assert not Bomb.exploded


def test_not_an_archive(tmp_path):
    path = tmp_path / "data.npz"
    for content in (b"x,y\n1,2\n", pickle.dumps({"x": 1}), b"PK\x03\x04 nonsense"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"data\.npz is not a NumPy archive, although its name ends in \.npz"):
            load(str(path))
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="holds a single array"):
        load(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "hello")
        archive.writestr("y", "hello")
    with pytest.raises(DataError, match=r"data\.npz: x is not an array"):
        load(str(path))


def test_truncated_at_every_length(save, tmp_path):
    whole = Path(save(x=X, y=Y)).read_bytes()
    path = tmp_path / "cut.npz"
    for length in range(1, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"not a NumPy archive|damaged"):
            load(str(path))


def test_flipped_bytes_never_crash(save, tmp_path):
    whole = bytearray(Path(save(x=X, y=Y)).read_bytes())
    path = tmp_path / "flip.npz"
    refused = 0
    for position in range(0, len(whole), 11):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        try:
            load(str(path))
        except DataError:
            refused += 1
    assert refused > len(whole) // 22


def test_target_option_is_refused(save):
    with pytest.raises(DataError, match="holds arrays, not columns, so there is no target 'label'"):
        load(save(x=X, y=Y), target="label")


SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no data sets at {SHARED}")
@pytest.mark.parametrize(
    ("name", "classes", "shape", "sizes"),
    [
        ("caltech101_silhouettes", 101, (784,), (5550, 1387, 1734)),
        ("coil20", 20, (1024,), (922, 230, 288)),
        ("japanese_vowels", 9, (29, 12), (216, 54, 370)),
        ("lymphoma", 9, (4026,), (62, 15, 19)),
        ("reuters_counts", 31, (2000,), (5600, 1400, 1420)),
    ],
)
def test_real_files(name, classes, shape, sizes):
    data = load(str(SHARED / f"{name}.npz"))
    assert len(data.classes) == classes
    assert data.x_train.shape[1:] == shape
    assert (len(data.y_train), len(data.y_val), len(data.y_test)) == sizes


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no data sets at {SHARED}")
def test_real_file_without_labels():
    with pytest.raises(DataError, match=r"has no array y_train beside x_train.*Found x_train, x_valid, x_test"):
        load(str(SHARED / "binary_dna.npz"))
