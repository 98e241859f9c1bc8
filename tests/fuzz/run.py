"""Runs the targets of `targets.py` on random cases, for a bounded time.

    python tests/fuzz/run.py --seconds 60 [--seed N] [--targets keras_files,native_ops]
    python tests/fuzz/run.py --replay tests/fuzz/corpus.txt

A case is a target and a seed, and always the same. Cases run in a process of limited memory; what is no refusal
(another exception, a crash, a case of more than a minute) is printed, added to the corpus, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import logging
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus.txt"
MEMORY = 12 * 2**30  # bytes of address space; TensorFlow reserves several
SECONDS = 60  # of a case


def cases(path: Path) -> list[tuple[str, int]]:
    """Return the (target, seed) of a corpus: a line each, what follows # is a comment."""
    lines = [line.partition("#")[0].split() for line in path.read_text("utf-8").splitlines()]
    return [(line[0], int(line[1])) for line in lines if line]


def work(todo: Path, state: Path, seconds: float) -> int:
    """Run the cases in a file, one after another; leave in `state` how far that went; return how many were wrong."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path.insert(0, str(HERE))
    import targets

    logging.disable(logging.WARNING)  # records that are set aside, by the hundred
    warnings.simplefilter("ignore")
    found, end = 0, time.monotonic() + seconds
    counts: dict[str, list[int]] = {}
    for number, (target, seed) in enumerate(cases(todo)):
        if time.monotonic() > end:
            break
        state.write_text(str(number))
        signal.alarm(SECONDS)  # not handled: native code may not return
        try:
            refused = targets.run(target, seed)
            count = counts.setdefault(target, [0, 0])
            count[0] += 1
            count[1] += refused is not None
        except Exception:
            found += 1
            print(f"FOUND {target} {seed}\n{traceback.format_exc()}", flush=True)
        signal.alarm(0)
    state.write_text("done")
    for target, (done, refused) in counts.items():
        print(f"{target}: {done} cases, {refused} refused", flush=True)
    return found


def fuzz(todo: list[tuple[str, int]], seconds: float) -> list[str]:
    """Run cases in processes of their own; return the wrong ones as lines of a corpus."""
    found: list[str] = []
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        listed, state = Path(folder, "todo"), Path(folder, "state")
        while todo and time.monotonic() < end:
            listed.write_text("".join(f"{target} {seed}\n" for target, seed in todo))
            state.write_text("starting")
            command = [sys.executable, __file__, "--work", str(listed), str(state)]
            command += ["--seconds", str(end - time.monotonic())]
            run = subprocess.run(command, capture_output=True, text=True, errors="replace")
            print(run.stdout, end="")
            found += [line.removeprefix("FOUND ") for line in run.stdout.splitlines() if line.startswith("FOUND ")]
            reached = state.read_text()
            if reached == "done":
                break
            if reached == "starting":
                raise SystemExit(f"The fuzzer does not start:\n{run.stderr[-2000:]}")
            target, seed = todo[int(reached)]
            found.append(f"{target} {seed}  # the process ended with {run.returncode}")
            print(f"FOUND {found[-1]}\n{run.stderr[-2000:]}", flush=True)
            todo = todo[int(reached) + 1 :]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="of the first case [default: the time]")
    parser.add_argument("--targets", default="keras_files,backups,data_files,run_directories,native_ops,raw_ops")
    parser.add_argument("--replay", type=Path, help="run the cases of a corpus")
    parser.add_argument("--work", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(*options.work, options.seconds) and 1
    if options.replay:
        todo = cases(options.replay)
    else:
        seed = int(time.time()) if options.seed is None else options.seed
        print(f"{options.seconds:g} seconds of {options.targets}, seeds from {seed}", flush=True)
        names = options.targets.split(",")
        todo = [(name, seed + number) for number in range(100_000) for name in names]
    found = fuzz(todo, options.seconds)
    if found and not options.replay:
        with CORPUS.open("a", encoding="utf-8") as corpus:
            corpus.write("".join(f"{line}\n" for line in found))
        print(f"{len(found)} findings, added to {CORPUS}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
