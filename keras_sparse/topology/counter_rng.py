"""Counter-based random numbers: the same key gives the same stream in any process, on any machine."""

from __future__ import annotations

import numpy as np

_WORD = (1 << 64) - 1


def generator(*key: int) -> np.random.Generator:
    """Return a generator that is a pure function of `key`.

    Args:
        key: one to four integers, for example (seed, kernel index, step, purpose). Negative numbers wrap to
            64 bits; the order matters.

    Returns:
        A `numpy.random.Generator` over Philox 4x64 (Salmon et al. 2011): the first two integers select the
        stream, the others the place in it, so neighbouring steps never overlap.

    Raises:
        ValueError: for no key or more than four integers.
    """
    if not 1 <= len(key) <= 4:
        raise ValueError(f"A random stream has one to four key integers, got {len(key)}.")
    words = np.array([int(part) & _WORD for part in key] + [0] * (4 - len(key)), np.uint64)
    # The low counter words run while numbers are drawn; the high ones stay ours.
    return np.random.Generator(
        np.random.Philox(key=words[:2], counter=np.concatenate([np.zeros(2, np.uint64), words[2:]]))
    )
