"""Column names that are safe as Keras layer names, TensorFlow argument names and JSON keys."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable

# "preprocess", "network" and "raw_units" are layers of the winner, and a signature is called as a method.
_RESERVED = {"preprocess", "network", "raw_units", "self", "args", "kwargs", "inputs", "training", "mask"}


def sanitise(names: Iterable[str]) -> dict[str, str]:
    """Map each original name to a unique identifier of ASCII letters, digits and underscores.

    Accents are dropped, everything else outside the alphabet becomes "_"; a name with nothing left becomes
    "column_<position>". Uniqueness ignores case, as TensorFlow's name scopes do; later names get a suffix "_2", ….

    Args:
        names: original names, each once.

    Returns:
        original -> sanitised, in the order given.
    """
    result: dict[str, str] = {}
    taken: set[str] = set()
    for position, original in enumerate(names, start=1):
        plain = unicodedata.normalize("NFKD", original).encode("ascii", "ignore").decode()
        base = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
        if not base:
            base = f"column_{position}"
        if base[0].isdigit() or keyword.iskeyword(base) or base.lower() in _RESERVED:
            base = f"c_{base}"
        name, count = base, 1
        while name.lower() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.lower())
        result[original] = name
    return result
