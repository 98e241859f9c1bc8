import sys

import pytest
from keras_sparse_cli.failures import Failure, reported


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
