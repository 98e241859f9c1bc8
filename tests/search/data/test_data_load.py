"""load: what a name means, how parts are split, and the data's fingerprint."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_sparse.search.data import DataError, Dataset, load
from keras_sparse.search.data.names import sanitise
from keras_sparse.search.data.splits import hold_out
from keras_sparse.search.data.targets import detect


def parts(data):
    return [(data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test)]


def test_digits():
    data = load("digits")
    assert repr(data) == "Dataset('digits', 10 classes, x float64[64], train/val/test 1150/288/359)"
    assert data.task == "classification"
    assert data.classes == list(range(10))
    assert data.n_outputs == 10
    for x, y in parts(data):
        assert len(x) == len(y)
        # Stratified: no class is off its share by more than a row.
        assert np.ptp(np.bincount(y) - np.bincount(load_all()[1]) * len(y) / 1797) <= 2


def load_all():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data, bunch.target


def test_parts_are_disjoint_and_complete():
    x, y = load_all()
    data = load("digits", seed=3)
    seen = np.concatenate([np.column_stack([a, b]) for a, b in parts(data)])
    everything = np.column_stack([x, y])
    np.testing.assert_array_equal(seen[np.lexsort(seen.T)], everything[np.lexsort(everything.T)])


def test_seed_moves_validation_but_not_test():
    one, two, again = load("digits", seed=1), load("digits", seed=2), load("digits", seed=1)
    np.testing.assert_array_equal(one.x_test, two.x_test)
    assert not np.array_equal(one.x_val, two.x_val)
    assert one.fingerprint == again.fingerprint != two.fingerprint


def test_fingerprint_is_the_same_in_another_process():
    code = "from keras_sparse.search.data import load; print(load('digits', seed=1).fingerprint)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == load("digits", seed=1).fingerprint


def tiny(**changes):
    column = np.array(["ab", "c"], dtype=object)
    y = np.array([0, 1])
    x = {"t": column, "n": np.array([1.0, 2.0])}
    given = {"x_train": x, "y_train": y, "x_val": x, "y_val": y, "x_test": x, "y_test": y, "classes": ["p", "q"]}
    return Dataset(name="tiny", task="classification", **(given | changes))


def test_fingerprint_sees_every_change():
    x = tiny().x_train
    assert isinstance(x, dict)
    variants = [
        tiny(),
        tiny(y_val=np.array([1, 0])),
        tiny(classes=["q", "p"]),
        tiny(target="z"),
        tiny(columns={"t": "T"}),
        tiny(x_train=x | {"t": np.array(["a", "bc"], dtype=object)}),
        tiny(x_train=x | {"n": np.array([1.0, 2.0], np.float32)}),
        tiny(x_test=x | {"n": np.array([1.0, 2.5])}),
    ]
    assert len({data.fingerprint for data in variants}) == len(variants)
    assert tiny().fingerprint == tiny().fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_fraction": 0.0}, "validation_fraction must lie between 0 and 1"),
        ({"test_fraction": 1.0}, "test_fraction must lie between 0 and 1"),
        ({"test_fraction": float("nan")}, "test_fraction must lie between 0 and 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"task": "clustering"}, "task must be"),
        ({"target": "number"}, "digits has its own target"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        load("digits", **arguments)


def test_paths(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        load(str(tmp_path / "nowhere.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv is a folder\. Expected a file"):
        load(str(tmp_path / "folder.csv"))
    with pytest.raises(DataError, match=r"is a folder\. Expected digits, a TFDS name"):
        load(str(tmp_path))
    for name, what in (("data.txt", r"has the suffix '\.txt'"), ("data", "has no suffix")):
        (tmp_path / name).write_text("a,y\n1,2\n")
        with pytest.raises(DataError, match=what):
            load(str(tmp_path / name))
    for name in ("", "a b", "what?.x", str(tmp_path / "nothing.xlsx")):
        with pytest.raises(DataError, match="is neither a file nor the name of a data set"):
            load(name)


def test_upper_case_suffix(tmp_path):
    (tmp_path / "DATA.CSV").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    assert load(str(tmp_path / "DATA.CSV")).name == "DATA.CSV"


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.arange(40) % 20, "classification"),
        (np.arange(41) % 21, "regression"),  # 21 values, not ten rows for each
        (np.arange(210) % 21, "classification"),  # numbered from 0
        (np.arange(210) % 21 + 1, "classification"),  # numbered from 1
        (np.arange(210) % 21 + 2, "regression"),
        (np.arange(210) % 21 * 2, "regression"),  # gaps
        ((np.arange(210) % 21).astype(float), "regression"),  # stored as floats
        ((np.arange(40) % 3).astype(float), "classification"),
        (np.arange(40) % 3 + 0.5, "regression"),
        (np.arange(12), "regression"),
        (np.array([-1, 1] * 5), "classification"),
        (np.array([True, False] * 5), "classification"),
        (np.array(["a", "b"] * 5, dtype=object), "classification"),
    ],
)
def test_task_rule(y, task):
    assert detect(y) == task


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=3, max_size=80), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_stratified_split(labels, fraction, seed):
    y = np.array(labels)
    _, counts = np.unique(y, return_counts=True)
    wanted = min(max(round(fraction * len(y)), 1), len(y) - 1)
    if counts.max() == 1:
        with pytest.raises(DataError, match="Too few rows"):
            hold_out(y, fraction, stratify=True, stream=[seed], part="test")
        return
    chosen = hold_out(y, fraction, stratify=True, stream=[seed], part="test")
    np.testing.assert_array_equal(chosen, hold_out(y, fraction, stratify=True, stream=[seed], part="test"))
    # Exact count unless classes that keep a row stand in the way; every class keeps a row; shares are fair.
    assert chosen.sum() == min(wanted, (counts - 1).sum())
    for label, count in zip(np.unique(y), counts, strict=True):
        held = chosen[y == label].sum()
        assert held <= count - 1
        if (counts - 1 >= np.ceil(counts * fraction) + 1).all():
            assert abs(held - count * wanted / len(y)) <= 1


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 9))
def test_plain_split(n, fraction, seed):
    chosen = hold_out(np.zeros(n), fraction, stratify=False, stream=[seed], part="test")
    assert chosen.sum() == min(max(round(fraction * n), 1), n - 1)


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=12))
def test_sanitised_names(names):
    result = sanitise(names)
    assert list(result) == names
    assert all(name.isascii() and name.isidentifier() for name in result.values())
    assert len({name.lower() for name in result.values()}) == len(names)
    assert not {name.lower() for name in result.values()} & {"self", "network", "preprocess", "raw_units", "class"}


def test_sanitising_keeps_good_names_and_explains_others():
    assert sanitise(["Age", "age", "a b", "a-b", "größe", "年", "9", "class"]) == {
        "Age": "Age",
        "age": "age_2",
        "a b": "a_b",
        "a-b": "a_b_2",
        "größe": "groe",
        "年": "column_6",
        "9": "c_9",
        "class": "c_class",
    }
