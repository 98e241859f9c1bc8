"""The build of the native kernels; everything else about the package stands in pyproject.toml."""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("keras_sparse/compute/native")
COMPILE = "-std=c++17 -O3 -g0 -fvisibility=hidden -ffp-contract=fast -Wno-maybe-uninitialized -pthread"


class BuildKernels(build_ext):
    """Builds the kernels if the compiler that `CC` names works, so that CC=/bin/false asks for a package without them.

    setuptools would otherwise compile C++ by another compiler than the one asked for. Sources are compiled side by
    side, one a processor.
    """

    def build_extension(self, ext: Extension) -> None:
        """Try the C compiler, then build; a failure of either leaves the optional extension out."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "try.c"
            source.write_text("int main(void) { return 0; }\n")
            self.compiler.compile([str(source)], output_dir=folder)
        one_by_one = self.compiler.compile
        self.compiler.compile = partial(_side_by_side, one_by_one)
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = one_by_one


def _side_by_side(one_by_one: Any, sources: list[str], **options: Any) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = pool.map(lambda source: one_by_one([source], **options), sources)
        return [path for paths in compiled for path in paths]


kernels = Extension(
    "keras_sparse.compute.native._kernels",
    sources=sorted(map(str, NATIVE.glob("*.cpp"))),
    depends=sorted(map(str, NATIVE.glob("*.h"))),
    language="c++",
    extra_compile_args=COMPILE.split(),
    extra_link_args=["-pthread", "-ldl"],
    # The library knows nothing of Python, so one build serves every version.
    py_limited_api=True,
    # Without a compiler the package installs all the same and multiplies with TensorFlow's own ops.
    optional=True,
)

# One wheel of a platform serves every Python from this one on.
setup(
    ext_modules=[kernels],
    cmdclass={"build_ext": BuildKernels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
