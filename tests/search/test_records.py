"""Trial records: round trip, damage, versions."""

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_sparse.search.errors import RunDirectoryError
from keras_sparse.search.records import SCHEMA, Records, TrialRecord

numbers = st.floats(allow_nan=False, allow_infinity=False)
completed = st.builds(
    TrialRecord,
    trial=st.integers(0, 99_999),
    status=st.just("completed"),
    seed=st.integers(0, 2**31),
    hyperparameters=st.dictionaries(st.text(), st.one_of(st.integers(), numbers, st.text(), st.booleans())),
    metric=st.sampled_from(["accuracy", "mse"]),
    objective=numbers,
    prediction_loss=numbers,
    complexity=numbers,
    val_metric=numbers,
    test_metric=st.none() | numbers,
    connections=st.integers(1, 10**9),
    density=numbers,
    parameters=st.integers(1, 10**9),
    best_epoch=st.integers(1, 100),
    curve=st.dictionaries(st.text(), st.lists(st.none() | numbers)),
    network=st.from_regex(r"trials/[^/]*\.keras", fullmatch=True),
)
failed = st.builds(
    TrialRecord,
    trial=st.integers(0, 99_999),
    status=st.just("failed"),
    seed=st.integers(0, 2**31),
    hyperparameters=st.just({}),
    metric=st.just("accuracy"),
    error=st.text(),
)
GOOD = TrialRecord(
    3, "completed", 1, {"a": 1}, "accuracy", -1.5, 0.03, 0.01, 0.97, 0.96, 500, 0.05, 640, 7, {"loss": [1.0]}, "n"
)


@given(completed | failed)
def test_json_round_trip(record):
    assert TrialRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_write_and_read_back(tmp_path):
    records = Records(tmp_path)
    assert records.read(3) is None
    records.write(GOOD)
    assert records.read(3) == GOOD
    assert Records(tmp_path).read_all() == {3: GOOD}
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["0003.json"]


def test_equal_trials_give_equal_files(tmp_path):
    for name in "ab":
        Records(tmp_path / name).write(GOOD)
    assert (tmp_path / "a/trials/0003.json").read_bytes() == (tmp_path / "b/trials/0003.json").read_bytes()


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 0.99))
def test_a_truncated_record_is_set_aside(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("run")
    records = Records(folder)
    records.write(GOOD)
    whole = records.path(3).read_bytes()
    cut = whole[: int(share * len(whole.rstrip()))]
    records.path(3).write_bytes(cut)
    assert records.read_all() == {}
    assert (folder / "trials/0003.json.corrupt").read_bytes() == cut
    records.write(GOOD)
    assert records.read(3) == GOOD


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        json.dumps(GOOD.to_dict() | {"trial": 4}).encode(),
        json.dumps(GOOD.to_dict() | {"objective": None}).encode(),
        json.dumps(GOOD.to_dict() | {"objective": "good"}).encode(),
        json.dumps(GOOD.to_dict() | {"connections": -1}).encode(),
        json.dumps(GOOD.to_dict() | {"status": "running"}).encode(),
        json.dumps(GOOD.to_dict() | {"status": "failed"}).encode(),
        json.dumps({k: v for k, v in GOOD.to_dict().items() if k != "seed"}).encode(),
        json.dumps(GOOD.to_dict()).replace("-1.5", "NaN").encode(),
    ],
)
def test_whatever_is_no_record_is_reported_and_kept(tmp_path, caplog, damage):
    records = Records(tmp_path)
    records.write(GOOD)
    records.path(3).write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert records.read(3) is None
    assert "0003.json.corrupt" in caplog.text
    assert (tmp_path / "trials/0003.json.corrupt").read_bytes() == damage
    records.path(3).write_bytes(damage)
    assert records.read(3) is None
    assert (tmp_path / "trials/0003.json.corrupt2").read_bytes() == damage


def test_newer_records_are_left_alone(tmp_path):
    records = Records(tmp_path)
    records.path(3).write_text(json.dumps(GOOD.to_dict() | {"schema": SCHEMA + 1}))
    with pytest.raises(RunDirectoryError, match="Update it"):
        records.read(3)
    assert records.path(3).exists()


def test_fields_of_a_later_release_do_no_harm(tmp_path):
    records = Records(tmp_path)
    records.path(3).write_text(json.dumps(GOOD.to_dict() | {"rung": 2}))
    assert records.read(3) == GOOD


def test_a_full_disk_leaves_the_old_record(tmp_path, monkeypatch):
    records = Records(tmp_path)
    records.write(GOOD)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        records.write(GOOD)
    assert records.read(3) == GOOD
    assert len(list((tmp_path / "trials").iterdir())) == 1
