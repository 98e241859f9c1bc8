"""What `mkdocs` does besides: lay the packages as they are installed, and make notebooks of the examples."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import griffe
import jupytext
import nbformat
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PACKAGES = {"keras_sparse": "keras_sparse", "search": "keras_sparse/search", "cli": "keras_sparse_cli"}
LAID = tempfile.TemporaryDirectory()
SERVED = ("gene_expression", "small_classifier", "sequences", "rbm", "own_policy", "sparse_digits")
"""The examples that are notebooks, too."""


class Examples(griffe.Extension):
    """Reads "Example:" as Keras' docstrings write it: as code, which griffe expects under "Examples:"."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rename the section."""
        del kwargs
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)


@event_priority(100)  # before mkdocstrings is told where to look
def on_config(config: Any) -> Any:
    """Lay the sources out as setuptools installs them, for the reference."""
    for source, package in PACKAGES.items():
        target = Path(LAID.name, package)
        shutil.rmtree(target, ignore_errors=True)  # of the last build of `mkdocs serve`
        shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.cpp"))
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [LAID.name]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the notebooks, which are made of the scripts at every build and so never differ from them."""
    for name in SERVED:
        made = File.generated(config, f"notebooks/{name}.ipynb", content=notebook(ROOT / "examples" / f"{name}.py"))
        files.append(made)
    return files


def notebook(script: Path) -> str:
    """Return a script in percent format as a notebook whose first cell stands for the command line."""
    made = jupytext.read(script, fmt="py:percent")
    options = f'import sys\n\nsys.argv = ["{script.name}"]  # options of the script go here, e.g. "--epochs", "10"'
    made.cells.insert(1 if made.cells[0].cell_type == "markdown" else 0, nbformat.v4.new_code_cell(options))
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"  # drawn at random otherwise: the same source makes the same notebook
    return jupytext.writes(made, fmt="ipynb")
