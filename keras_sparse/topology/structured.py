"""Structured pre-defined sparsity: every input has the same out-degree, every output the same in-degree."""

from __future__ import annotations

from math import lcm

import numpy as np

from . import admissible, counter_rng
from .connectivity import Connectivity, Int64, check_shape
from .patterns import ByConfig

_ROUNDS = 16  # trades of every input; each removes most of what is left of the regular arrangement


class Structured(ByConfig):
    """Fixed degrees: each input has `fo` connections and each output `fi` (Dey et al. 2019, section II).

    Since n_in · fo = n_out · fi, densities are k / gcd(n_in, n_out) for k = 1, 2, …, gcd. The connections are a
    random one of all such biregular graphs: a regular arrangement with inputs and outputs renamed at random, then
    mixed by global curveball trades (Carstens et al. 2018), whose stationary distribution is uniform. Their number
    is fixed, so drawing always ends, and memory is O(K).

    Args:
        round: take the nearest admissible density instead of refusing another one; default False.

    Raises:
        ValueError: when drawn with a density that is not admissible; it names the nearest ones.

    Example:
        >>> import keras_sparse as ks
        >>> c = ks.Structured().sample((6, 4), 12, seed=1)
        >>> c.out_degrees.tolist(), c.in_degrees.tolist()
        ([2, 2, 2, 2, 2, 2], [3, 3, 3, 3])
    """

    def __init__(self, round: bool = False) -> None:  # noqa: A002 - what it is called
        self.round = bool(round)

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return `count` connections, or with `round` the nearest admissible number, sorted by input and output.

        Args:
            shape: (n_in, n_out).
            count: number of connections, a multiple of lcm(n_in, n_out).
            seed: any integer; the same seed gives the same connections in any process.

        Raises:
            ValueError: when `count` is not admissible.
        """
        n_in, n_out = shape = check_shape(shape)
        if self.round:
            count = admissible.nearest(count, lcm(n_in, n_out), n_in * n_out)
        check_degrees(shape, count, fix="Or ask for the nearest one: ks.Structured(round=True).")
        outputs = _biregular(counter_rng.generator(seed), n_in, n_out, count // n_in)
        return Connectivity._trusted(np.repeat(np.arange(n_in), count // n_in), outputs, shape)


def check_degrees(shape: tuple[int, int], count: int, *, fix: str = "") -> None:
    """Raise ValueError, naming the nearest densities, unless `count` connections give all units equal degrees."""
    because = "every input needs the same out-degree and every output the same in-degree"
    admissible.check(count, lcm(*shape), shape, because=because, fix=fix)


def _biregular(rng: np.random.Generator, n_in: int, n_out: int, degree: int) -> Int64:
    """Return the outputs of every input, sorted, [n_in · degree]."""
    # `degree` consecutive outputs for each input, around the circle of outputs: equal in-degrees, no duplicates.
    circle = np.arange(n_in * degree) % n_out
    rows = rng.permutation(n_out)[circle].reshape(n_in, degree)[rng.permutation(n_in)]
    if degree < n_out:
        for _ in range(_ROUNDS):
            _trade(rng, rows, n_out)
    rows.sort(axis=1)
    return rows.reshape(-1)


def _trade(rng: np.random.Generator, rows: Int64, n_out: int) -> None:
    """Pair all inputs at random; each pair pools the outputs that only one of the two has and deals them anew."""
    n_in, degree = rows.shape
    one, other = rng.permutation(n_in)[: n_in // 2 * 2].reshape(2, -1)
    pool = np.concatenate([rows[one], rows[other]], axis=1)
    pool.sort(axis=1)
    # In front of each output stand the random bits it is dealt by: an output of both goes to each of them.
    bits = n_out.bit_length()
    last = 1 << (62 - bits)
    deal = rng.integers(1, last, size=pool.shape)
    shared = pool[:, 1:] == pool[:, :-1]
    deal[:, :-1][shared] = 0
    deal[:, 1:][shared] = last
    deal <<= bits
    pool |= deal
    pool.partition(degree, axis=1)
    pool &= (1 << bits) - 1
    rows[one], rows[other] = pool[:, :degree], pool[:, degree:]
