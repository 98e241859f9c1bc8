"""Options that several verbs share, and `--config`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SPACE_KEY = "keras_sparse.space"


def output_format(function: F) -> F:
    """Add `--format table|json`."""
    return click.option(
        "--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True,
        help="How results are printed on stdout.",
    )(function)  # fmt: skip


def data_options(function: F) -> F:
    """Add the DATA argument and what belongs to it."""
    function = click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)(function)
    function = click.option(
        "--task", type=click.Choice(["auto", "classification", "regression"]), default="auto", show_default=True,
        help="What the target is; auto decides by its type.",
    )(function)  # fmt: skip
    function = click.option("--data-dir", type=click.Path(), help="Where TFDS data sets are prepared.")(function)
    function = click.option("--target", help="Target column of a table. [default: the last one]")(function)
    return click.argument("data")(function)


def read_config(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Callback of `--config`: the file's entries become defaults, so that options on the command line win."""
    del parameter
    if value is None:
        return None
    entries = _parse(Path(value))
    space = entries.pop("space", None)
    if space is not None:
        if not isinstance(space, dict):
            raise click.BadParameter(f"{value}: `space` must be a table of ranges, got {type(space).__name__}.")
        context.meta[SPACE_KEY] = space
    names = {option.name: option for option in context.command.params if isinstance(option, click.Option)}
    spelled = {opt.lstrip("-").replace("-", "_"): name for name, option in names.items() for opt in option.opts}
    defaults = {}
    for key, entry in entries.items():
        name = spelled.get(key.replace("-", "_"))
        if name is None or name == "config":
            known = ", ".join(sorted({*spelled, "space"} - {"config", "help", "h"}))
            raise click.BadParameter(f"{value} has an unknown entry {key!r}. Known: {known}.")
        defaults[name] = [entry] if names[name].multiple and isinstance(entry, str) else entry
    context.default_map = {**(context.default_map or {}), **defaults}
    return value


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        entries = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"Cannot read {path}: {error}.") from error
    except ValueError as error:  # both parsers name the line
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise click.BadParameter(f"{path} is not valid {kind}: {error}.") from error
    if not isinstance(entries, dict):
        raise click.BadParameter(f"{path} must hold a table of options, got {type(entries).__name__}.")
    return entries
