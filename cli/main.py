"""The `ksparse` command and its verbs."""

from __future__ import annotations

import click

from .doctor import doctor
from .export import export
from .inspect import inspect
from .report import report
from .search import search
from .train import train


class _Ordered(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Ordered, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="keras-sparse", prog_name="ksparse")
def main() -> None:
    """Train, search, inspect and export truly sparse Keras networks.

    Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
    """


for _command in (search, train, inspect, export, report, doctor):
    main.add_command(_command)
