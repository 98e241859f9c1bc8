"""Runs the tests in the corners of the versions that pyproject.toml allows, each in an environment of its own.

    python tests/corners.py [--corners oldest,newest,paired] [--python PYTHON] [arguments of pytest]

oldest: every dependency of ours at its lower bound, on the oldest Python; newest: everything as new as it comes, on the
newest Python; paired: the oldest TensorFlow and Keras between the newest of everything else. Environments stay in
build/corners/ and are made anew when pyproject.toml changes; what each consists of stands in a .txt beside it. All
corners are tried; the exit code is 1 if one failed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[1]
ROOM = SOURCES / "build" / "corners"
# Corner: Python, then what uv is told beside `.[test]`.
CORNERS = {
    "oldest": ("3.11", ["--resolution", "lowest-direct"]),
    "newest": ("3.13", []),
    "paired": ("3.11", ["tensorflow==2.20.*", "keras==3.12.*"]),
}


def uv(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uv", *map(str, arguments)]
    return subprocess.run(command, cwd=SOURCES, check=check, text=True, capture_output=True)


def environment(name: str, python: str | None) -> Path:
    """Make the environment of a corner, if it is not there as it should be; return its Python."""
    wanted, options = CORNERS[name]
    folder, made = ROOM / name, ROOM / name / "made"
    recipe = f"{python or wanted} {options} {hashlib.sha256((SOURCES / 'pyproject.toml').read_bytes()).hexdigest()}"
    interpreter = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if made.exists() and made.read_text() == recipe:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    if uv("venv", "--quiet", "--python", python or wanted, folder, check=False).returncode:
        if python:
            raise SystemExit(f"There is no Python {python}. Name another by --python, or install it.")
        print(f"{name}: no Python {wanted} is to be had here; this one is taken, {sys.version.split()[0]}", flush=True)
        uv("venv", "--quiet", "--python", sys.executable, folder)
    done = uv("pip", "install", "--python", interpreter, "--editable", ".[test]", *options, check=False)
    if done.returncode:
        raise SystemExit(f"The corner {name} cannot be installed:\n{done.stderr}")
    made.write_text(recipe)
    return interpreter


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--corners", default=",".join(CORNERS), help="[default: all of them]")
    parser.add_argument("--python", help="version or path, for all corners")
    options, arguments = parser.parse_known_args()
    names = options.corners.split(",")
    if unknown := set(names) - set(CORNERS):
        parser.error(f"there is no corner {', '.join(sorted(unknown))}; there are {', '.join(CORNERS)}")
    ROOM.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        interpreter = environment(name, options.python)
        versions = uv("pip", "freeze", "--python", interpreter).stdout
        (ROOM / f"{name}.txt").write_text(versions)
        main_ones = [line for line in versions.split() if line.startswith(("keras==", "numpy==", "tensorflow=="))]
        print(f"{name}: {' '.join(main_ones)}, the rest in {ROOM / name}.txt", flush=True)
        if subprocess.run([interpreter, "-m", "pytest", *arguments], cwd=SOURCES).returncode:
            failed.append(name)
    for name in names:
        print(f"{name}: {'FAILED' if name in failed else 'passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
