"""Parquet files: typed columns, nulls, and files that are not what they say."""

import datetime
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from keras_sparse.search.data import DataError, load

N = 24


def columns(**more):
    return {
        "size": np.arange(N) / 3,
        "count": np.arange(N),
        "flag": np.arange(N) % 2 == 0,
        "town": ["Rome", "Oslo", "Bonn"] * (N // 3),
        **more,
        "kind": ["good", "bad"] * (N // 2),
    }


@pytest.fixture
def save(tmp_path):
    def save(table):
        path = tmp_path / "data.parquet"
        pq.write_table(pa.table(table) if isinstance(table, dict) else table, path)
        return str(path)

    return save


def test_columns_types_and_labels(save):
    data = load(save(columns()))
    assert data.classes == ["bad", "good"]
    assert {name: values.dtype.kind for name, values in data.x_train.items()} == {
        "size": "f",
        "count": "f",
        "flag": "f",
        "town": "O",
    }
    np.testing.assert_array_equal(data.y_train, (data.x_train["count"] + 1) % 2)


def test_categorical_decimal_and_large_types(save):
    table = columns(
        cat=pa.array(["x", "y"] * (N // 2)).dictionary_encode(),
        money=pa.array([decimal.Decimal(i) / 4 for i in range(N)]),
        half=np.arange(N).astype("float16"),
        text=pa.array(["1", "2"] * (N // 2), pa.large_string()),
    )
    x = load(save(table)).x_train
    assert set(x["cat"]) == {"x", "y"}
    assert x["money"].dtype == np.float32
    assert x["half"].dtype == np.float32
    assert set(x["text"]) == {"1", "2"}  # a text column of digits holds categories


def test_index_of_pandas_is_left_out(tmp_path):
    frame = pd.DataFrame(columns())
    frame.index = pd.Index([f"row {i}" for i in range(N)], name="key")
    frame.to_parquet(tmp_path / "data.parquet")
    data = load(str(tmp_path / "data.parquet"))
    assert data.target == "kind"
    assert "key" not in data.columns.values()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1.0] * 5 + [None] * (N - 5)), rf"row 6 \(counting from 1\), column 'bad': .*missing \({N - 5} rows"),
        (pa.array([1.0] * 5 + [float("nan")] + [2.0] * (N - 6)), r"row 6 \(counting from 1\), column 'bad': .*missing"),
        (pa.array(["a"] * 7 + [None] + ["b"] * (N - 8)), "row 8 .*column 'bad': the value is missing"),
        (pa.array([None] * N), "column 'bad' has the type null"),
        (pa.array([1.0] * 5 + [float("inf")] + [2.0] * (N - 6)), "row 6 .*column 'bad': the value is infinite"),
        (
            pa.array([datetime.date(2020, 1, 1)] * N),
            r"column 'bad' has the type date32.*dates, for example, to numbers",
        ),
        (pa.array([[1, 2]] * N), "column 'bad' has the type list"),
        (pa.array([b"x"] * N), "column 'bad' has the type binary"),
        (pa.array([f"id {i}" for i in range(N)]), f"column 'bad': {N} distinct texts in {N} rows"),
    ],
)
def test_refused_columns(save, values, message):
    with pytest.raises(DataError, match=message):
        load(save(columns(bad=values)))


def test_duplicates_and_emptiness(save):
    table = pa.Table.from_arrays([pa.array([1, 2]), pa.array([1, 2])], names=["a", "a"])
    with pytest.raises(DataError, match="column name 'a' occurs more than once"):
        load(save(table))
    with pytest.raises(DataError, match="has columns but no rows"):
        load(save({"a": pa.array([], pa.int64()), "y": pa.array([], pa.int64())}))
    with pytest.raises(DataError, match="has no columns"):
        load(save(pa.table({})))
    with pytest.raises(DataError, match=r"no column 'kin'.*Did you mean 'kind'"):
        load(save(columns()), target="kin")


def test_not_parquet(save, tmp_path):
    whole = Path(save(columns())).read_bytes()
    path = tmp_path / "other.parquet"
    for content in (b"a,b\n1,2\n", whole[: len(whole) // 2], whole[:-1], b"PAR1PAR1", b"P"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"other\.parquet is not a Parquet file, although its name ends in"):
            load(str(path))


def test_damaged_pages(save, tmp_path):
    whole = bytearray(Path(save(columns())).read_bytes())
    path = tmp_path / "flip.parquet"
    survived = 0
    for position in range(4, len(whole), 41):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        try:
            load(str(path))
            survived += 1
        except DataError:
            pass
    assert survived < len(whole) // 41
