"""The command: do what is missing, print the tables.

    python -m benchmarks.search [digits] [mnist] [fashion_mnist] [--quick] [--seeds 5] [--only 'Optuna*'] [--write]

Finished searches are kept in build/bench-search/*.jsonl and skipped; Ctrl-C loses the running one only. MNIST and
Fashion-MNIST come from TFDS (--data-dir). Optuna's searches need Optuna, its Gaussian process torch:
`make bench-search` installs them beside the package, in build/rivals.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ("digits", "mnist", "fashion_mnist")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("data", nargs="*", metavar="DATA", help=f"default all: {', '.join(DATA)}")
    result.add_argument("--quick", action="store_true", help="digits unless said otherwise, short: minutes")
    result.add_argument("--seeds", type=int, help="how many seeds, from 0 on; default 5, with --quick 2")
    result.add_argument("--trials", type=int, help="trials of a search instead of its own number")
    result.add_argument("--epochs", type=int, help="epochs of a trial instead of its own number")
    result.add_argument("--only", metavar="PATTERN", help="methods whose names match, e.g. 'Optuna*'")
    result.add_argument("--data-dir", type=Path, help="holds TFDS data sets, here or in tfds/")
    result.add_argument("--threads", type=int, default=1, help="threads of TensorFlow; default 1")
    result.add_argument("--output", type=Path, default=ROOT / "build" / "bench-search", help="where searches go")
    result.add_argument("--table", action="store_true", help="search nothing, show what is finished")
    result.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    return result


def main() -> int:
    arguments = parser().parse_args()
    unknown = [name for name in arguments.data if name not in DATA]
    if unknown:
        parser().error(f"there is no data set {unknown[0]!r}. There are: {', '.join(DATA)}.")
    # Before TensorFlow is imported.
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(arguments.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # every trial traces anew
    from ..reproduce import report, runner
    from ..reproduce.records import Records
    from . import compare

    changes = dict(compare.QUICK) if arguments.quick else {}
    changes |= {key: value for key in ("trials", "epochs") if (value := getattr(arguments, key)) is not None}
    seeds = arguments.seeds or (compare.QUICK_SEEDS if arguments.quick else compare.SEEDS)
    failed = 0
    for data in arguments.data or (("digits",) if arguments.quick else DATA):
        experiment = compare.experiment(data, changes)
        try:
            settings = runner.select(experiment, only=arguments.only)
        except ValueError as error:
            sys.exit(str(error))
        records = Records(arguments.output / f"{data}.jsonl")
        if not arguments.table:
            facts = {"threads": arguments.threads}
            failed += runner.run(experiment, settings, range(seeds), records, data_dir=arguments.data_dir, facts=facts)
        text = compare.table(experiment, records, _command(data, arguments))
        print(text, flush=True)
        if arguments.write:
            report.write(ROOT / "benchmarks" / "RESULTS.md", experiment.name, text)
    return 1 if failed else 0


def _command(data: str, arguments: argparse.Namespace) -> str:
    """Return the command that makes the table, without what differs between machines."""
    given = {key: getattr(arguments, key) for key in ("seeds", "trials", "epochs", "threads")}
    options = [f"--{key} {value}" for key, value in given.items() if value != parser().get_default(key)]
    quick = ["--quick"] if arguments.quick else []
    return " ".join(["python -m benchmarks.search", data, *quick, *options])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
