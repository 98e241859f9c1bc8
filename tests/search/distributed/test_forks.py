"""What a process of a search starts must not hang in gRPC's handlers of forks."""

import subprocess
import sys

SCRIPT = """
import os, sys
import keras_sparse.search
assert "grpc" not in sys.modules, "imported before it was told"
print(os.environ["GRPC_ENABLE_FORK_SUPPORT"])
"""


def test_grpc_is_told_before_it_is_imported(monkeypatch):
    monkeypatch.delenv("GRPC_ENABLE_FORK_SUPPORT", raising=False)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
