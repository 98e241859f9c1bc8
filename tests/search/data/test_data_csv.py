"""CSV files: what is accepted, and one clear message for everything that is not."""

import zipfile

import numpy as np
import pytest
from keras_sparse.search.data import DataError, load


def rows(n=20):
    """Header and n rows: a number, a category, a target of two classes."""
    return ["a,b,label"] + [f"{i / 10},{'red' if i % 3 else 'blue'},{'yes' if i % 2 else 'no'}" for i in range(n)]


@pytest.fixture
def write(tmp_path):
    def write(content, name="data.csv", encoding="utf-8", newline="\n"):
        path = tmp_path / name
        if isinstance(content, list):
            content = newline.join(content) + newline
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return str(path)

    return write


def total(data):
    return len(data.y_train) + len(data.y_val) + len(data.y_test)


def test_columns_types_and_labels(write):
    data = load(write(rows()))
    assert data.task == "classification"
    assert data.classes == ["no", "yes"]
    assert data.target == "label"
    assert data.columns == {"a": "a", "b": "b"}
    assert data.x_train["a"].dtype == np.float32
    assert set(data.x_train["b"]) == {"red", "blue"}
    assert data.y_train.dtype == np.int64
    # Rows stay together: an even row says "no".
    even = np.round(data.x_train["a"] * 10).astype(int) % 2 == 0
    np.testing.assert_array_equal(data.y_train, np.where(even, 0, 1))


def test_target_option(write):
    data = load(write(rows()), target="a")
    assert data.task == "regression"
    assert data.classes is None
    assert data.y_train.dtype == np.float64
    assert set(data.x_train) == {"b", "label"}


@pytest.mark.parametrize(
    ("encoding", "newline"), [("utf-8", "\r\n"), ("utf-8-sig", "\n"), ("utf-8-sig", "\r\n"), ("utf-8", "\r")]
)
def test_line_ends_and_byte_order_mark(write, encoding, newline):
    plain = load(write(rows(), name="plain.csv"))
    data = load(write(rows(), encoding=encoding, newline=newline))
    assert data.fingerprint == plain.fingerprint


def test_quotes_blank_lines_and_spaces(write):
    lines = ["size ,town,y"] + [f' {i} ,"Paris, {"TX" if i % 2 else "FR"}",{i % 2}' for i in range(20)]
    data = load(write([*lines[:5], "", "   ", *lines[5:]]))
    assert set(data.x_train["town"]) == {"Paris, TX", "Paris, FR"}
    assert data.columns["size"] == "size"
    assert data.x_train["size"].dtype == np.float32
    assert total(data) == 20


def test_booleans_are_numbers_as_features_and_classes_as_target(write):
    lines = ["flag,x,y"] + [f"{'TRUE' if i % 2 else 'false'},{i},{'True' if i % 3 else 'False'}" for i in range(20)]
    data = load(write(lines))
    assert set(data.x_train["flag"]) == {0.0, 1.0}
    assert data.classes == [False, True]


def test_column_names_of_all_kinds(write):
    header = "größe in cm,grosse_in_cm,年齢,a b,a-b,A_B,class,network,1st,y"
    lines = [header] + [",".join([str(i * k) for k in range(1, 10)] + [str(i % 2)]) for i in range(20)]
    data = load(write(lines))
    assert list(data.columns.values()) == header.split(",")[:-1]
    assert len({name.lower() for name in data.columns}) == 9
    assert all(name.isascii() and name.isidentifier() for name in data.columns)
    assert list(data.x_train) == list(data.columns)


def test_whole_numbers_that_float32_cannot_hold_stay_integers(write):
    times = 1_600_000_000 + np.arange(40) * 3601
    data = load(write(["t,big,y"] + [f"{t},{t}.25,{i % 2}" for i, t in enumerate(times)]))
    assert data.x_train["t"].dtype == np.int64
    assert data.x_train["big"].dtype == np.float64
    assert set(data.x_train["t"]) <= set(times)


@pytest.mark.parametrize("bad", ["", "  ", "NA", "nan", "null", "?", "N/A"])
def test_missing_number(write, bad):
    lines = rows()
    lines[7] = f"{bad},red,yes"
    with pytest.raises(DataError, match=r"data\.csv, line 8, column 'a': the value is missing\. .*Fill missing"):
        load(write(lines))


def test_missing_category_and_target(write):
    lines = rows()
    lines[4] = "1.0,,yes"
    lines[9] = "1.0,,yes"
    with pytest.raises(DataError, match=r"line 5, column 'b': the value is missing \(2 rows"):
        load(write(lines))
    lines = rows()
    lines[20] = "1.0,red,"
    with pytest.raises(DataError, match="line 21, column 'label': the value is missing"):
        load(write(lines))


def test_line_numbers_count_lines_not_rows(write):
    lines = rows()
    lines[2] = '1.0,"two\nlines",yes'  # one row on two lines
    lines[3] = ""
    lines[10] = ",red,no"
    with pytest.raises(DataError, match="line 12, column 'a'"):
        load(write(lines))


def test_text_among_numbers(write):
    lines = rows()
    lines[13] = "twelve,red,yes"
    with pytest.raises(DataError, match=r"line 14, column 'a': 'twelve' is not a number, but 19 of the column's 20"):
        load(write(lines))


def test_a_column_of_mostly_numbers_is_a_mistake_not_categories(write):
    lines = ["size,y"] + [f"{i if i % 3 else 'unknown'},{i % 2}" for i in range(30)]
    with pytest.raises(DataError, match="line 2, column 'size': 'unknown' is not a number, but 20 of the column's 30"):
        load(write(lines))


def test_text_among_target_numbers(write):
    lines = ["x,y"] + [f"{i},{i / 7}" for i in range(30)]
    lines[5] = "4,about 3"
    with pytest.raises(DataError, match="line 6, column 'y': 'about 3' is not a number"):
        load(write(lines))


def test_a_few_numbers_among_text_are_categories(write):
    lines = ["size,y"] + [f"{'S' if i % 3 == 0 else 'L' if i % 3 == 1 else 42},{i % 2}" for i in range(30)]
    assert set(load(write(lines)).x_train["size"]) == {"S", "L", "42"}


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999"])
def test_infinite(write, value):
    lines = rows()
    lines[3] = f"{value},red,yes"
    with pytest.raises(DataError, match="line 4, column 'a': the value is infinite"):
        load(write(lines))


def test_beyond_float32(write):
    lines = rows()
    lines[3] = "1e200,red,yes"
    with pytest.raises(DataError, match=r"line 4, column 'a': the value is 1e\+200, beyond the range of float32"):
        load(write(lines))


def test_ragged(write):
    lines = rows()
    lines[6] = "1.0,red"
    with pytest.raises(DataError, match="line 7: too few fields: 2, but the header has 3"):
        load(write(lines))
    lines[6] = "1.0,red,yes,no"
    with pytest.raises(DataError, match="line 7: too many fields: 4, but the header has 3"):
        load(write(lines))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"data\.csv is empty \(0 bytes\)"),
        (b"\n \n", r"data\.csv is empty\. Expected a header"),
        (b"\xef\xbb\xbf", r"data\.csv is empty\. Expected a header"),
        (b"a,b,y\n", "has a header but no rows"),
        (b"a,a,y\n1,2,3\n", "line 1: the column name 'a' occurs more than once"),
        (b",a,y\n1,2,3\n", r"line 1: column 1 has no name.*index=False"),
        (b"5.1,3.5,0\n4.9,3.0,1\n", "line 1: all fields are numbers, so the header seems to be missing"),
        (b"a;b;y\n1;2;3\n", "line 1: fields seem to be separated by semicolons. Expected commas"),
        (b"a\tb\ty\n1\t2\t3\n", "line 1: fields seem to be separated by tabs. Expected commas"),
        (b"y\n1\n0\n", "has the single column 'y'. Expected at least one feature column"),
        (b'a,y\n1,"open\n2,3\n', "line 2: not valid CSV"),
        (b"a,y\n1,2\ncaf\xe9,3\n", r"line 3: byte 0xe9 is not UTF-8 text.*iconv"),
        ("a,y\n1,2\n".encode("utf-16"), "is not a CSV file.*looks like UTF-16 text"),
        (b"PAR1" + b"\0" * 50, "is not a CSV file.*looks like a Parquet file"),
        (b"\x1f\x8b\x08" + b"\0" * 50, "is not a CSV file.*looks like a gzip archive"),
        (bytes(range(256)) * 4, "is not a CSV file.*looks like a binary file"),
    ],
)
def test_not_a_table(write, content, message):
    with pytest.raises(DataError, match=message):
        load(write(content))


def test_zip_named_csv(tmp_path):
    path = tmp_path / "data.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "hello")
    with pytest.raises(DataError, match=r"looks like a zip archive \(an \.npz or \.xlsx file\?\)"):
        load(str(path))


def test_absent_target_lists_columns_and_suggests(write):
    with pytest.raises(DataError, match=r"no column 'Lable' .*Did you mean 'label'\? Its columns: 'a', 'b', 'label'\."):
        load(write(rows()), target="Lable")


def test_single_class_and_constant_target(write):
    lines = ["a,y"] + [f"{i},same" for i in range(20)]
    with pytest.raises(DataError, match=r"target 'y' has a single class \('same'\) in all 20 rows"):
        load(write(lines))
    lines = ["a,y"] + [f"{i},0.5" for i in range(20)]
    with pytest.raises(DataError, match="target 'y' has a single value"):
        load(write(lines))


def test_identifiers_are_refused(write):
    lines = ["name,a,y"] + [f"person {i},{i},{i % 2}" for i in range(30)]
    with pytest.raises(DataError, match="column 'name': 30 distinct texts in 30 rows, more than the limit of 15"):
        load(write(lines))
    with pytest.raises(DataError, match="target 'name' has 30 distinct values in 30 rows: it looks like an identifier"):
        load(write(lines), target="name")


def test_too_few_rows(write):
    with pytest.raises(DataError, match="Too few rows"):
        load(write(["a,y", "1,yes", "2,no"]))


def test_many_rows_cross_the_reader_s_chunks(write):
    n = 45_001
    data = load(write(["i,y"] + [f"{i},{i % 3}" for i in range(n)]))
    everything = np.concatenate([data.x_train["i"], data.x_val["i"], data.x_test["i"]])
    np.testing.assert_array_equal(np.sort(everything), np.arange(n))
    np.testing.assert_array_equal(data.x_train["i"] % 3, data.y_train)
