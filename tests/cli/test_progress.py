import re
from types import SimpleNamespace

from keras_sparse_cli.progress import SearchProgress


def record(trial, **changes):
    fields = {"trial": trial, "completed": True, "objective": -1.5, "metric": "accuracy", "val_metric": 0.9712}
    return SimpleNamespace(**{**fields, "connections": 1234, "error": None, **changes})


def event(name, **fields):
    nothing = {"done": 0, "total": 5, "trial": None, "epoch": 0, "epochs": 3, "record": None, "best": None, "front": 0}
    return SimpleNamespace(event=name, **{**nothing, "remaining_s": None, **fields})


EVENTS = [
    event("search", done=1),
    event("trial", trial=1, done=1),
    event("epoch", trial=1, epoch=2, done=1),
    event("result", trial=1, record=record(1), done=2, best=record(1), front=2, remaining_s=83.0),
    event("result", trial=2, record=record(2, completed=False, error="[red]no[/red]"), done=3, best=record(1), front=2),
    event("finish", done=5, best=record(1), front=2),
]


def test_plain_lines_where_there_is_no_terminal(capsys):
    with SearchProgress() as progress:
        for each in EVENTS:
            progress(each)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    lines = err.splitlines()
    assert lines[0] == "Resuming: 1 of 5 trials are done."
    result = r"trial   1 \(2/5\): objective -1\.500, val accuracy 0\.9712, 1,234 connections, 2 on the front, "
    assert re.fullmatch(result + r"[\d.e+]+ trials/min, 0:01:23 left", lines[1])
    assert lines[2].startswith("trial   2 (3/5): failed: [red]no[/red], 2 on the front, ")
    assert lines[3] == "Writing the winner."


def test_a_live_table_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with SearchProgress() as progress:
        for each in EVENTS:
            progress(each)
        progress(event("trial", trial=3, done=3, best=record(1), front=2, remaining_s=3700.0))
    err = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    table = err[err.rindex("best so far") :]
    assert "trial 1: objective -1.500, val accuracy 0.9712, 1,234 connections" in table
    assert "2 on the front" in table
    assert re.search(r"[\d.e+]+ trials/min, 1:01:40 left", table)
    assert "3/5" in table
    assert "trial 3" in table


def test_several_workers_side_by_side(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with SearchProgress() as progress:
        progress(event("workers", note="Worker [local-1] has joined.", workers=1))
        progress(event("trial", trial=0, workers=2))
        progress(event("trial", trial=1, workers=2))
        progress(event("epoch", trial=1, epoch=2, workers=2))
        progress(event("epoch", trial=7, epoch=2, workers=2))  # of a trial whose start was not seen
        progress(event("trial", trial=0, workers=2))  # again, after its worker died
        progress(event("result", trial=1, record=record(1), done=1, workers=2))
    err = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "Worker [local-1] has joined." in err
    table = err[err.rindex("best so far") :]
    assert re.search(r"workers +2", table)
    assert table.count("trial 0") == 1
    assert "trial 1 " not in table
    assert "1/5" in table
