"""The code in the guides runs as it stands, block after block; their commands are commands; nothing is left out."""

import inspect
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from keras_sparse_cli.main import main
from matplotlib import pyplot

import keras_sparse as ks

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
RUN = {"first_steps"}
"""Pages whose commands are cheap, and run."""


def named(page):
    return page.relative_to(ROOT / "docs").with_suffix("").as_posix()


def blocks(page, language):
    """Return (what stands behind the language, the text) of every block."""
    return re.findall(rf"^```{language}\b([^\n]*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page):
    """Return the `ksparse` commands of a page, each as a list of arguments without the first."""
    lines = [line for _, text in blocks(page, "bash") for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("ksparse ")]


WITH_CODE = [page for page in PAGES if blocks(page, "python")]
WITH_COMMANDS = [page for page in PAGES if commands(page)]


@pytest.mark.parametrize("page", WITH_CODE, ids=named)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")
    names = {"__name__": page.stem}
    for _, block in blocks(page, "python"):
        assert block.strip()
        exec(compile(block, str(page), "exec"), names)
    pyplot.close("all")


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=named)
def test_commands_are_understood(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for behind, text in blocks(page, "toml"):
        title = re.search(r'title="([\w.]+)"', behind)
        assert title, f"{named(page)}: a file needs a title, so that commands can name it"
        Path(title[1]).write_text(text, "utf-8")
    for verb, *arguments in commands(page):
        for argument in arguments:  # what commands read must exist
            if argument.endswith(".keras"):
                Path(argument).parent.mkdir(parents=True, exist_ok=True)
                Path(argument).touch()
            elif verb == "report" and not argument.startswith("-"):
                Path(argument).mkdir(parents=True, exist_ok=True)
        command = main.commands[verb]
        try:
            command.make_context(verb, list(arguments), parent=click.Context(main))
        except click.ClickException as error:
            pytest.fail(f"{named(page)}: ksparse {shlex.join([verb, *arguments])}: {error.format_message()}")


@pytest.mark.parametrize("page", [page for page in WITH_COMMANDS if named(page) in RUN], ids=named)
def test_cheap_commands_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in commands(page):
        run = CliRunner().invoke(main, arguments)
        assert run.exit_code == 0, f"ksparse {shlex.join(arguments)}: {run.output}"


def test_the_guides_have_code_and_commands():
    with_code = {"index", "first_steps", "density", "policies", "degrees", "search_recipes", "own_policy"}
    assert with_code <= set(map(named, WITH_CODE))
    assert {"first_steps", "search_recipes"} <= set(map(named, WITH_COMMANDS))


def test_all_policies_are_compared():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/policies.md").read_text("utf-8"), re.MULTILINE)
    public = {
        name
        for name in ks.__all__
        if inspect.isclass(getattr(ks, name)) and issubclass(getattr(ks, name), ks.Policy) and name != "Policy"
    }
    assert sorted(rows) == sorted(public)


def test_the_reference_is_complete_and_names_what_exists():
    pages = (ROOT / "docs/reference").glob("*.md")
    documented = [
        name for page in pages for name in re.findall(r"^::: (keras_sparse\S+)", page.read_text("utf-8"), re.M)
    ]
    assert len(documented) == len(set(documented))
    for name in documented:
        assert found(name).__doc__, name
    modules = {"analysis", "models", "testing"}
    expected = {f"keras_sparse.{name}" for name in ks.__all__ if name not in modules}
    expected |= {f"keras_sparse.analysis.{name}" for name in ks.analysis.__all__}
    expected |= {f"keras_sparse.models.{name}" for name in ks.models.__all__ if name not in ks.__all__}
    expected |= {f"keras_sparse.search.{name}" for name in ks.search.__all__}
    assert expected <= set(documented)


def found(name):
    import keras_sparse.search.data  # noqa: F401 - so that its parts can be found

    place = ks
    for part in name.split(".")[1:]:
        place = getattr(place, part)
    return place


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "examples/README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not target.startswith("notebooks/"):  # those are made with the site
            assert (page.parent / target).exists(), target
