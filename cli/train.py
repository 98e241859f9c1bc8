"""`ksparse train`."""

from __future__ import annotations

from typing import Any

import click

from .failures import check_interrupt, quiet_tensorflow, reported
from .options import data_options, output_format
from .output import print_json, print_network


class Widths(click.ParamType):
    """Comma-separated widths of hidden layers."""

    name = "widths"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the widths as integers."""
        try:
            widths = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            widths = ()
        if not widths or min(widths) < 1:
            self.fail(f"expected whole numbers >= 1 separated by commas, such as 300,100; got {value!r}", param, ctx)
        return widths


# As keras_sparse.rewiring.named.NAMES, which `--help` must not wait for.
POLICIES = ["set", "static", "continuous-set", "rigl", "srigl", "snfs", "deep-r"]


@click.command()
@data_options
@click.option("--layers", type=Widths(), default="300,100", show_default=True, help="Widths of the hidden layers.")
@click.option("--density", type=click.FloatRange(0, 1, min_open=True), help="Density of every junction.")
@click.option("--epsilon", type=click.FloatRange(0, min_open=True), help="Erdős-Rényi densities instead. [default: 20]")
@click.option(
    "--policy", type=click.Choice(POLICIES), default="set", show_default=True,
    help="How connections move; static: not at all.",
)  # fmt: skip
@click.option(
    "--zeta",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Fraction of the connections that the policy replaces.",
)
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.003, show_default=True)
@click.option("--output", type=click.Path(), default="runs/train", show_default=True, help="Directory for the result.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier result in the directory.")
@output_format
def train(
    data: str,
    target: str | None,
    data_dir: str | None,
    task: Any,
    seed: int,
    density: float | None,
    epsilon: float | None,
    style: str,
    **settings: Any,
) -> None:
    """Train one sparse network on DATA and save it at its best epoch.

    DATA is as in `ksparse search`. The directory then holds best.keras and saved_model/, which take raw inputs, and
    results.json.
    """
    if density is not None and epsilon is not None:
        raise click.UsageError("--density and --epsilon are two ways to say how dense the network is: give one.")
    quiet_tensorflow()
    with reported("Interrupted; nothing was written."):
        from keras_sparse.search.data import load
        from keras_sparse.search.single import train_network

        import keras_sparse as ks

        dataset = load(data, target=target, data_dir=data_dir, seed=seed, task=task)
        rule = density if density is not None else ks.ErdosRenyi(20.0 if epsilon is None else epsilon)
        result = train_network(dataset, density=rule, seed=seed, on_epoch=_tell, **settings)
        print_json(result) if style == "json" else print_network(result, "Network")


def _tell(text: str) -> None:
    check_interrupt()
    click.echo(text, err=True)
