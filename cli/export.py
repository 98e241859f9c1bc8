"""`ksparse export`."""

from __future__ import annotations

import click

from .failures import WrongUsage, quiet_tensorflow, reported
from .inspect import load_model


@click.command()
@click.argument("model", type=click.Path(exists=True))
@click.argument("path", type=click.Path())
@click.option(
    "--format", "kind", type=click.Choice(["saved_model"]), default="saved_model", show_default=True,
    help="What to write.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace PATH if it has content.")
def export(model: str, path: str, kind: str, overwrite: bool) -> None:
    """Write MODEL, a .keras file, to PATH for serving: stock TensorFlow operations only.

    The SavedModel loads wherever TensorFlow does, without Keras Sparse. Signatures: serving_default takes what the
    model takes; features, where the model came from a search, takes preprocessed floats.
    """
    quiet_tensorflow()
    with reported():
        from keras_sparse.search.data.serving import export_with_signatures

        loaded = load_model(model)
        try:
            export_with_signatures(loaded, path, overwrite=overwrite)
        except FileExistsError as error:
            raise WrongUsage(f"{path} is not empty. Choose another path, or add --overwrite.") from error
        click.echo(f"Wrote {kind} to {path}", err=True)
