"""Counter-based random numbers: the same key gives the same stream in any process, on any machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD, _HALF = (1 << 64) - 1, (1 << 32) - 1


def generator(*key: int) -> np.random.Generator:
    """Return a generator that is a pure function of `key`.

    Args:
        key: any integers, for example (seed, kernel, step, purpose). Negative numbers wrap to 64 bits; order and
            number matter.

    Returns:
        A `numpy.random.Generator` over Philox 4x64 (Salmon et al. 2011), seeded with a hash of the key, so that
        neighbouring keys give unrelated streams.
    """
    # SeedSequence does not tell [1] from [1, 0]; with the length in front it does.
    words = [len(key), *(int(part) & _WORD for part in key)]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(_halves(words))))


def _halves(words: list[int]) -> NDArray[np.uint32]:
    """Return what SeedSequence makes of a list of 64-bit numbers, faster: upper halves only where needed."""
    halves = []
    for word in words:
        halves.append(word & _HALF)
        if word > _HALF:
            halves.append(word >> 32)
    return np.array(halves, np.uint32)
