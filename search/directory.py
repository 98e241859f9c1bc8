"""The rules of a run directory: who may write into it, and what an earlier run left there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import OutputDirectoryError, RunDirectoryError

TRIALS: Final = "trials"
BEST: Final = "best.keras"
SAVED_MODEL: Final = "saved_model"
PARETO: Final = "pareto.json"
PICTURE: Final = "search.png"
REPORT: Final = "report.html"
TENSORBOARD: Final = "tensorboard"
RESULTS: Final = "results.json"
MANIFEST: Final = "run.json"

_PRODUCTS = (RESULTS, REPORT, TENSORBOARD, PICTURE, PARETO, SAVED_MODEL, BEST, TRIALS)


@contextmanager
def claim(output: str | os.PathLike[str], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Yields the run directory, made if need be, for one search at a time.

    An empty or absent directory can always be used. With content it needs `resume`, which keeps everything, or
    `overwrite`, which removes what an earlier run wrote and nothing else.

    Args:
        output: The run directory.
        resume: Continue the run in it, or start one.
        overwrite: Start anew.

    Raises:
        OutputDirectoryError: It has content and neither was asked for, both were, it is a file, or a search is
            running in it.
        RunDirectoryError: It holds trials but no `run.json`.
    """
    directory = Path(output).expanduser().absolute()
    if resume and overwrite:
        raise OutputDirectoryError("Ask for resume or for overwrite, not for both.")
    if directory.exists() and not directory.is_dir():
        raise OutputDirectoryError(f"{directory} is a file. Choose a directory for the results.")
    try:
        if not (resume or overwrite) and directory.exists() and any(directory.iterdir()):
            raise OutputDirectoryError(
                f"{directory} is not empty. Resume the run in it, overwrite it, or choose another directory."
            )
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputDirectoryError(f"Cannot use {directory}: {error.strerror or error}.") from error
    with _locked(directory):
        if overwrite:
            remove_run(directory)
        elif not (directory / MANIFEST).exists() and any((directory / name).exists() for name in _PRODUCTS):
            raise RunDirectoryError(
                f"{directory} holds results but no {MANIFEST}, so nobody knows what they belong to. "
                "Choose another directory, or start anew with overwrite."
            )
        _sweep(directory)
        try:
            yield directory
        finally:
            _sweep(directory)


def remove_run(directory: Path) -> None:
    """Removes what a search wrote. `run.json` goes last: until then the rest still belongs to it."""
    for name in (*_PRODUCTS, MANIFEST):
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _sweep(directory: Path) -> None:
    """Removes half-written files of a killed search, and of workers that were ended."""
    for folder in (directory, directory / TRIALS):
        for path in folder.glob(".*.[0-9]*.tmp*"):
            if path.is_file():
                path.unlink(missing_ok=True)
    for path in (directory / TRIALS).glob("*.plan"):
        if path.with_suffix(".json").is_file():  # killed between the two
            path.unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds the directory against a second search; the system lets go when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputDirectoryError(f"Another search is running in {directory}.") from None
        yield
    finally:
        os.close(handle)
