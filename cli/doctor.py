"""`ksparse doctor`."""

from __future__ import annotations

import click

from .failures import Failure, quiet_tensorflow, reported
from .options import output_format
from .output import print_json


@click.command()
@output_format
def doctor(style: str) -> None:
    """Show versions, the compute paths taken here and why, and run a self-test (some seconds).

    Exit code 1 if a part of the self-test fails. Send its output along when you report a problem.
    """
    quiet_tensorflow(needed=False)
    with reported():
        from keras_sparse.doctor import diagnose

        diagnosis = diagnose()
        print_json(diagnosis.to_dict()) if style == "json" else click.echo(str(diagnosis))
        failed = [check.name for check in diagnosis.checks if not check.passed]
        if failed:
            raise Failure(f"The self-test failed: {', '.join(failed)}. See above.")
