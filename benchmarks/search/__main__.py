"""The command: do what is missing, print the tables.

    python -m benchmarks.search [digits] [mnist] [fashion_mnist] [deep_n_cheap] [--quick] [--seeds 5] [--write]

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
NAMES = (*DATA, "deep_n_cheap")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("names", nargs="*", metavar="NAME", help=f"default all: {', '.join(NAMES)}")
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
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser().error(f"there is no comparison {unknown[0]!r}. There are: {', '.join(NAMES)}.")
    if arguments.quick and arguments.write:
        parser().error("--quick is for a look: its tables are not for benchmarks/RESULTS.md. Leave one of the two out.")
    # Before TensorFlow is imported.
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(arguments.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # every trial traces anew
    failed = 0
    for name in arguments.names or (("digits",) if arguments.quick else NAMES):
        failed += _deep_n_cheap(arguments) if name == "deep_n_cheap" else _compare(name, arguments)
    return 1 if failed else 0


def _compare(data: str, arguments: argparse.Namespace) -> int:
    """Compare the methods on a data set; return how many searches failed."""
    from ..reproduce import runner
    from ..reproduce.records import Records
    from . import compare

    changes = dict(compare.QUICK) if arguments.quick else {}
    changes |= {key: value for key in ("trials", "epochs") if (value := getattr(arguments, key)) is not None}
    seeds = arguments.seeds or (compare.QUICK_SEEDS if arguments.quick else compare.SEEDS)
    experiment = compare.experiment(data, changes)
    try:
        settings = runner.select(experiment, only=arguments.only)
    except ValueError as error:
        sys.exit(str(error))
    records, failed = Records(arguments.output / f"{data}.jsonl"), 0
    if not arguments.table:
        facts = {"threads": arguments.threads}
        failed = runner.run(experiment, settings, range(seeds), records, data_dir=arguments.data_dir, facts=facts)
    _show(compare.table(experiment, records, _command(data, arguments)), experiment.name, arguments)
    return failed


def _deep_n_cheap(arguments: argparse.Namespace) -> int:
    """One search a data set; return 0, for nothing is left out."""
    from keras_sparse.files import atomic

    from . import deep_n_cheap

    changes = dict(deep_n_cheap.Plan.QUICK) if arguments.quick else {}
    changes |= {key: value for key in ("trials", "epochs") if (value := getattr(arguments, key)) is not None}
    plan = deep_n_cheap.Plan(**changes)
    lengths = f"{plan.trials}-{plan.epochs}-{plan.final}-{plan.examples or 'all'}"
    output = arguments.output / "deep_n_cheap" / lengths
    for data in deep_n_cheap.DATA:
        finished = output / f"{data}.md"
        if not arguments.table:
            text = deep_n_cheap.run(data, plan, output, arguments.data_dir)
            with atomic(finished) as temporary:
                temporary.write_text(text)
        if finished.is_file():
            _show(finished.read_text(), f"deep_n_cheap_{data}", arguments)
    return 0


def _show(text: str, name: str, arguments: argparse.Namespace) -> None:
    from ..reproduce import report

    print(text, flush=True)
    if arguments.write:
        report.write(ROOT / "benchmarks" / "RESULTS.md", name, text)


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
