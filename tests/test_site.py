"""The guide site, built as `make docs` builds it; skipped where the extra `docs` is not installed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="mkdocs-material is not installed: pip install '.[docs]'")
pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is not installed: pip install '.[docs]'")
pytest.importorskip("jupytext", reason="jupytext is not installed: pip install '.[docs]'")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    return folder


def test_nothing_comes_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*?src=[\"']?([^\"' >]+)", page.read_text("utf-8"))
        loaded += re.findall(r"<link[^>]*?href=[\"']?([^\"' >]+)", page.read_text("utf-8"))
        assert not [address for address in loaded if "//" in address], page


def test_the_reference_has_arguments_and_examples(site):
    text = (site / "reference/layers.html").read_text("utf-8")
    assert 'id="keras_sparse.SparseDense"' in text
    assert "fraction of the n_in" in text
    assert re.search(r"<code>[^/]*&gt;&gt;&gt;|class=\"gp\"", text)  # "Example:" became code
    commands = (site / "reference/cli.html").read_text("utf-8")
    assert "--complexity-weight" in commands
    assert "Sentinel" not in commands
    assert 'id="keras_sparse.search.search"' in (site / "reference/search.html").read_text("utf-8")


def test_notebooks_are_the_scripts(site):
    nbformat = pytest.importorskip("nbformat")
    notebooks = {path.stem: path for path in (site / "notebooks").glob("*.ipynb")}
    assert {"gene_expression", "small_classifier", "sequences", "rbm", "own_policy"} <= set(notebooks)
    for name, path in notebooks.items():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        script = (ROOT / "examples" / f"{name}.py").read_text("utf-8")
        cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        assert "sys.argv" in cells[0]
        for cell in cells[1:]:
            assert cell in script


def test_a_notebook_runs(site, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install '.[docs]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install '.[docs]'")
    notebook = nbformat.read(site / "notebooks/sequences.ipynb", as_version=4)
    notebook.cells[1].source = notebook.cells[1].source.replace(
        '["sequences.py"]', '["sequences.py", "--epochs", "1", "--units", "16"]'
    )
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.create_kernel_manager().kernel_spec.argv[0] = sys.executable  # not another environment's kernel
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "test accuracy" in printed


def test_the_search_works_without_a_server(site):
    index = json.loads((site / "search/search_index.json").read_text("utf-8"))
    assert any("DeepR" in page["title"] for page in index["docs"])
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    with playwright.sync_playwright() as library:
        path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
        path = path or library.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium is installed; CHROMIUM can name one")
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # as root Chromium has no sandbox
        browser = library.chromium.launch(executable_path=path, args=["--no-sandbox"] if root else [])
        page = browser.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto((site / "index.html").as_uri())
        page.wait_for_function("() => [...document.querySelectorAll('iframe')].some(f => f.contentWindow.lunr)")
        page.fill("input.md-search__input", "temperature", force=True)
        page.dispatch_event("input.md-search__input", "keyup")
        page.wait_for_selector(".md-search-result__link", state="attached", timeout=60_000)
        browser.close()
    assert not errors
    assert all(address.startswith("file:") for address in asked)
