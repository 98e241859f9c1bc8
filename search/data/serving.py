"""Write a model as a SavedModel that takes raw inputs, and features where it can."""

from __future__ import annotations

from pathlib import Path

import keras

from keras_sparse.compute.delivery import Plan
from keras_sparse.serving import saved_model
from keras_sparse.serving.endpoints import endpoints


def export_with_signatures(model: keras.Model, path: str | Path, *, overwrite: bool = False) -> None:
    """Export for serving: stock operations only, loadable by `tf.saved_model.load` alone.

    The signature `serving_default` takes what the model takes: array data as `x` (the name of the model's input),
    padded sequences as `x` and `length`, a table as one named argument [batch] per column. A model made by
    `Preprocessing.attach` gets a second signature, `features`, which takes the preprocessed float32 [batch, ...] as
    `features` and gives the same predictions. Both answer {"output_0": predictions}.

    The folder appears complete or not at all. `ks.export` does the same with more to choose from.

    Args:
        model: a built functional or sequential model.
        path: the folder to write.
        overwrite: replace the folder if it has content.

    Raises:
        FileExistsError: `path` is a file, or has content and `overwrite` is False.
        ValueError: the model has no symbolic inputs (it is subclassed or was not built).
    """
    saved_model.write_folder(model, endpoints(model), Path(path), Plan("load"), overwrite=overwrite)
