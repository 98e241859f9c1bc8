"""Read TensorFlow Datasets: the local copy first, the network only if it answers."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from .arrays import check_x, check_y
from .dataset import DataError, Features
from .network import unreachable
from .raw import Raw, take
from .table import build


def read_tfds(name: str, *, target: str | None, data_dir: str | None) -> Raw:
    """Read a TFDS data set whose examples are arrays of one shape, or tables of numbers, labels and text.

    Args:
        name: "mnist", "emnist/letters", "mnist:3.0.1".
        target: feature to predict from all others; None for the data set's supervised keys.
        data_dir: where it is prepared; None for TFDS' default.

    Returns:
        Its train split, and its validation and test splits where it has them with labels.

    Raises:
        DataError: an unknown name; not prepared and not to be had; not such examples; too large for the memory.
    """
    import tensorflow_datasets as tfds

    with _quiet():
        builder = _builder(tfds, name, data_dir)
        if not builder.is_prepared():
            _prepare(builder)
        keys = _keys(builder.info, target, name)
        parts = {
            part: _read_split(tfds, builder, split, keys, name) for part, split in _splits(builder.info, name).items()
        }
    return _finish(builder.info, name, parts, keys)


def _builder(tfds: Any, name: str, data_dir: str | None) -> Any:
    known = tfds.list_builders(with_community_datasets=False)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except ImportError as error:
        raise DataError(f"TFDS needs a package for {name!r} that is not installed ({error}). Install it.") from error
    except Exception as error:
        base = name.split("/")[0].split(":")[0]
        if base.lower() in known:
            detail = re.sub(r'^Failed to construct dataset .*?}": ', "", " ".join(str(error).split()))
            detail = detail.split(" Here are")[0]
            raise DataError(f"TFDS knows {base!r}, but not {name!r}: {detail}") from error
        close = difflib.get_close_matches(base.lower(), [*known, "digits"], n=3, cutoff=0.6)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise DataError(
            f"{name!r} is neither a file nor a data set that TFDS knows.{hint} "
            "Expected digits, a TFDS name such as mnist, or a .csv, .parquet or .npz file."
        ) from error


def _prepare(builder: Any) -> None:
    """Download and prepare, unless one of the hosts does not answer within seconds."""
    full = builder.info.full_name
    config = f"/{builder.builder_config.name}" if builder.builder_config is not None else ""
    version = f"{builder.name}{config}:{builder.version}"
    root = str(builder.data_dir).removesuffix(full).rstrip("/")
    where = f"The data set {full} is not prepared in {root} (looked for {builder.data_dir})"
    how = (
        f"Where there is a network, run: tfds build {version} --data_dir {root} (or: python -c 'import "
        f'tensorflow_datasets as tfds; tfds.builder("{version}", data_dir="{root}").download_and_prepare()\'). '
        "If it is prepared in another folder, pass that one with --data-dir."
    )
    by_hand = getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None)
    if by_hand:
        raise DataError(f"{where}, and its files must be fetched by hand first: {' '.join(by_hand.split())} {how}")
    host = unreachable(getattr(builder, "url_infos", None) or {})
    if host is not None:
        raise DataError(f"{where}, and cannot be downloaded: {host} does not answer. {how}")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            builder.download_and_prepare()
    except Exception as error:
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise DataError(f"{where}, and preparing it failed: {detail}. {how}") from error


def _keys(info: Any, target: str | None, name: str) -> tuple[Any, str]:
    """Return (feature keys: one key, or a nested dict of keys; target key), checked against the features."""
    features = info.features
    # Sorted: the order in which TFDS reads features from a file differs between processes.
    names = sorted(features.keys()) if hasattr(features, "keys") else []
    if target is not None:
        if target not in names:
            raise DataError(f"{name} has no feature {target!r} for the target. Its features: {', '.join(names)}.")
        others = [key for key in names if key != target]
        inputs: Any = others[0] if len(others) == 1 else {key: key for key in others}
    elif info.supervised_keys is None or len(info.supervised_keys) != 2:
        raise DataError(
            f"{name} does not say which feature is the target (no supervised keys). Name it with the target "
            f"option. Its features: {', '.join(names)}."
        )
    else:
        inputs, target = info.supervised_keys
    if not isinstance(target, str) or isinstance(inputs, tuple):
        raise DataError(f"{name} has several targets or inputs ({info.supervised_keys}). Expected one of each.")
    for key in [inputs] if isinstance(inputs, str) else inputs.values():
        _check_feature(features[key], key, name, table=not isinstance(inputs, str))
    if features[target].shape not in ((), (1,)):
        raise DataError(f"{name}: the target {target!r} has shape {features[target].shape}. Expected one value.")
    return inputs, target


def _check_feature(feature: Any, key: str, name: str, *, table: bool) -> None:
    """Refuse what is no array of one shape: ragged, sequences, text as the only input."""
    expected = "Expected images or tables: examples that are arrays of one shape, or single numbers and labels."
    if hasattr(feature, "keys") and not table:  # a nested dict of features; TFDS' class for it is no Mapping
        for inner in feature.keys():  # noqa: SIM118
            _check_feature(feature[inner], f"{key}/{inner}", name, table=True)
        return
    shape, dtype = getattr(feature, "shape", None), getattr(feature, "np_dtype", None)
    if not isinstance(shape, tuple) or dtype is None or isinstance(dtype, dict):
        raise DataError(f"{name}: {key!r} is a {type(feature).__name__}. {expected}")
    if None in shape:
        raise DataError(f"{name}: {key!r} has examples of different shapes {list(shape)}. {expected}")
    if table and shape != ():
        raise DataError(f"{name}: {key!r} has shape {list(shape)} beside other inputs. {expected}")
    if not table and np.dtype(dtype).kind not in "buif":
        raise DataError(f"{name}: {key!r} holds text. {expected}")


def _splits(info: Any, name: str) -> dict[str, str]:
    """Map parts to the data set's splits."""
    if "train" not in info.splits:
        raise DataError(f"{name} has no train split. Its splits: {', '.join(info.splits) or 'none'}.")
    parts = {"train": "train"}
    parts.update({part: split for part, split in (("val", "validation"), ("test", "test")) if split in info.splits})
    return parts


def _read_split(tfds: Any, builder: Any, split: str, keys: tuple[Any, str], name: str) -> tuple[Any, np.ndarray]:
    """Read a whole split: ({key: array} nested as its features, raw targets)."""
    inputs, target = keys
    wanted = {target, *([inputs] if isinstance(inputs, str) else inputs.values())}
    _check_memory(builder.info, split, wanted, name)
    decoders = tfds.decode.PartialDecoding(dict.fromkeys(sorted(wanted), True))
    try:
        examples = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, decoders=decoders))
    except Exception as error:
        detail = " ".join(str(error).split())[:300]
        raise DataError(
            f"{name}: the {split} split in {builder.data_dir} cannot be read ({detail}). "
            "The copy is damaged or incomplete: delete that folder and prepare it again."
        ) from error
    x = examples[inputs] if isinstance(inputs, str) else {key: examples[key] for key in inputs.values()}
    return x, examples[target]


def _check_memory(info: Any, split: str, wanted: set[str], name: str) -> None:
    needed = 0
    for key in wanted:
        shape = getattr(info.features[key], "shape", ())
        if isinstance(shape, tuple) and None not in shape:
            dtype = info.features[key].np_dtype
            size = np.dtype(dtype).itemsize if not isinstance(dtype, dict) else 8
            needed += info.splits[split].num_examples * int(np.prod(shape)) * size
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return
    if needed > memory // 2:
        raise DataError(
            f"{name}: its {split} split needs {needed / 1e9:.1f} GB, more than half of this machine's memory "
            f"({memory / 1e9:.1f} GB). Data sets are held in memory: use a smaller one."
        )


def _finish(info: Any, name: str, parts: dict[str, tuple[Any, np.ndarray]], keys: tuple[Any, str]) -> Raw:
    target = keys[1]
    label = info.features[target]
    classes = list(label.names) if hasattr(label, "names") and label.names else None
    targets: dict[str, np.ndarray] = {}
    for part, (_, y) in parts.items():
        if classes is not None and part != "train" and len(y) and np.all(y < 0):
            continue  # a held-out split whose labels are kept secret, coded -1
        y = check_y(y if y.dtype != object else y.astype("S"), f"{name}: {target} ({part})", len(y))
        if classes is not None and (y.min() < 0 or y.max() >= len(classes)):
            row = int(np.flatnonzero((y < 0) | (y >= len(classes)))[0])
            raise DataError(f"{name}: {target} ({part})[{row}] is {y[row]}: a missing label.")
        targets[part] = y
    inputs = {part: parts[part][0] for part in targets}
    if isinstance(inputs["train"], dict):
        return _table(info, name, inputs, targets, keys, classes)
    arrays = {part: (check_x(x, f"{name}: {keys[0]} ({part})"), targets[part]) for part, x in inputs.items()}
    return Raw(name=name, parts=arrays, target=target, classes=classes)


def _table(
    info: Any,
    name: str,
    inputs: dict[str, Any],
    targets: dict[str, np.ndarray],
    keys: tuple[Any, str],
    classes: list[Any] | None,
) -> Raw:
    """Build one table of all splits, so that a column has one type in all of them, and cut it again."""
    features = info.features if not isinstance(keys[0], str) else info.features[keys[0]]
    columns = {
        key: np.concatenate([_column(x[key], features[key]) for x in inputs.values()])
        for key in sorted(inputs["train"])
    }
    target = keys[1]
    pooled = np.concatenate(list(targets.values()))

    def locate(row: int) -> str:
        for part, y in targets.items():
            if row < len(y):
                return f"{part} example {row + 1} (counting from 1)"
            row -= len(y)
        return f"example {row}"

    raw = build(name, {**columns, target: pooled}, target, locate)
    x, _ = raw.parts["train"]
    parts: dict[str, tuple[Features, np.ndarray]] = {}
    start = 0
    for part, y in targets.items():
        parts[part] = (take(x, slice(start, start + len(y))), y)
        start += len(y)
    return Raw(name=name, parts=parts, columns=raw.columns, target=target, classes=classes)


def _column(values: np.ndarray, feature: Any) -> np.ndarray:
    """Decode text, and turn labels into their names: their numbers have no order."""
    if getattr(feature, "names", None):
        names = np.array([None, *feature.names], dtype=object)  # -1 codes a missing label
        return names[np.asarray(values, dtype=np.int64) + 1]
    if values.dtype.kind in "OS":
        texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
        return np.array([text or None for text in texts], dtype=object)
    return values.astype(np.float64) if values.dtype.kind == "f" else values


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence TFDS' log lines, and keep it from asking Google's storage, which retries for minutes offline."""
    from absl import logging
    from tensorflow_datasets.core.utils import gcs_utils

    level, disabled = logging.get_verbosity(), getattr(gcs_utils, "_is_gcs_disabled", None)
    logging.set_verbosity(logging.ERROR)
    if disabled is not None:
        gcs_utils._is_gcs_disabled = True
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if disabled is not None:
            gcs_utils._is_gcs_disabled = disabled
