"""`ksparse search`."""

from __future__ import annotations

from typing import Any

import click

from .failures import quiet_tensorflow, reported
from .options import SPACE_KEY, data_options, output_format, read_config
from .output import print_json, print_search
from .progress import SearchProgress


@click.command()
@data_options
@click.option("--network", type=click.Choice(["mlp"]), default="mlp", show_default=True, help="Kind of network.")
@click.option("--max-trials", type=click.IntRange(1), help="Networks to try. [default: 20]")
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True, help="Most epochs of a trial.")
@click.option(
    "--complexity-weight", type=click.FloatRange(0), default=0.1, show_default=True,
    help="w_c in log10(f_p + w_c f_c): 0 looks at accuracy alone, 1 weighs one per cent of the connections of the "
    "largest network like one point of accuracy.",
)  # fmt: skip
@click.option(
    "--objective", type=click.Choice(["weighted", "pareto"]), default="weighted", show_default=True,
    help="weighted: the network of smallest log10(f_p + w_c f_c); pareto: the whole front of error against complexity, "
    "of which that network is the winner.",
)  # fmt: skip
@click.option(
    "--complexity", type=click.Choice(["connections", "bytes", "flops", "latency", "train-time"]), multiple=True,
    default=["connections"], show_default=True,
    help="What a network's size is counted in; with --objective pareto it may be given several times.",
)  # fmt: skip
@click.option("--metric", help="A Keras metric, such as auc or mae. [default: accuracy, or mse for regression]")
@click.option(
    "--direction", type=click.Choice(["min", "max"]), help="Where a good metric goes. [default: as its name says]"
)
@click.option("--max-connections", type=click.IntRange(1), help="The most connections a network may have.")
@click.option("--max-bytes", type=click.IntRange(1), help="The most bytes of weights and indices it may have.")
@click.option(
    "--max-latency", type=click.FloatRange(0, min_open=True), help="The longest time for one sample, in seconds."
)
@click.option(
    "--early-stopping/--no-early-stopping", default=None,
    help="Give up hopeless trials by successive halving. [default: with --objective pareto]",
)  # fmt: skip
@click.option("--output", type=click.Path(), default="runs/search", show_default=True, help="Run directory.")
@click.option("--resume", is_flag=True, help="Continue the run in the directory, or start one.")
@click.option("--overwrite", is_flag=True, help="Remove the run in the directory and start anew.")
@click.option("--workers", type=click.IntRange(1, 1), default=1, show_default=True, help="Processes that run trials.")
@click.option(
    "--config", type=click.Path(dir_okay=False), is_eager=True, expose_value=False, callback=read_config,
    help="TOML or JSON file with any of these options, and ranges of the space in a table [space].",
)  # fmt: skip
@output_format
@click.pass_context
def search(
    context: click.Context,
    data: str,
    target: str | None,
    data_dir: str | None,
    task: Any,
    seed: int,
    max_trials: int | None,
    epochs: int,
    complexity_weight: float,
    output: str,
    resume: bool,
    overwrite: bool,
    style: str,
    network: str,
    workers: int,
    **settings: Any,
) -> None:
    """Search for a small, accurate, truly sparse network on DATA.

    DATA is `digits`, the name of a TFDS data set (such as mnist), or a .csv, .parquet or .npz file. Every trial trains
    a sparse network that SET rewires; the best one is saved, exported and explained in the run directory.
    """
    del network, workers  # options with one choice in this version
    quiet_tensorflow()
    with reported(f"Interrupted. Nothing finished is lost: run the same command with --resume to continue {output}."):
        from keras_sparse.search.data import load

        from keras_sparse import search as searching

        dataset = load(data, target=target, data_dir=data_dir, seed=seed, task=task)
        with SearchProgress() as progress:
            result = searching.search(
                dataset,
                output=output,
                space=context.meta.get(SPACE_KEY),
                max_trials=max_trials,
                complexity_weight=complexity_weight,
                epochs=epochs,
                seed=seed,
                **settings,
                resume=resume,
                overwrite=overwrite,
                on_progress=progress,
            )
        if style == "json":
            print_json(result.to_dict())
        else:
            print_search(result.to_dict(), str(result.directory))
