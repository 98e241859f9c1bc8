"""From exceptions to one clear message and an exit code: 1 failed, 2 wrong usage."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import click


class Failure(click.ClickException):
    """Something failed: exit code 1."""

    exit_code = 1


class WrongUsage(Failure):
    """The command was called wrongly: exit code 2."""

    exit_code = 2


def quiet_tensorflow(*, needed: bool = True) -> None:
    """Import TensorFlow without its start-up notices, which it writes to stderr before its log level counts.

    Not where PyTorch follows: builds of the two abort when TensorFlow is loaded first.

    Args:
        needed: whether the command cannot do without it.

    Raises:
        Failure: where it is needed and Keras' backend is PyTorch.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if _backend() == "torch":
        if needed:
            raise Failure(
                "This command needs TensorFlow, which reads the data and writes SavedModels, but Keras' backend is "
                "PyTorch. Run it with KERAS_BACKEND=tensorflow; the .keras files it writes load on every backend."
            )
        return
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _backend() -> str:
    """Return the name of Keras' backend, without importing Keras."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    settings = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    try:
        return str(json.loads(settings.read_text())["backend"])
    except (OSError, ValueError, TypeError, KeyError):
        return "tensorflow"


_interrupted = False


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and the exception got lost.

    Destructors and some C code drop exceptions, and between trials thousands of destructors run.
    """
    if _interrupted:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


@contextmanager
def _quiet_about_lost_interrupts() -> Iterator[None]:
    """Do not print the tracebacks of a Ctrl-C that was dropped on its way: `check_interrupt` raises it again."""
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def dropped(arguments: sys.UnraisableHookArgs) -> None:
        if not issubclass(arguments.exc_type, KeyboardInterrupt):
            unraisable(arguments)

    def printed(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            uncaught(kind, error, traceback)

    # Cython prints an exception that it drops by way of both.
    sys.unraisablehook, sys.excepthook = dropped, printed
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = unraisable, uncaught


@contextmanager
def reported(interrupted: str = "Interrupted.") -> Iterator[None]:
    """Turn what can go wrong inside into a `Failure`; anything else is a bug and keeps its traceback.

    Args:
        interrupted: what to say on Ctrl-C.
    """
    global _interrupted
    _interrupted = False
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where SIGINT is ignored
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        with _quiet_about_lost_interrupts():
            yield
    except KeyboardInterrupt:
        raise Failure(interrupted) from None
    except (click.ClickException, click.exceptions.Exit):
        raise
    except MemoryError:
        raise Failure("Out of memory. Use a smaller batch or network.") from None
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None and not isinstance(error, ValueError | OSError):
            raise
        raise (WrongUsage if code == 2 else Failure)(str(error)) from error
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
