"""Folders are replaced whole, in one step where the system can."""

import sys
from pathlib import Path

import pytest

from keras_sparse import files


def write(target, text):
    with files.atomic_folder(target, overwrite=True) as folder:
        folder.mkdir()
        (folder / "file").write_text(text)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    for text in ("one", "two", "three"):
        write(tmp_path / "model", text)
        assert (tmp_path / "model" / "file").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(sys.platform != "linux", reason="tries what Linux can on the file systems of tests")
def test_there_is_no_moment_without_a_folder(tmp_path, monkeypatch):
    target = tmp_path / "model"
    write(target, "one")
    write(tmp_path / "other", "two")
    if not files._exchange(target, tmp_path / "other"):
        pytest.skip("this file system cannot exchange names")
    assert (target / "file").read_text() == "two"
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("two renames leave a moment between them"))
    write(target, "three")
    assert (target / "file").read_text() == "three"


def test_what_cannot_be_exchanged(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    assert not files._exchange(tmp_path / "here", tmp_path / "nowhere")
    monkeypatch.setattr(files.sys, "platform", "win32")
    assert not files._exchange(tmp_path / "here", tmp_path / "here")
    monkeypatch.undo()
    monkeypatch.setattr(files.ctypes, "CDLL", lambda _: object())  # an old C library
    assert not files._exchange(tmp_path / "here", tmp_path / "here")
