"""Read `.npz` files: x and y, or the parts brought by the file, and lengths of sequences. Never unpickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_sparse.memory import total

from .arrays import check_lengths, check_x, check_y
from .dataset import DataError
from .raw import Raw

_EXPECTED = "Expected the arrays x and y; or x_train, y_train and optionally x_val, y_val, x_test, y_test."
_LENGTHS = ("length", "lengths")
_SUFFIXES = {"train": ["train"], "val": ["val", "valid", "validation"], "test": ["test"]}


def read_npz(path: Path) -> Raw:
    """Read a NumPy archive.

    Names are matched without regard to case; `x_valid` and `x_validation` mean `x_val`. Where x is [rows, time,
    features], an array `length` (or `lengths`; `length_train`, … beside `x_train`, …) says how many steps of each
    sequence are no padding. Further arrays are ignored.

    Args:
        path: the file.

    Returns:
        "train", and "val" and "test" where the file has them. x keeps its shape and dtype.

    Raises:
        DataError: see `arrays`; also a file that is no npz archive, holds pickled objects, or lacks arrays.
    """
    name = path.name
    try:
        archive = np.load(path, allow_pickle=False)
    except PermissionError:
        raise
    except Exception as error:  # a damaged zip makes zipfile and NumPy raise almost anything
        raise DataError(
            f"{name} is not a NumPy archive, although its name ends in .npz ({_short(error)}). "
            "Expected a complete file written by numpy.savez or numpy.savez_compressed."
        ) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{name} holds a single array (the .npy format), not an archive. {_EXPECTED}")
    with archive:
        keys = _match_keys(archive.files, name)
        parts = {}
        for part, (x_key, y_key) in keys.items():
            x = check_x(_member(archive, x_key, name), f"{name}: {x_key}")
            y = check_y(_member(archive, y_key, name), f"{name}: {y_key}", len(x))
            parts[part] = (x, y)
        lengths = _read_lengths(archive, keys, {part: x for part, (x, _) in parts.items()}, name)
    _check_alike({part: (keys[part][0], x) for part, (x, _) in parts.items()}, name)
    return Raw(name=name, parts=parts, lengths=lengths)


def _match_keys(files: list[str], name: str) -> dict[str, tuple[str, str]]:
    """Find which array is which: part -> (key of x, key of y)."""
    found = f"Found {', '.join(files)}." if files else "Found nothing."
    lower: dict[str, str] = {}
    for key in files:
        if key.lower() in lower:
            raise DataError(f"{name} has both {lower[key.lower()]} and {key}. {_EXPECTED} Rename one.")
        lower[key.lower()] = key
    parts: dict[str, tuple[str, str]] = {}
    for part, suffixes in _SUFFIXES.items():
        pairs = [(lower.get(f"x_{suffix}"), lower.get(f"y_{suffix}"), suffix) for suffix in suffixes]
        present = [pair for pair in pairs if pair[0] or pair[1]]
        if len(present) > 1:
            raise DataError(f"{name} has several {part} parts. {_EXPECTED} {found}")
        for x_key, y_key, suffix in present:
            if x_key is None or y_key is None:
                missing = f"y_{suffix}" if y_key is None else f"x_{suffix}"
                raise DataError(f"{name} has no array {missing} beside {x_key or y_key}. {_EXPECTED} {found}")
            parts[part] = (x_key, y_key)
    if "x" in lower and "y" in lower:
        if parts:
            raise DataError(f"{name} has both x, y and parts such as x_{next(iter(parts))}. {_EXPECTED} {found}")
        return {"train": (lower["x"], lower["y"])}
    if "train" not in parts:
        raise DataError(f"{name} lacks its inputs or targets. {_EXPECTED} {found}")
    return parts


def _read_lengths(
    archive: np.lib.npyio.NpzFile, keys: dict[str, tuple[str, str]], x: dict[str, np.ndarray], name: str
) -> dict[str, np.ndarray]:
    """Read how long the sequences of every part are; nothing if x is not [rows, time, features] or has no lengths."""
    if x["train"].ndim != 3:
        return {}
    lower = {key.lower(): key for key in archive.files}
    found, missing = {}, []
    for part, (x_key, _) in keys.items():
        wanted = [f"{stem}{x_key[1:].lower()}" for stem in _LENGTHS]
        key = next((lower[option] for option in wanted if option in lower), None)
        if key is None:
            missing.append(wanted[0])
        else:
            found[part] = check_lengths(_member(archive, key, name), f"{name}: {key}", *x[part].shape[:2])
    if missing and (found or not {*_LENGTHS}.isdisjoint(lower)):
        raise DataError(
            f"{name} says how long some of its sequences are, but has no array {' or '.join(missing)}. Expected the "
            "lengths of every part, named as its inputs are (length_train beside x_train). Add or rename arrays."
        )
    return found


def _member(archive: np.lib.npyio.NpzFile, key: str, name: str) -> np.ndarray:
    limit = total()
    try:
        claimed = max((i.file_size for i in archive.zip.infolist() if i.filename in (key, f"{key}.npy")), default=0)
        if limit is not None and claimed > limit:
            raise MemoryError
        member = archive[key]
    except MemoryError as error:
        raise DataError(f"{name}: {key} does not fit in memory.") from error
    except Exception as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise DataError(
                f"{name}: {key} holds Python objects, which are never unpickled (a pickle can run any code). "
                "Store numbers or text: np.asarray(list, dtype=float) before numpy.savez."
            ) from error
        raise DataError(
            f"{name}: {key} cannot be read ({_short(error)}). The file is damaged: write it anew."
        ) from error
    if not isinstance(member, np.ndarray):
        raise DataError(f"{name}: {key} is not an array. The file is damaged or not written by numpy.savez.")
    return member


def _check_alike(inputs: dict[str, tuple[str, np.ndarray]], name: str) -> None:
    """All parts need one sample shape and one dtype: a served model has one input."""
    key, first = inputs["train"]
    for other_key, other in inputs.values():
        if other.shape[1:] != first.shape[1:] or other.dtype != first.dtype:
            raise DataError(
                f"{name}: {key} has rows of shape {list(first.shape[1:])} and dtype {first.dtype}, but {other_key} "
                f"{list(other.shape[1:])} and {other.dtype}. Expected the same for all parts."
            )


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:120] if text else type(error).__name__
