"""`--serve`: the report of a run in a browser, while a command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def served(directory: str, wanted: bool, host: str, port: int | None) -> Iterator[None]:
    """Serve the report of `directory` and say where, if it is wanted."""
    if not wanted:
        yield
        return
    from keras_sparse.search.report.server import is_loopback, serving

    with serving(directory, host=host, port=port) as address:
        click.echo(f"The report is served at {address}", err=True)
        if not is_loopback(host):
            click.echo(f"Whoever reaches {host} over the network can read it.", err=True)
        yield
