"""`run.json`: what a run directory was made with, so that nothing else is mixed in."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from keras_sparse.files import read_json

from .errors import ResumeMismatchError, RunDirectoryError
from .records import write_json
from .settings import DEFAULTS
from .spaces import completed

SCHEMA: Final = 1
"""Version of the layout of `run.json`."""

_PACKAGES = ("keras-sparse", "keras", "keras-tuner", "tensorflow", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of the packages a result depends on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class RunManifest:
    """Everything a search depends on.

    Args:
        data: "name" and what identifies the data: "fingerprint", "task", sizes of the parts, features and outputs.
        space: The space, as JSON.
        options: Options that change a trial: complexity weight, epochs, patience, ….
        seed: The seed of the search.
        max_trials: Trials to run. A resumed run may raise it.
        versions: Package versions; for the reader, not compared.
        measured: Costs of the largest network of the space where they had to be measured; kept, not compared.
    """

    data: Mapping[str, Any]
    space: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int
    max_trials: int
    versions: Mapping[str, str] = field(default_factory=versions)
    measured: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def path(directory: Path) -> Path:
        """Where the manifest of a run directory is."""
        return directory / "run.json"

    @classmethod
    def read(cls, directory: str | Path) -> Self | None:
        """The manifest of a run directory; None if there is none.

        Raises:
            RunDirectoryError: `run.json` is no manifest, or a newer version wrote it.
        """
        path = cls.path(Path(directory))
        names = {f.name for f in dataclasses.fields(cls)} - {"measured"}
        try:
            data = read_json(path)
            if data["schema"] > SCHEMA:
                raise RunDirectoryError(
                    f"{path} has schema {data['schema']}; this version of keras_sparse reads up to {SCHEMA}. Update it."
                )
            manifest = cls(**{name: data[name] for name in names}, measured=dict(data.get("measured", {})))
            manifest._check()
            return manifest
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunDirectoryError(f"Cannot read {path}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(
                f"{path} is damaged ({type(error).__name__}: {error}), so the run cannot be continued safely. "
                "Choose another output directory, or start anew with overwrite."
            ) from error

    def _check(self) -> None:
        """Raise ValueError for fields of another type than `write` gave them."""
        parts = {name: getattr(self, name) for name in ("data", "space", "options", "versions")}
        wrong = [name for name, part in parts.items() if not isinstance(part, dict)]
        wrong += [name for name in ("seed", "max_trials") if not isinstance(getattr(self, name), int)]
        if wrong:
            raise ValueError(f"unexpected {', '.join(wrong)}")

    def write(self, directory: Path) -> None:
        """Writes `run.json` in one step."""
        write_json(self.path(directory), {"schema": SCHEMA} | dataclasses.asdict(self))

    def check_resumable(self, earlier: Self) -> None:
        """Whether this search may go on where `earlier` stopped.

        Raises:
            ResumeMismatchError: They differ in more than a larger `max_trials`; the message lists the differences.
        """
        lines = _differences("", _compared(earlier), _compared(self))
        if self.max_trials < earlier.max_trials:
            lines.append(f"  max_trials: {earlier.max_trials} -> {self.max_trials} (may only be raised)")
        if lines:
            raise ResumeMismatchError(
                "This run was started with something else, so it cannot be resumed:\n"
                + "\n".join(lines)
                + "\nAsk for the same again, choose another output directory, or start anew with overwrite."
            )

    def check_joinable(self, chief: Self) -> None:
        """Whether a worker that was asked for this can work for a chief.

        Raises:
            ResumeMismatchError: They differ in more than `max_trials`; the message lists the differences.
        """
        if lines := _differences("", _compared(chief), _compared(self)):
            raise ResumeMismatchError(
                "The chief searches for something else than this worker was started with:\n"
                + "\n".join(lines)
                + "\nStart all of them with the same arguments, and the same data."
            )


def _compared(manifest: RunManifest) -> dict[str, Any]:
    # The fingerprint covers the shape, which earlier versions did not note.
    data = {key: value for key, value in manifest.data.items() if key not in ("name", "input_shape")}
    options = {**DEFAULTS, **manifest.options}
    compared = {"data": data, "space": completed(manifest.space), "options": options, "seed": manifest.seed}
    return json.loads(json.dumps(compared))


def _differences(prefix: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        if old.get("kind") != new.get("kind"):  # of spaces that have nothing in common
            return _differences(f"{prefix}.kind", old.get("kind"), new.get("kind"))
        lines = []
        for key in sorted(old.keys() | new.keys()):
            lines += _differences(f"{prefix}.{key}" if prefix else key, old.get(key), new.get(key))
        return lines
    return [] if old == new else [f"  {prefix}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:20]}…{text[-4:]}"
