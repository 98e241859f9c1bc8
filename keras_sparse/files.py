"""Writing files so that a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_JSON = 256 * 2**20
"""Bytes of the largest JSON file that is read."""


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`; at the end flush that file to disk and rename it to `path`.

    When the body raises, or the process dies, `path` is as it was before. The temporary file keeps the suffix, which
    some writers decide by.

    Args:
        path: the file to write. Its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the name of a folder to make; at the end it takes the place of `path`, complete or not at all.

    When the body raises, or the process dies, `path` is as it was before. Only where the system cannot exchange two
    names (Linux and macOS can, on most file systems) a folder that is there is replaced by two renames: if the process
    dies between them, it is in a hidden folder beside, as `old`.

    Args:
        path: the folder to write. The folder around it is made if need be.
        overwrite: replace `path` if it has content.

    Raises:
        FileExistsError: `path` is a file, or has content and `overwrite` is False.
    """
    target = Path(path)
    check_free(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, as a rename is atomic within one file system only.
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        new = work / "new"
        yield new
        if target.exists():
            check_free(target, overwrite=overwrite)
            if _exchange(new, target):
                return
            target.rename(work / "old")
        new.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return whether the system could."""
    swap = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
    names = [os.fsencode(path.absolute()) for path in (one, other)]
    try:
        if sys.platform == "linux":
            anywhere = -100  # AT_FDCWD; the names are absolute
            return ctypes.CDLL(None).renameat2(anywhere, names[0], anywhere, names[1], swap) == 0
        if sys.platform == "darwin":
            return ctypes.CDLL(None).renamex_np(*names, swap) == 0
    except (AttributeError, OSError):  # an older C library
        pass
    return False


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError if `path` is something that may not be replaced."""
    if path.exists() and not overwrite and (path.is_file() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not empty. Choose another path, or pass overwrite=True.")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: it holds no JSON, in UTF-8, or is too large or too deeply nested to be a file of ours.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(MOST_JSON + 1)
    if len(content) > MOST_JSON:
        raise ValueError(f"it is larger than {MOST_JSON:,} bytes")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
