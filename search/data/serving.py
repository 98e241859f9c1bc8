"""Write a model as a SavedModel that takes raw inputs, and features where it can."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras


def export_with_signatures(model: keras.Model, path: str | Path, *, overwrite: bool = False) -> None:
    """Export for serving: stock operations only, loadable by `tf.saved_model.load` alone.

    The signature `serving_default` takes what the model takes: array data as `x` (the name of the model's input),
    padded sequences as `x` and `length`, a table as one named argument [batch] per column. A model made by
    `Preprocessing.attach` gets a second signature, `features`, which takes the preprocessed float32 [batch, ...] as
    `features` and gives the same predictions. Both answer {"output_0": predictions}.

    The folder appears complete or not at all.

    Args:
        model: a built functional or sequential model.
        path: the folder to write.
        overwrite: replace the folder if it has content.

    Raises:
        FileExistsError: `path` is a file, or has content and `overwrite` is False.
        ValueError: the model has no symbolic inputs (it is subclassed or was not built).
    """
    target = Path(path)
    if target.exists() and not overwrite and (target.is_file() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists and is not empty. Choose another path, or pass overwrite=True.")
    archive = _archive(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, as a rename is atomic within one file system only.
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent if 0 else None))
    try:
        archive.write_out(str(work / "new"), verbose=False)
        if target.exists():
            target.rename(work / "old")
        (work / "new").rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _archive(model: keras.Model) -> Any:
    try:
        inputs = model.inputs
    except AttributeError:
        inputs = None
    if not inputs:
        raise ValueError(
            f"Export needs a built functional or sequential model. Received {model!r}; call it on data first."
        )
    struct = getattr(model, "_inputs_struct", None)
    struct = struct if isinstance(struct, dict) else (inputs[0] if len(inputs) == 1 else list(inputs))
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", lambda x: model(x, training=False), [_specs(struct)])
    layers = {layer.name: layer for layer in model.layers}
    network = layers.get("network")
    if network is not None:
        after = layers.get("raw_units")

        def from_features(features: Any) -> Any:
            y = network(features, training=False)
            return y if after is None else after(y)

        spec = keras.layers.InputSpec(dtype="float32", shape=(None, *network.input_shape[1:]), name="features")
        archive.add_endpoint("features", from_features, [spec])
    return archive


def _specs(struct: Any) -> Any:
    """Input specs of the same structure, named as the model's inputs, any batch size."""
    if isinstance(struct, dict):
        return {name: _specs(tensor) for name, tensor in struct.items()}
    if isinstance(struct, list):
        return [_specs(tensor) for tensor in struct]
    shape = (None, *struct.shape[1:])
    return keras.layers.InputSpec(dtype=keras.backend.standardize_dtype(struct.dtype), shape=shape, name=struct.name)
