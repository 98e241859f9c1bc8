import subprocess
import sys
from pathlib import Path

import pytest

ELSEWHERE = {"serving_client", "two_workers"}  # have tests of their own
EXAMPLES = sorted(p for p in (Path(__file__).parents[1] / "examples").glob("*.py") if p.stem not in ELSEWHERE)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_runs(script, tmp_path):
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_there_are_some():
    assert {path.stem for path in EXAMPLES} >= {"sparse_digits", "own_policy"}
