"""Random numbers that depend on nothing but a seed, a trial and a purpose."""

from __future__ import annotations

from typing import Final

import numpy as np

TRAINING: Final = 1
"""Purpose of the seed a trial trains with."""
START: Final = 2
"""Purpose of the space-filling start of a search."""
PROPOSAL: Final = 3
"""Purpose of the numbers a proposal draws."""

_MAX_SEED: Final = 2**64 - 1


def stream(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """A generator of its own for one purpose of one trial.

    The generator is counter-based (Philox): streams of different seeds, purposes or trials never overlap, and none
    depends on what was drawn before, on the process or on Python's salted `hash`.

    Args:
        seed: The seed of the search, 0 ≤ seed < 2⁶⁴.
        purpose: One of the purposes of this module, or any other integer ≥ 0.
        index: The index of the trial, from 0.

    Raises:
        ValueError: A number is outside its range.
    """
    if not 0 <= seed <= _MAX_SEED or purpose < 0 or index < 0:
        raise ValueError(f"Expected 0 <= seed < 2**64, purpose >= 0 and index >= 0, got {seed}, {purpose}, {index}.")
    key = np.array([seed, purpose], dtype=np.uint64)
    counter = np.array([0, 0, index, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def trial_seed(seed: int, index: int) -> int:
    """The seed that trial `index` trains with, 0 ≤ seed < 2³¹ (what `keras.utils.set_random_seed` accepts)."""
    return int(stream(seed, TRAINING, index).bit_generator.random_raw()) & 0x7FFFFFFF
