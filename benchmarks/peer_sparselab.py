"""One junction of sparselab (on torch), timed for `peers.py`: it runs in an environment of its own.

    python benchmarks/peer_sparselab.py 784x1000 10

It reads lines from stdin and answers each with a line of JSON: "versions"; "batch N" prepares inputs; "burst N" runs N
training steps (forward and both gradients) and answers their seconds.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import Any

import common  # first: it sets the number of threads
import sparselab  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]


def step_burst(layer: Any, batch: int) -> common.Burst:
    """Return the burst of forward and both gradients, from and to torch's row-major tensors."""
    x = torch.randn(batch, layer.in_features, requires_grad=True)
    dy = torch.randn(batch, layer.out_features)
    return common.calls(lambda: torch.autograd.grad(layer(x), [x, *layer.parameters()], dy))


def main() -> None:
    torch.set_num_threads(common.THREADS)
    torch.manual_seed(0)
    n_in, n_out = common.shapes(sys.argv[1])[0]
    density = float(sys.argv[2]) / 100
    layer = sparselab.SparseLinear(n_in, n_out, bias=False, sparsity=1 - density)
    burst = None
    for line in sys.stdin:
        command, *arguments = line.split()
        answer: Any = None
        if command == "versions":
            answer = {name: metadata.version(name) for name in ("sparselab", "torch")}
        elif command == "batch":
            burst = step_burst(layer, int(arguments[0]))
        elif command == "burst" and burst is not None:
            answer = burst(int(arguments[0]))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
