"""Time a junction's training step against other packages that train truly sparse layers on the CPU.

    make bench-peers                # installs the peer in build/peers, never in the package's own environment
    python benchmarks/peers.py --peer sparselab [--python build/peers/bin/python] [--shapes 784x1000]

The peer works in a process of its own and takes turns with ours, call by call, with as many threads. Forward and both
gradients, from and to each framework's row-major tensors, no bias; medians. "ours" is compute="native" where this
version has it, else "auto"; "call" rows time its calls from Python, as the peer's are, "loop" rows a turn of ours (and
of Dense) in a loop inside one tf.function, as with `steps_per_execution`. The peer runs twice, with OpenMP's default
waiting and with OMP_WAIT_POLICY=passive, and the better counts: its thread pool and torch's can be in each other's way.
Ratios above 1: "ours x" and "peer x" are faster than keras.layers.Dense, "gain" says ours is faster than the peer.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any

import candidates
import common
import machine

parser = common.parser(__doc__)
parser.add_argument("--peer", choices=["sparselab"], default="sparselab")
parser.add_argument("--python", type=Path, default=machine.ROOT / "build" / "peers" / "bin" / "python")
parser.add_argument("--shapes", type=common.shapes, default=common.shapes("784x1000,3072x4000,4096x4096"))
parser.add_argument("--densities", type=common.numbers, default=common.numbers("50,20,10,5,2,1"), help="in percent")
parser.add_argument("--batches", type=common.integers, default=[1, 32, 128, 256])
common.add_timed(parser)
parser.add_argument("--seconds", type=float, default=0.25, help="to spend on each figure, about")
parser.add_argument("--slow", type=float, default=5.0, help="leave out what takes more seconds a step")


class Peer:
    """A junction of the peer in a process of its own; a context manager.

    Args:
        python: interpreter of the peer's environment.
        name: of the peer; `peer_NAME.py` is its script.
        shape: (n_in, n_out).
        density: in percent.
        waiting: value of OMP_WAIT_POLICY, or "default".
    """

    def __init__(self, python: Path, name: str, shape: tuple[int, int], density: float, waiting: str) -> None:
        script = Path(__file__).with_name(f"peer_{name}.py")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"BENCH_THREADS": str(common.THREADS)} | (
            {"OMP_WAIT_POLICY": waiting} if waiting != "default" else {}
        )
        self._process = subprocess.Popen(
            [python, script, "{}x{}".format(*shape), str(density)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def ask(self, command: str) -> Any:
        """Send a command and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"The peer's process ended with exit status {self._process.wait()}.")
        return json.loads(answer)

    def burst(self, count: int) -> list[float]:
        """Return the seconds of steps that the peer timed itself."""
        return self.ask(f"burst {count}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def ours(shape: tuple[int, int], density: float, missing: candidates.Missing) -> Any:
    """Return our junction: native if there is one."""
    native = candidates.built("native", shape, density / 100, missing)
    return candidates.built("auto", shape, density / 100, missing) if native is None else native


def measure(
    shape: tuple[int, int], density: float, dense: Any, peers: dict[str, Peer], options: Any, missing: Any
) -> Iterator[dict[str, Any]]:
    """Yield a row for every batch size and way of timing."""
    model = ours(shape, density, missing)
    path = candidates.path(model)
    for batch, how in product(options.batches, options.timed):
        for peer in peers.values():
            peer.ask(f"batch {batch}")
        bursts = {name: candidates.training(m, batch, how) for name, m in (("Dense", dense), ("ours", model))}
        bursts |= {waiting: peer.burst for waiting, peer in peers.items()}
        times = common.interleave(bursts, seconds=options.seconds, slow=options.slow)
        both = {waiting: times.pop(waiting) for waiting in peers if waiting in times}
        if both:
            times["peer"] = min(both.values())
        yield {
            "shape": shape,
            "batch": batch,
            "density": density,
            "timed": how,
            "path": path,
            "ms": {name: 1e3 * seconds for name, seconds in times.items()},
            "peer_ms": {waiting: 1e3 * seconds for waiting, seconds in both.items()},
            "ratio": common.ratios(times),
            "gain": times["peer"] / times["ours"] if {"peer", "ours"} <= times.keys() else None,
        }


def main() -> None:
    options = parser.parse_args()
    if not options.python.exists():
        parser.error(f"{options.python} does not exist; `make bench-peers` makes the peer's environment.")
    missing = candidates.Missing()
    facts = common.announce(f"Training step of a junction: Keras Sparse and {options.peer}")
    titles = ["Dense ms", f"{options.peer} ms", "peer x", "ours x", "gain", "ours is"]
    table = common.Table(["shape", "batch", "density", "timed", *titles])
    rows: list[dict[str, Any]] = []
    for shape in options.shapes:
        dense = candidates.built("Dense", shape, 1.0, missing)
        for density in options.densities:
            with ExitStack() as stack:
                peers = {
                    waiting: stack.enter_context(Peer(options.python, options.peer, shape, density, waiting))
                    for waiting in ("default", "passive")
                }
                facts |= peers["default"].ask("versions")
                for row in measure(shape, density, dense, peers, options, missing):
                    rows.append(row)
                    ms, ratio = row["ms"], row["ratio"]
                    head = ("{}x{}".format(*shape), row["batch"], f"{density:g} %", row["timed"], ms.get("Dense"))
                    tail = (ratio.get("peer"), ratio.get("ours", "slow"), row["gain"], row["path"])
                    table.row(*head, ms.get("peer", "slow"), *tail)
    means = {}
    for how in options.timed:
        gains = [row["gain"] for row in rows if row["gain"] and row["timed"] == how]
        if gains:
            means[how] = common.geometric_mean(gains)
            peer = f"{options.peer} {facts[options.peer]}"
            print(f"\nGeometric mean of the gain over {peer}, {how}: {means[how]:.2f} ({len(gains)} cases)")
    common.save("peers", options, facts, rows, geometric_mean=means, missing=missing.report())


if __name__ == "__main__":
    main()
