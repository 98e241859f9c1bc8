"""Who may write into which directory."""

import os
import signal
import subprocess
import sys

import pytest
from keras_sparse.search.directory import claim
from keras_sparse.search.errors import OutputDirectoryError, RunDirectoryError


def earlier_run(folder):
    (folder / "trials").mkdir(parents=True)
    (folder / "saved_model").mkdir()
    for name in ("run.json", "trials/0000.json", "best.keras", "saved_model/saved_model.pb", "results.json"):
        (folder / name).write_text("x")
    (folder / "notes.txt").write_text("mine")


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_absent_and_empty_directories_are_always_fine(tmp_path, flags):
    (tmp_path / "empty").mkdir()
    for output in (tmp_path / "new/deep", tmp_path / "empty"):
        with claim(output, **{"resume": False, "overwrite": False} | flags) as directory:
            assert directory == output
            assert directory.is_dir()


def test_content_needs_a_word(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with (
        pytest.raises(OutputDirectoryError, match="is not empty") as caught,
        claim(tmp_path, resume=False, overwrite=False),
    ):
        pass
    assert caught.value.exit_code == 2
    with claim(tmp_path, resume=True, overwrite=False):
        assert (tmp_path / "notes.txt").exists()


def test_overwrite_removes_the_run_and_nothing_else(tmp_path):
    earlier_run(tmp_path)
    with claim(tmp_path, resume=False, overwrite=True):
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_resume_keeps_everything_but_half_written_files(tmp_path):
    earlier_run(tmp_path)
    before = set(tmp_path.rglob("*"))
    (tmp_path / "trials/.0001.4711.tmp.json").write_text("{")
    (tmp_path / ".best.4711.tmp.keras").write_text("PK")
    with claim(tmp_path, resume=True, overwrite=False):
        assert set(tmp_path.rglob("*")) == before


def test_results_of_nobody_knows_what_are_not_continued(tmp_path):
    earlier_run(tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"no run\.json"), claim(tmp_path, resume=True, overwrite=False):
        pass


def test_files_and_contradictions_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputDirectoryError, match="is a file"), claim(tmp_path / "file", resume=True, overwrite=False):
        pass
    with (
        pytest.raises(OutputDirectoryError, match="Cannot use"),
        claim(tmp_path / "file/deeper", resume=False, overwrite=False),
    ):
        pass
    with pytest.raises(OutputDirectoryError, match="not for both"), claim(tmp_path, resume=True, overwrite=True):
        pass


def test_one_search_at_a_time_even_if_the_first_is_killed(tmp_path):
    # The lock alone: importing keras_sparse in a child would take seconds.
    code = (
        "import fcntl, os, sys, time\n"
        f"fd = os.open({str(tmp_path)!r}, os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputDirectoryError, match="Another search is running"),
            claim(tmp_path, resume=True, overwrite=False),
        ):
            pass
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with (
        claim(tmp_path, resume=True, overwrite=False),
        pytest.raises(OutputDirectoryError, match="Another search"),
        claim(tmp_path, resume=True, overwrite=False),
    ):
        pass


def test_plans_of_finished_trials_are_swept(tmp_path):
    trials = tmp_path / "trials"
    trials.mkdir()
    (tmp_path / "run.json").write_text("{}")
    for name in ("0001.plan", "0001.json", "0002.plan", ".0003.77.tmp.keras"):
        (trials / name).write_text("{}")
    with claim(tmp_path, resume=True, overwrite=False):
        assert {path.name for path in trials.iterdir()} == {"0001.json", "0002.plan"}
        (trials / ".0004.78.tmp.keras").write_text("")
    assert {path.name for path in trials.iterdir()} == {"0001.json", "0002.plan"}
