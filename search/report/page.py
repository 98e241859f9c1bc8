"""What `collect` found as one HTML file: data, script and style inside, nothing asked of any network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from keras_sparse.files import atomic

from .. import directory as names
from .collect import collect

_SCRIPTS = ("base.js", "chart.js", "front.js", "network.js", "space.js", "progress.js", "trials.js", "main.js")
_STYLES = ("page.css", "parts.css")
# Half a surrogate pair is legal in JSON and cannot be written as UTF-8.
_HALF = re.compile("[\ud800-\udfff]")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(value: Mapping[str, Any], *, live: bool = False) -> str:
    """The HTML page of a report.

    Data can do nothing but be shown: they stand in a block that is no script, with `<`, `>` and `&` escaped, and are
    put into the page as text only. The page's own policy lets no other script run and no address be asked.

    Args:
        value: What `collect` returns.
        live: Whether the page asks the server that it came from for news.
    """
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    style = "\n".join(_asset(name) for name in _STYLES)
    parts = {
        "title": html.escape(f"{_whole(str(value.get('title', '')))}: sparse network search"),
        "policy": html.escape(policy(script, style, live=live)),
        "style": style,
        "script": script,
        "live": "true" if live else "false",
        "data": embedded(value),
    }
    return _PLACE.sub(lambda match: parts[match[1]], _asset("page.html"))


def write_report(directory: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Writes the page of a run, finished or not, in one step.

    Args:
        directory: The run directory.
        path: The file to write. Default: `report.html` in the run directory.

    Returns:
        The file's path.

    Raises:
        RunDirectoryError: The directory cannot be read, or a newer version wrote it.
        OSError: The file cannot be written.
    """
    target = Path(directory) / names.REPORT if path is None else Path(path)
    target = target.expanduser().absolute()
    text = page(collect(directory))
    with atomic(target) as temporary:
        temporary.write_text(text, "utf-8")
    return target


def embedded(value: Any) -> str:
    """`value` as JSON that is safe inside a script element, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return _HALF.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def policy(script: str, style: str, *, live: bool) -> str:
    """The page's Content-Security-Policy: only its own script and style, and no network but its own server's."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "connect-src 'self'" if live else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _whole(text: str) -> str:
    return _HALF.sub("\ufffd", text)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files(__name__.rpartition(".")[0]) / "assets" / name).read_text("utf-8")
