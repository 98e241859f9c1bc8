"""`ksparse report`."""

from __future__ import annotations

import click

from .failures import Failure, quiet_tensorflow, reported
from .options import output_format
from .output import print_json, print_search


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@output_format
def report(directory: str, style: str) -> None:
    """Show the result of the finished search in DIRECTORY again."""
    quiet_tensorflow()
    with reported():
        from keras_sparse.search.result import load_result

        result = load_result(directory)
        if result is None:
            raise Failure(
                f"{directory} holds no finished search. Continue the search with `ksparse search DATA --output "
                f"{directory} --resume`; it reports when it is done."
            )
        print_json(result.to_dict()) if style == "json" else print_search(result.to_dict(), str(result.directory))
