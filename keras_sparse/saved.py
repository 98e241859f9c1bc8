"""`save_model` and `load_model`: .keras files that are whole, and such that nobody vouches for."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import keras

from .files import MOST_JSON, atomic

_MOST_EXPANSION = 100  # Keras stores what it saves uncompressed
_SMALL = 64 * 2**20  # bytes that may expand as they like
_SLACK = 256 * 2**20  # bytes that a configuration may claim beyond what the file holds
_DEPTH = 100


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a model as a .keras file, whole or not at all.

    What `model.save` writes, under a temporary name beside `path` that is renamed at the end. `model.save` itself
    empties the old file first: when the disk is full, or the process is killed, neither model is left.

    Args:
        model: a built model.
        path: the file, whose name ends in ".keras"; one that is there is replaced. Its folder is made if need be.

    Raises:
        ValueError: the name ends otherwise.
        OSError: the file cannot be written; the old one is as it was.

    Example:
        >>> import keras, keras_sparse as ks, tempfile
        >>> model = keras.Sequential([keras.Input((64,)), ks.SparseDense(10, density=0.1)])
        >>> ks.save_model(model, tempfile.mkdtemp() + "/digits.keras")
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f'The name of a saved model ends in ".keras"; got {os.fspath(path)!r}.')
    with atomic(path) as temporary:
        model.save(temporary)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a .keras file, or raise one error that says what is wrong with it.

    Like `keras.models.load_model`, for files that strangers wrote. A file is refused before anything is built if it is
    no whole archive, unpacks to many times its size, or if its configuration claims layers much larger than the weights
    it holds. Code in it (Lambda layers) is never run. What a sparse layer reads is checked entry by entry: ranges,
    order, counts and fingerprint.

    Args:
        path: the file.

    Raises:
        ValueError: the file cannot be loaded.
        OSError: it cannot be read.
    """
    path = Path(path)
    with path.open("rb"):  # a missing file is no damaged one
        pass
    try:
        check(path)
        return keras.models.load_model(path, safe_mode=True)
    except MemoryError:
        raise ValueError(f"{path} cannot be loaded as a Keras model: it does not fit in memory.") from None
    except Exception as error:  # Keras raises whatever its parsers do
        raise ValueError(
            f"{path} cannot be loaded as a Keras model: {_reason(error)}. "
            "Expected a .keras file, such as the best.keras of a search."
        ) from error


def _reason(error: Exception) -> str:
    """Return what went wrong in one sentence: Keras wraps it in long texts of its own."""
    text = str(error)
    for mark in ("Exception encountered: ", "Example error message for object "):
        _, found, rest = text.rpartition(mark)
        if found:
            text = rest.partition(":\n")[2] or rest
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return line[:400].removesuffix(".")


def check(path: Path) -> None:
    """Raise an exception if an archive is none, or cannot be what it claims to be; nothing is unpacked."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no .keras archive, or not the whole of one")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > _SMALL and member.file_size > _MOST_EXPANSION * member.compress_size:
                raise ValueError(f"its {member.filename} would unpack to {member.file_size:,} bytes")
        if archive.getinfo("config.json").file_size > MOST_JSON:
            raise ValueError("its configuration is too large")
        held = sum(member.file_size for member in archive.infolist() if member.filename.startswith("model.weights"))
        config = json.loads(archive.read("config.json"))
    claimed = sum(_bytes(layer) for layer in _layers(config, 0))
    if claimed > 8 * held + _SLACK:
        raise ValueError(
            f"its configuration claims weights of {claimed:,} bytes, and the file holds {held:,} (a file you trust can "
            "be loaded with keras.models.load_model)"
        )


def _layers(config: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield everything in a configuration that was built.

    Raises:
        ValueError: there is code in it, or it is nested too deeply.
    """
    if depth > _DEPTH:
        raise ValueError("its configuration is nested too deeply")
    if isinstance(config, dict):
        # Not left to Keras: `keras.config.enable_unsafe_deserialization()` outweighs its `safe_mode`.
        if config.get("class_name") in ("Lambda", "__lambda__"):
            raise ValueError("it holds code, a Lambda layer or function, which is never run")
        if isinstance(config.get("build_config"), dict) and isinstance(config.get("config"), dict):
            yield config
        for part in config.values():
            yield from _layers(part, depth + 1)
    elif isinstance(config, list):
        for part in config:
            yield from _layers(part, depth + 1)


def _bytes(layer: dict[str, Any]) -> int:
    """Return about how many bytes the largest weight of a layer takes; of a sparse one, its capacity."""
    config, built = layer["config"], layer["build_config"]
    density = config.get("density", config.get("recurrent_density"))
    layouts = [part for key, part in built.items() if key.endswith("layout") and isinstance(part, dict)]
    claimed = 6 * sum(_whole(part.get("capacity")) for part in layouts)
    shape = built.get("input_shape")
    last = _whole(shape[-1]) if isinstance(shape, list) and shape else 0
    units = max((_whole(config.get(key)) for key in ("units", "filters", "output_dim")), default=0)
    window = config.get("kernel_size")
    window = prod(map(_whole, window)) if isinstance(window, list) else 1
    positions = max(units, 1) * max(last, _whole(config.get("input_dim"))) * max(window, 1)
    if not layouts:
        return 4 * positions
    return max(claimed, int(6 * positions * density) if isinstance(density, float) and 0 < density <= 1 else 0)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
