"""`ksparse inspect`."""

from __future__ import annotations

from typing import Any

import click

from .failures import Failure, quiet_tensorflow, reported
from .options import output_format
from .output import print_json


@click.command()
@click.argument("model", type=click.Path(exists=True))
@output_format
def inspect(model: str, style: str) -> None:
    """Show the junctions of MODEL, a .keras file: connections, density, bytes and compute path."""
    quiet_tensorflow(needed=False)
    with reported():
        import keras_sparse as ks

        report = ks.inspect(load_model(model))
        print_json(report.to_dict()) if style == "json" else click.echo(str(report))


def load_model(path: str) -> Any:
    """Load a .keras file, or fail with one message.

    Raises:
        Failure: when the file is none, or damaged.
    """
    import keras_sparse as ks

    try:
        return ks.load_model(path)
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from error
