"""`ksparse search`."""

from __future__ import annotations

from typing import Any

import click

from .failures import quiet_tensorflow, reported
from .options import SPACE_KEY, data_options, output_format, read_config
from .output import print_json, print_search
from .progress import SearchProgress
from .serve import served


@click.command()
@data_options
@click.option(
    "--network", type=click.Choice(["mlp", "cnn", "rnn"]), default="mlp", show_default=True,
    help="Kind of network, and what it sees: mlp flattens every example; cnn takes images [height, width, channels], "
    "or grey ones [height, width]; rnn takes sequences [time, features].",
)  # fmt: skip
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
@click.option("--serve", is_flag=True, help="Show the report in a browser while the search runs.")
@click.option(
    "--serve-port", type=click.IntRange(0, 65535), help="Port of the report, 0: a free one. [default: 8420 if free]"
)
@click.option(
    "--serve-host", default="127.0.0.1", show_default=True,
    help="Address the report listens on; others than the default let other machines read it.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1),
    help="Processes on this machine that run trials side by side and share its threads. [default: 1; of a chief none]",
)  # fmt: skip
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
    network: Any,
    max_trials: int | None,
    epochs: int,
    complexity_weight: float,
    output: str,
    resume: bool,
    overwrite: bool,
    serve: bool,
    serve_port: int | None,
    serve_host: str,
    style: str,
    workers: int | None,
    **settings: Any,
) -> None:
    """Search for a small, accurate, truly sparse network on DATA.

    DATA is `digits`, the name of a TFDS data set (such as mnist), or a .csv, .parquet or .npz file. Every trial trains
    a sparse network that SET rewires; the best one is saved, exported and explained in the run directory.

    Sequences of several lengths are padded, in an .npz file whose array `length` (`length_train`, ... beside x_train)
    says how many steps of each are real: rnn skips the others. With `dimensions = 1` in the table [space] of --config,
    cnn convolves sequences along time.

    Several machines, or commands, run one search if each is given the same arguments, an --output in a folder that all
    share, and KerasTuner's environment variables:

    \b
      KERASTUNER_TUNER_ID          "chief" for the one that hands out trials,
                                   a name of its own for every worker
      KERASTUNER_ORACLE_IP         where the chief listens, without TLS or
      KERASTUNER_ORACLE_PORT       password
      KERAS_SPARSE_WORKER_TIMEOUT  seconds of silence after which one side
                                   takes the other for dead [default: 60]

    Workers come and go. --workers, --resume, --overwrite and --serve count for the chief, which ends with the search.
    """
    quiet_tensorflow()
    with reported(f"Interrupted. Nothing finished is lost: run the same command with --resume to continue {output}."):
        from keras_sparse.search.data import load
        from keras_sparse.search.distributed.roles import role

        from keras_sparse import search as searching

        serve = serve and role().kind != "worker"
        dataset = load(data, target=target, data_dir=data_dir, seed=seed, task=task)
        with served(output, serve, serve_host, serve_port), SearchProgress() as progress:
            result = searching.search(
                dataset,
                output=output,
                space=context.meta.get(SPACE_KEY),
                network=network,
                max_trials=max_trials,
                complexity_weight=complexity_weight,
                epochs=epochs,
                seed=seed,
                workers=workers,
                **settings,
                resume=resume,
                overwrite=overwrite,
                on_progress=progress,
            )
        if style == "json":
            print_json(result.to_dict())
        else:
            print_search(result.to_dict(), str(result.directory))
