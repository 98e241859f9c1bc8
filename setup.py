"""The build of the native kernels; everything else about the package stands in pyproject.toml."""

import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildKernels(build_ext):
    """Builds the kernels if the compiler that `CC` names works, so that CC=/bin/false asks for a package without them.

    setuptools would otherwise compile C++ by another compiler than the one asked for.
    """

    def build_extension(self, ext: Extension) -> None:
        """Try the C compiler, then build; a failure of either leaves the optional extension out."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "try.c"
            source.write_text("int main(void) { return 0; }\n")
            self.compiler.compile([str(source)], output_dir=folder)
        super().build_extension(ext)


setup(cmdclass={"build_ext": BuildKernels})
