"""The command: do what is missing, print the table.

    python -m benchmarks.reproduce lenet [--data-dir DIR] [--seeds 3] [--epochs N] [--only 'SET*'] [--write]

Finished runs are kept in build/reproduce/NAME.jsonl and skipped; Ctrl-C loses the running one only, and of one with a
CNN only the running epoch. Two processes may work on one experiment, say with different `--only`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = (
    "lenet",
    "deep_r",
    "set_mlp",
    "predefined",
    "small_data",
    "transfer",
    "scale_free",
    "rbm_coil",
    "rbm_log_probability",
    "sequences",
    "set_cnn",
    "deep_r_cnn",
)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("names", nargs="*", metavar="NAME", help=f"default all: {', '.join(NAMES)}")
    result.add_argument("--data-dir", type=Path, help="holds .npz files, and TFDS data sets, here or in tfds/")
    result.add_argument("--seeds", type=int, help="how many seeds, from 0 on; default the experiment's own number")
    result.add_argument("--epochs", type=int, help="epochs instead of the experiment's own")
    result.add_argument("--only", metavar="PATTERN", help="settings whose names match, e.g. 'SET*'")
    result.add_argument("--threads", type=int, default=1, help="threads of TensorFlow; default 1")
    result.add_argument("--output", type=Path, default=ROOT / "build" / "reproduce", help="where finished runs go")
    result.add_argument("--table", action="store_true", help="train nothing, show what is finished")
    result.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    return result


def main() -> int:
    arguments = parser().parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser().error(f"there is no experiment {unknown[0]!r}. There are: {', '.join(NAMES)}.")
    # Before TensorFlow is imported.
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(arguments.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # every run traces anew
    from . import report, runner
    from .records import Records

    failed = 0
    for name in arguments.names or NAMES:
        experiment = import_module(f".{name}", __package__).EXPERIMENT
        try:
            settings = runner.select(experiment, only=arguments.only, epochs=arguments.epochs)
        except ValueError as error:
            sys.exit(str(error))
        records = Records(arguments.output / f"{name}.jsonl")
        seeds = range(experiment.seeds if arguments.seeds is None else arguments.seeds)
        if not arguments.table:
            facts = {"threads": arguments.threads}
            failed += runner.run(experiment, settings, seeds, records, data_dir=arguments.data_dir, facts=facts)
        rows = runner.select(experiment, epochs=arguments.epochs)  # all that is finished, also without `--only`
        text = report.table(experiment, rows, records, _command(name, arguments))
        print(text, flush=True)
        if arguments.write:
            report.write(ROOT / "benchmarks" / "RESULTS.md", name, text)
    return 1 if failed else 0


def _command(name: str, arguments: argparse.Namespace) -> str:
    """Return the command that makes the table, without what differs between machines."""
    given = {key: getattr(arguments, key) for key in ("seeds", "epochs", "threads")}
    options = [f"--{key} {value}" for key, value in given.items() if value != parser().get_default(key)]
    return " ".join(["python -m benchmarks.reproduce", name, *options])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
