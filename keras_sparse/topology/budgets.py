"""How a network's budget, of connections or of bytes, is divided between its junctions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from numbers import Integral

from .layout import Layout


def allocate(
    shapes: Sequence[Sequence[int]],
    *,
    connections: int | None = None,
    bytes: int | None = None,  # noqa: A002 - what it is called
    rule: str = "erk",
    dense_first: bool = False,
    dense_last: bool = False,
) -> list[float]:
    """Divide a network's budget of connections or bytes between its junctions.

    Erdős–Rényi rules give junction l the raw density ε · Σdims / Πdims and solve for ε; a junction that would
    exceed density 1 becomes dense and the rest is solved again (Evci et al. 2020, section 3). The sum is exact:
    the fractions left by rounding go to the junctions with the largest remainders.

    Bytes are what the kernels of `ks.SparseDense` store on TensorFlow: float32 weights, index and bookkeeping, as
    `layer.kernel.bytes` tells, without biases and optimizer state. The sum is at most `bytes`, and no junction could
    have one connection more: what a step of the row pointers leaves over goes to the first junctions. A budget larger
    than the whole network makes all junctions dense.

    Args:
        shapes: dimensions of every kernel: (n_in, n_out) or (kh, kw, c_in, c_out).
        connections: total number of connections, from one per junction to the number of positions.
        bytes: total bytes at most; give either this or `connections`.
        rule: "erk" (Σdims / Πdims), "er" ((n_in + n_out) / (n_in · n_out)) or "uniform".
        dense_first: whether the first junction is dense, whatever the rule; it counts into the budget.
        dense_last: the same for the last one.

    Returns:
        One density per junction, such that `round(density · positions)` is its exact count.

    Raises:
        ValueError: for an unknown rule or a budget that does not fit; it says what fits.

    Example:
        >>> import keras_sparse as ks
        >>> d = ks.allocate([(784, 300), (300, 100), (100, 10)], connections=8000)
        >>> sum(round(f * a * b) for f, (a, b) in zip(d, [(784, 300), (300, 100), (100, 10)]))
        8000
    """
    if not shapes:
        raise ValueError("`shapes` is empty: there is no junction to give connections to.")
    if (connections is None) == (bytes is None):
        raise ValueError("Give the budget either as `connections` or as `bytes`.")
    sizes = [prod(dims) for dims in shapes]
    raw = _raw_densities(shapes, rule)
    dense = {i for i, exempt in ((0, dense_first), (len(sizes) - 1, dense_last)) if exempt}
    fewest = sum(size if i in dense else 1 for i, size in enumerate(sizes))

    def counts_of(total: int) -> list[int]:
        return _round_to_total(_solve(raw, sizes, total, dense), sizes, total, dense)

    if connections is not None:
        if not isinstance(connections, Integral) or not fewest <= connections <= sum(sizes):
            raise ValueError(
                f"`connections` must be an integer between {fewest} (one per junction"
                f"{', all of a dense one' if dense else ''}) and {sum(sizes)} (all positions); got {connections}."
            )
        counts = counts_of(connections)
    else:
        counts = _fill(shapes, bytes, fewest, counts_of)
    return [count / size for count, size in zip(counts, sizes, strict=True)]


def stored_bytes(dims: Sequence[int], connections: int) -> int:
    """Return the bytes that a kernel of size `dims` stores: float32 values, index and bookkeeping."""
    return Layout.of((prod(dims[:-1]), dims[-1]), connections).stored_bytes


def _fill(
    shapes: Sequence[Sequence[int]], budget: int | None, fewest: int, counts_of: Callable[[int], list[int]]
) -> list[int]:
    """Return the counts of the largest total that `budget` bytes hold, then fill what is left, junction by junction."""
    least = _total_bytes(shapes, counts_of(fewest))
    if not isinstance(budget, Integral) or budget < least:
        raise ValueError(
            f"`bytes` must be an integer of at least {least}, which {fewest} connections take: one per junction, and "
            f"all of a dense one; got {budget}."
        )
    total = _largest(fewest, sum(map(prod, shapes)), lambda total: _total_bytes(shapes, counts_of(total)) <= budget)
    counts = counts_of(total)
    # A block of outputs more costs thousands of bytes of row pointers: where one junction stops, others can go on.
    for i, dims in enumerate(shapes):
        left = budget - _total_bytes(shapes, counts) + stored_bytes(dims, counts[i])
        counts[i] = _largest(
            counts[i], prod(dims), lambda count, dims=dims, left=left: stored_bytes(dims, count) <= left
        )
    return counts


def _total_bytes(shapes: Sequence[Sequence[int]], counts: list[int]) -> int:
    return sum(stored_bytes(dims, count) for dims, count in zip(shapes, counts, strict=True))


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """Return `high` if it fits, else a number from `low`, which fits, whose successor does not."""
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _raw_densities(shapes: Sequence[Sequence[int]], rule: str) -> list[float]:
    if rule == "erk":
        return [sum(dims) / prod(dims) for dims in shapes]
    if rule == "er":
        return [(prod(dims[:-1]) + dims[-1]) / prod(dims) for dims in shapes]
    if rule == "uniform":
        return [1.0] * len(shapes)
    raise ValueError(f"`rule` must be 'erk', 'er' or 'uniform'; got {rule!r}.")


def _solve(raw: list[float], sizes: list[int], connections: int, exempt: set[int]) -> list[float]:
    """Return the real-valued counts ε · raw · size that add up to `connections`, none above its size.

    Those of `exempt` are dense.
    """
    dense = set(exempt)
    while True:
        rest = [i for i in range(len(sizes)) if i not in dense]
        budget = connections - sum(sizes[i] for i in dense)
        epsilon = budget / sum(raw[i] * sizes[i] for i in rest) if rest else 0.0
        over = {i for i in rest if epsilon * raw[i] > 1}
        if not over:
            return [float(size) if i in dense else epsilon * raw[i] * size for i, size in enumerate(sizes)]
        dense |= over


def _round_to_total(wanted: list[float], sizes: list[int], total: int, exempt: set[int]) -> list[int]:
    """Largest-remainder rounding that keeps every count in [1, size] and does not touch those of `exempt`."""
    counts = [min(size, max(1, int(want))) for want, size in zip(wanted, sizes, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda i: counts[i] - wanted[i])
    while (missing := total - sum(counts)) != 0:
        step = 1 if missing > 0 else -1
        order = by_remainder if step > 0 else by_remainder[::-1]
        movable = [i for i in order if i not in exempt and 1 <= counts[i] + step <= sizes[i]]
        for i in movable[: abs(missing)]:
            counts[i] += step
    return counts
