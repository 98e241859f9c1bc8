"""SavedModels: stock operations, named signatures, TensorFlow Serving's folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from .. import junctions
from ..compute import delivery
from ..files import atomic_folder
from . import warmup
from .endpoints import Endpoint


def write(
    model: keras.Model,
    endpoints: Sequence[Endpoint],
    folder: str | os.PathLike[str],
    plan: delivery.Plan,
    requests: Sequence[tuple[str, Any]] = (),
) -> None:
    """Write a SavedModel into a folder that does not exist yet.

    Args:
        model: what the endpoints belong to.
        endpoints: its signatures.
        folder: where to.
        plan: what becomes of the sparse kernels.
        requests: (signature, inputs by name) for warm-up, see `warmup`.

    Raises:
        OSError: the folder cannot be written: a full disk, say.
    """
    archive: Any = keras.export.ExportArchive()
    with delivery.delivering(plan):
        for endpoint in endpoints:
            archive.add_endpoint(endpoint.name, endpoint.call, [endpoint.specs]).get_concrete_function()
        # Not `archive.track(model)`, which writes every variable twice (Keras 3.15) and those nobody asks for. What
        # the signatures use is tracked anyway; what only an initializer uses, and tables, are not.
        for resource in [*plan.loaded, *_tables(model)]:
            archive.track(resource)
        if plan.variables:
            archive.add_variable_collection("sparse_kernels", [variable.value for variable in plan.variables])
        with _disk_errors():
            archive.write_out(str(folder), verbose=False)
    if requests:
        with _disk_errors():
            warmup.write(Path(folder), requests)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Raise what TensorFlow says of a file that it cannot write as Python does."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = error.message.rpartition("; ")[2].partition(" [Op:")[0]  # path; reason [Op:SaveV2]
        raise OSError(f"The SavedModel cannot be written: {reason}.") from error


def _tables(model: Any) -> list[Any]:
    """Return the lookup tables of a model's layers."""
    import tensorflow as tf

    kind = tf.saved_model.experimental.TrackableResource
    return [value for layer in junctions.layers(model) for value in vars(layer).values() if isinstance(value, kind)]


def next_version(folder: Path) -> int:
    """Return the number after the highest version in TensorFlow Serving's `folder`; 1 for the first."""
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return max(versions, default=0) + 1


def write_folder(
    model: keras.Model,
    endpoints: Sequence[Endpoint],
    path: Path,
    plan: delivery.Plan,
    requests: Sequence[tuple[str, Any]] = (),
    *,
    versioned: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a SavedModel, complete or not at all; return its folder.

    Args:
        model: what the endpoints belong to.
        endpoints: its signatures.
        path: the folder.
        plan: what becomes of the sparse kernels.
        requests: for warm-up.
        versioned: write `path`/1 or the next free number, as TensorFlow Serving looks for models; no version is ever
            written over.
        overwrite: replace `path` if it has content.

    Raises:
        FileExistsError: `path` is a file, or has content and may not be replaced.
        OSError: it cannot be written; what was there still is.
    """
    if versioned and path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; versions need a folder. Choose another path.")
    if versioned and (path / "saved_model.pb").exists():
        raise FileExistsError(f"{path} is itself a SavedModel, so it cannot hold versions. Choose another path.")
    target = path / str(next_version(path)) if versioned else path
    with atomic_folder(target, overwrite=overwrite and not versioned) as folder:
        write(model, endpoints, folder, plan, requests)
    return target
