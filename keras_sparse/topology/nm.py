"""N:M sparsity: exactly n connections in every group of m neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from . import counter_rng
from .connectivity import Connectivity, Int64, check_shape
from .patterns import ByConfig
from .places import CHUNK
from .sampling import distinct_free_in_groups

Score = Callable[[Int64, Int64], ArrayLike]


class NM(ByConfig):
    """Exactly n connections in every group of m consecutive inputs of an output (Zhou et al. 2021, section 3).

    The density is n / m; leave the layer's `density` out, or give just that. Rewiring keeps the groups: newcomers come
    from `regrow`. Memory is O(K).

    Args:
        n: connections in a group, 1 ≤ n ≤ m.
        m: positions in a group; divides n_in.
        axis: "input", groups are inputs of one output; or "output", outputs of one input (m divides n_out).

    Raises:
        ValueError: for other arguments; and, when drawn, for a junction that is not divided by the groups.

    Example:
        >>> import keras_sparse as ks
        >>> c = ks.NM(2, 4).sample((8, 3), 12, seed=0)
        >>> c.to_mask().reshape(2, 4, 3).sum(1).tolist()
        [[2, 2, 2], [2, 2, 2]]
    """

    kept_through_rewiring = True

    def __init__(self, n: int, m: int, axis: Literal["input", "output"] = "input") -> None:
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (n, m))
        if not whole or not 1 <= n <= m:
            raise ValueError(f"`n` and `m` must be integers with 1 <= n <= m, such as 2 and 4; got {n!r} and {m!r}.")
        if axis not in ("input", "output"):
            raise ValueError(f"`axis` must be 'input' or 'output'; got {axis!r}.")
        self.n, self.m, self.axis = n, m, axis

    def count(self, shape: tuple[int, int]) -> int:
        """Return the number of connections, n_in · n_out · n / m.

        Raises:
            ValueError: when m does not divide the inputs, or with axis="output" the outputs.
        """
        size = shape[self.axis == "output"]
        if size % self.m:
            near = sorted({max(1, size // self.m) * self.m, (size // self.m + 1) * self.m})
            raise ValueError(
                f"{self!r} needs a number of {self.axis}s that is divided by m = {self.m}; got {size}. The nearest are "
                f"{' and '.join(map(str, near))}."
            )
        return shape[0] * shape[1] // self.m * self.n

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return connections, uniformly drawn in every group, sorted by group.

        Args:
            shape: (n_in, n_out).
            count: number of connections, as `count(shape)` tells it.
            seed: any integer; the same seed gives the same connections in any process.

        Raises:
            ValueError: when `shape` or `count` does not fit.
        """
        shape = check_shape(shape)
        if count != self.count(shape):
            raise ValueError(f"{self!r} has {self.count(shape)} connections in {shape[0]} x {shape[1]}, not {count}.")
        wanted = np.full(count // self.n, self.n)
        numbers = distinct_free_in_groups(counter_rng.generator(seed), self.m, wanted, np.empty(0, np.int64))
        return Connectivity._trusted(*self._units(numbers, shape), shape)

    def regrow(
        self, rng: np.random.Generator, shape: tuple[int, int], kept: Connectivity, score: Score | None = None
    ) -> tuple[Int64, Int64]:
        """Return the newcomers that complete every group again.

        Args:
            rng: source of the draw.
            shape: (n_in, n_out).
            kept: connections that stay.
            score: called with (inputs, outputs) of all positions of incomplete groups, part by part, returns one
                number each: the empty positions with the highest scores come, of equals the first. By default they
                are drawn uniformly among the empty positions of each group.

        Returns:
            (inputs [n], outputs [n]) of the newcomers, sorted by group.

        Raises:
            ValueError: when `kept` has another shape, or a group of it holds more than n connections.
        """
        if kept.shape != tuple(shape):
            raise ValueError(f"`kept` must have the junction's shape {tuple(shape)}; got {kept.shape}.")
        groups = self.count(check_shape(shape)) // self.n
        taken = np.sort(self._numbers(kept.inputs, kept.outputs, shape))
        wanted = self.n - np.bincount(taken // self.m, minlength=groups)
        if np.any(wanted < 0):
            group = int(np.argmin(wanted))
            raise ValueError(f"{self!r} cannot be completed: group {group} holds {self.n - wanted[group]} connections.")
        if score is None:
            numbers = distinct_free_in_groups(rng, self.m, wanted, taken)
        else:
            numbers = self._best(wanted, taken, shape, score)
        return self._units(numbers, shape)

    def _best(self, wanted: Int64, taken: Int64, shape: tuple[int, int], score: Score) -> Int64:
        """Return the `wanted` empty positions of every group that score highest; memory O(K)."""
        incomplete = np.flatnonzero(wanted)
        found = [np.empty(0, np.int64)]
        step = max(1, CHUNK // self.m)
        for begin in range(0, len(incomplete), step):
            groups = incomplete[begin : begin + step]
            numbers = groups[:, None] * self.m + np.arange(self.m)
            scores = np.asarray(score(*self._units(numbers.reshape(-1), shape))).reshape(numbers.shape)
            place = np.minimum(np.searchsorted(taken, numbers), max(0, len(taken) - 1))
            is_taken = taken[place] == numbers if len(taken) else np.zeros(numbers.shape, bool)
            order = np.lexsort((-scores, is_taken), axis=1)
            chosen = np.zeros(numbers.shape, bool)
            np.put_along_axis(chosen, order, np.arange(self.m) < wanted[groups][:, None], axis=1)
            found.append(numbers[chosen])
        return np.concatenate(found)

    # Positions are numbered so that the ones of a group follow each other: number // m is the group.

    def _numbers(self, inputs: Int64, outputs: Int64, shape: tuple[int, int]) -> Int64:
        return outputs * shape[0] + inputs if self.axis == "input" else inputs * shape[1] + outputs

    def _units(self, numbers: Int64, shape: tuple[int, int]) -> tuple[Int64, Int64]:
        outer, inner = np.divmod(numbers, shape[self.axis == "output"])
        return (inner, outer) if self.axis == "input" else (outer, inner)
