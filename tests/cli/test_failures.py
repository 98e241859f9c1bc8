import sys

import pytest
from click.testing import CliRunner
from keras_sparse_cli.failures import Failure, quiet_tensorflow, reported
from keras_sparse_cli.main import main


class _Raises:
    def __init__(self, error):
        self.error = error

    def __del__(self):
        raise self.error


def test_a_lost_interrupt_is_not_printed(capsys):
    hooks = sys.unraisablehook, sys.excepthook
    with reported():
        _Raises(KeyboardInterrupt())
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)  # as Cython prints what it drops
    assert capsys.readouterr().err == ""
    assert (sys.unraisablehook, sys.excepthook) == hooks


def test_other_lost_exceptions_are(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with reported():
        _Raises(ValueError("in a destructor"))
        sys.excepthook(ValueError, ValueError("in C code"), None)
    err = capsys.readouterr().err
    assert "in a destructor" in err
    assert "in C code" in err


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("wrong"), 1), (KeyboardInterrupt(), 1), (MemoryError(), 1), (OSError("full"), 1)]
)
def test_what_goes_wrong_becomes_a_message(error, code):
    with pytest.raises(Failure) as caught, reported():
        raise error
    assert caught.value.exit_code == code


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


def test_commands_that_need_tensorflow_say_so_on_pytorch(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    result = CliRunner().invoke(main, ["train", "digits", "--layers", "30", "--density", "0.2"])
    assert result.exit_code == 1
    assert "Run it with KERAS_BACKEND=tensorflow" in result.stderr
    quiet_tensorflow(needed=False)
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    with pytest.raises(Failure, match="needs TensorFlow"):
        quiet_tensorflow()
    (tmp_path / "keras.json").write_text("not JSON")
    quiet_tensorflow()
