"""Finding and loading the library of native kernels, which is built when the package is installed."""

from __future__ import annotations

import ctypes
import logging
import os
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from ...topology import accelerated
from .rewiring import Rewiring

INSTRUCTION_SET = "KERAS_SPARSE_INSTRUCTION_SET"
THREADS = "KERAS_SPARSE_THREADS"

_log = logging.getLogger("keras_sparse")


@dataclass(frozen=True)
class Library:
    """The loaded kernels.

    Attributes:
        ops: module with TensorFlow's Python functions for the ops.
        binary: the library itself.
    """

    ops: Any
    binary: ctypes.CDLL

    @property
    def instruction_set(self) -> str:
        """The instruction set in use: "avx512", "avx2", "neon" or "portable"."""
        return self.binary.keras_sparse_instruction_set().decode()

    @property
    def instruction_sets(self) -> list[str]:
        """Those this processor has, best first."""
        names: list[str] = []
        while (name := self.binary.keras_sparse_available(len(names))) is not None:
            names.append(name.decode())
        return names

    def use(self, instruction_set: str) -> None:
        """Use `instruction_set` from now on.

        Raises:
            ValueError: when this processor does not have it.
        """
        if not self.binary.keras_sparse_use(instruction_set.encode()):
            raise ValueError(
                f"This processor has the instruction sets {', '.join(self.instruction_sets)}; got {instruction_set!r}."
            )

    @property
    def threads(self) -> int:
        """Threads a product may use."""
        return self.binary.keras_sparse_threads()

    def set_threads(self, threads: int) -> None:
        """Use `threads` threads from now on; 0 for one per processor."""
        self.binary.keras_sparse_set_threads(threads)


def load() -> Library | None:
    """Return the native kernels, or None, with one line in the log, where they cannot be used.

    The environment variable KERAS_SPARSE_INSTRUCTION_SET names an instruction set to use instead of the best one, or
    "none" to do without native kernels; KERAS_SPARSE_THREADS the number of threads, by default TensorFlow's.
    """
    return _try()[0]


def obstacle() -> str:
    """Return why there are no native kernels; empty where there are."""
    return _try()[1]


@cache
def _try() -> tuple[Library | None, str]:
    if os.environ.get(INSTRUCTION_SET) == "none":
        return None, f"the environment variable {INSTRUCTION_SET} is none."
    try:
        return _load(), ""
    except Exception as error:
        _log.warning("keras_sparse: no native kernels, the stock path is used: %s", error)
        return None, str(error)


def _load() -> Library:
    import tensorflow as tf

    here = Path(__file__).parent
    paths = [here / f"_kernels{suffix}" for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise FileNotFoundError("they were not built; install a C++17 compiler, then keras-sparse again.")
    ops = tf.load_op_library(str(path))
    binary = ctypes.CDLL(str(path))
    for name in ("problem", "instruction_set", "available"):
        getattr(binary, f"keras_sparse_{name}").restype = ctypes.c_char_p
    problem = binary.keras_sparse_problem().decode()
    if problem:
        raise RuntimeError(f"this TensorFlow ({tf.__version__}) lacks or refuses {problem}.")
    library = Library(ops, binary)
    library.set_threads(int(os.environ.get(THREADS) or tf.config.threading.get_intra_op_parallelism_threads()))
    if wanted := os.environ.get(INSTRUCTION_SET):
        library.use(wanted)
    accelerated.register(Rewiring(binary).functions())
    return library
