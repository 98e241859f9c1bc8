"""Clash-free connections: a structured pattern that parallel hardware reads without waiting for memory."""

from __future__ import annotations

from collections import Counter
from math import comb, factorial, isqrt, prod
from typing import NamedTuple

import numpy as np

from . import counter_rng
from .connectivity import Connectivity, Int64, check_shape
from .patterns import ByConfig
from .structured import check_degrees


class ClashFree(ByConfig):
    """Fixed degrees and clash-free reading (Dey et al. 2019, section III).

    The n_in inputs lie in z memories of D = n_in / z addresses, input `address · z + memory`. Every cycle reads one
    address of each memory; D cycles, a sweep, read every input once; as many sweeps as inputs have connections
    (`fo`) give the edges, and edge e leads to output e // fi.

    The authors' generator draws sweeps independently. Where n_out is not a multiple of `fo` an output reads the end
    of one sweep and the beginning of the next, and may then get an input twice, which loses an edge. Here, for kinds
    1 and 2, the beginning of a sweep is drawn among the addresses that this output has not read yet, so the count
    is exact; where n_out is a multiple of `fo` the two generators agree.

    Args:
        z: number of memories, a divisor of n_in; default the largest one that is at most √n_in.
        kind: 1, every memory is read in any order, another one in each sweep; 2, from a random address onwards,
            another one in each sweep; 3, like 2, but all sweeps are the same.
        dither: read the memories of a cycle in a random order, drawn for each sweep (kind 3: once); default False.

    Raises:
        ValueError: for other arguments; and, when drawn, for a `z` or a density that does not fit the junction: it
            names those that do.

    Example:
        >>> import keras_sparse as ks
        >>> pattern = ks.ClashFree(z=3, kind=2)
        >>> pattern.sample((9, 6), 18, seed=1).in_degrees.tolist(), pattern.patterns((9, 6), 18)
        ([3, 3, 3, 3, 3, 3], 729)
    """

    def __init__(self, z: int | None = None, kind: int = 1, dither: bool = False) -> None:
        if z is not None and (isinstance(z, bool) or not isinstance(z, int) or z < 1):
            raise ValueError(f"`z` must be a positive number of memories, or None; got {z!r}.")
        if kind not in (1, 2, 3):
            raise ValueError(f"`kind` must be 1, 2 or 3; got {kind!r}.")
        self.z, self.kind, self.dither = z, int(kind), bool(dither)

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return `count` connections, sorted by input and then output.

        Args:
            shape: (n_in, n_out).
            count: number of connections, a multiple of lcm(n_in, n_out).
            seed: any integer; the same seed gives the same connections in any process.

        Raises:
            ValueError: when `count` or `z` is not admissible.
        """
        plan = self._plan(shape, count)
        rng = counter_rng.generator(seed)
        inputs = np.empty((plan.sweeps, plan.depth, plan.z), np.int64)
        start, order, lanes = np.zeros(plan.z, np.int64), np.empty((0, 0), np.int64), np.arange(plan.z)
        for sweep in range(plan.sweeps):
            if sweep == 0 or self.kind != 3:
                tail, head = plan.straddling(sweep)
                read, lanes = _last_reads(plan, tail, lanes), self._lanes(rng, plan, tail, head, lanes)
                ahead = _first_reads(plan, head, lanes)
                if self.kind == 1:
                    order = _any_order(rng, plan, order, read, ahead)
                else:
                    start = _next_start(rng, plan, start, read, ahead)
                    order = (start + np.arange(plan.depth)[:, None]) % plan.depth
            inputs[sweep] = order[:, lanes] * plan.z + lanes
        keys = inputs.reshape(-1) * shape[1] + np.arange(count) // plan.fan_in
        keys.sort()
        return Connectivity._trusted(*np.divmod(keys, shape[1]), (plan.depth * plan.z, shape[1]))

    def patterns(self, shape: tuple[int, int], connections: int) -> int:
        """Return the number of different access patterns, as counted by Dey et al. 2019, section III-C.

        A pattern is which addresses are read in which cycle; orders of memories are told apart only where they read
        for different outputs. Those that would read an input twice for one output do not count. Patterns may share
        their connections where an output reads more than one cycle.

        Args:
            shape: (n_in, n_out).
            connections: an admissible number of connections.

        Raises:
            ValueError: when `connections` or `z` is not admissible.
        """
        plan = self._plan(shape, connections)
        if self.kind == 3:
            return plan.depth**plan.z * self._orders(plan, 0, connections)
        kinds = Counter(plan.straddling(sweep) for sweep in range(plan.sweeps))
        return prod(self._sweep_patterns(plan, *straddling) ** times for straddling, times in kinds.items())

    def _plan(self, shape: tuple[int, int], count: int) -> _Plan:
        n_in, n_out = shape = check_shape(shape)
        check_degrees(shape, count)
        z = self.z or next(z for z in range(isqrt(n_in), 0, -1) if n_in % z == 0)
        if n_in % z:
            below = next(d for d in range(min(z, n_in), 0, -1) if n_in % d == 0)
            above = next((d for d in range(z, n_in + 1) if n_in % d == 0), n_in)
            raise ValueError(
                f"`z` = {z} memories cannot hold {n_in} inputs evenly: it must divide n_in. "
                f"Nearest divisors: {' and '.join(map(str, sorted({below, above})))}."
            )
        return _Plan(z, n_in // z, count // n_in, count // n_out)

    def _lanes(self, rng: np.random.Generator, plan: _Plan, tail: int, head: int, lanes: Int64) -> Int64:
        """Return which memory each edge of a cycle reads, [z]."""
        if not self.dither:
            return lanes
        first = head % plan.z
        if not plan.tight(tail, head):
            return rng.permutation(plan.z)
        # An output reads all addresses of some memories: those read once more before may not be read once more now.
        allowed = lanes[: plan.z - tail % plan.z]
        begin = rng.choice(allowed, first, replace=False)
        return np.concatenate([begin, rng.permutation(np.setdiff1d(lanes, begin))])

    def _orders(self, plan: _Plan, before: int, edges: int) -> int:
        """Return how many orders of memories differ, over `edges` edges of which `before` belong to an output."""
        if not self.dither:
            return 1
        cuts = np.unique(np.arange(-before % plan.fan_in, edges, plan.fan_in) % plan.z)
        classes = np.diff(np.concatenate([[0], cuts[cuts > 0], [plan.z]]))
        return factorial(plan.z) // prod(factorial(int(size)) for size in classes)

    def _sweep_patterns(self, plan: _Plan, tail: int, head: int) -> int:
        """Return how many sweeps can follow one whose last `tail` edges share an output with the next `head` ones."""
        z, (low, late), (few, first) = plan.z, divmod(tail, plan.z), divmod(head, plan.z)
        orders = self._orders(plan, tail, plan.depth * z)
        total = 0
        # `both` memories are read once more at the end of the last sweep and once more at the beginning of this one.
        for both in range(max(0, late + first - z), min(late, first) + 1):
            if self.dither:
                arrangements = orders * comb(late, both) * comb(z - late, first - both) // comb(z, first)
            else:
                arrangements = int(both == max(0, late + first - z))
            groups = (
                (low + 1, few + 1, both),
                (low + 1, few, late - both),
                (low, few + 1, first - both),
                (low, few, z - late - first + both),
            )
            total += arrangements * prod(self._memory_patterns(plan.depth, a, b) ** times for a, b, times in groups)
        return total

    def _memory_patterns(self, depth: int, read: int, ahead: int) -> int:
        """Return how many orders of a memory's addresses do not begin, `ahead` long, with the last `read` ones."""
        if read + ahead > depth:
            return 0
        if self.kind == 1:
            return factorial(depth - read) // factorial(depth - read - ahead) * factorial(depth - ahead)
        return depth - read - ahead + 1 if read and ahead else depth


class _Plan(NamedTuple):
    """What follows from a junction's shape, its count and z.

    Attributes:
        z: memories.
        depth: addresses of each.
        sweeps: out-degree of the inputs.
        fan_in: in-degree of the outputs.
    """

    z: int
    depth: int
    sweeps: int
    fan_in: int

    def straddling(self, sweep: int) -> tuple[int, int]:
        """Return how many edges of the output that straddles the sweep's beginning lie before and after it."""
        tail = sweep * self.z * self.depth % self.fan_in
        return tail, -tail % self.fan_in

    def tight(self, tail: int, head: int) -> bool:
        """Return whether a memory could be asked for more addresses than it has."""
        return tail // self.z + head // self.z + 2 > self.depth and tail % self.z > 0 and head % self.z > 0


def _last_reads(plan: _Plan, tail: int, lanes: Int64) -> Int64:
    """Return how often the last `tail` edges of a sweep read each memory, [z]."""
    reads = np.full(plan.z, tail // plan.z)
    reads[lanes[plan.z - tail % plan.z :]] += 1
    return reads


def _first_reads(plan: _Plan, head: int, lanes: Int64) -> Int64:
    """Return how often the first `head` edges of a sweep read each memory, [z]."""
    reads = np.full(plan.z, head // plan.z)
    reads[lanes[: head % plan.z]] += 1
    return reads


def _any_order(rng: np.random.Generator, plan: _Plan, before: Int64, read: Int64, ahead: Int64) -> Int64:
    """Return the addresses of each memory in random order, the last `read` of `before` not among the first `ahead`."""
    key = rng.random((plan.depth, plan.z))
    if ahead.any():
        cycles = np.arange(plan.depth)[:, None]
        taken = np.empty(key.shape, bool)
        np.put_along_axis(taken, before, cycles >= plan.depth - read, axis=0)
        rank = np.argsort(np.argsort(key + taken, axis=0), axis=0)
        key = np.where(rank < ahead, key - 1, rng.random(key.shape))
    return np.argsort(key, axis=0)


def _next_start(rng: np.random.Generator, plan: _Plan, start: Int64, read: Int64, ahead: Int64) -> Int64:
    """Return a random first address of each memory, such that the next `ahead` are not the last `read`."""
    choices = np.where((read > 0) & (ahead > 0), plan.depth - read - ahead + 1, plan.depth)
    return (start + rng.integers(choices)) % plan.depth
