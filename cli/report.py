"""`ksparse report`."""

from __future__ import annotations

from pathlib import Path

import click

from .failures import Failure, quiet_tensorflow, reported
from .options import output_format
from .output import print_json, print_search


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--html", type=click.Path(dir_okay=False), help="Where to write the page. [default: DIRECTORY/report.html]"
)
@output_format
def report(directory: str, html: str | None, style: str) -> None:
    """Show the result of the search in DIRECTORY again, and write its page.

    The page, report.html, needs nothing but a browser: the front, every network on it, the hyperparameters and what
    they decide. It is written for a search that is not finished, too.
    """
    quiet_tensorflow(needed=False)
    with reported():
        from keras_sparse.search.result import load_result

        result = load_result(directory)
        page = _write(directory, html, needed=result is None or html is not None)
        if result is None:
            raise Failure(_unfinished(directory) + (f" Its trials so far are shown in {page}." if page else ""))
        print_json(result.to_dict()) if style == "json" else print_search(result.to_dict(), str(result.directory))


def _unfinished(directory: str) -> str:
    from keras_sparse.search.directory import MANIFEST

    found = f"{directory} holds no finished search."
    if (Path(directory) / MANIFEST).exists():
        again = f"`ksparse search DATA --output {directory} --resume`"
        return f"{found} Continue the search with {again}; it reports when it is done."
    return f"{found} It has no {MANIFEST}, so no `ksparse search` has made it: there is no winner to show."


def _write(directory: str, html: str | None, *, needed: bool) -> str | None:
    """Write the page and say where; None if there is no trial, or, unless it is needed, no place to write to."""
    from keras_sparse.search.report import collect, write_report

    if not collect(directory)["trials"]:
        return None
    try:
        path = str(write_report(directory, html))
    except OSError as error:
        message = f"Cannot write the page: {error}. Name another place with --html."
        if needed:
            raise Failure(message) from error
        click.echo(message, err=True)
        return None
    click.echo(f"The page is {path}", err=True)
    return path
