"""How many connections a junction has: a fraction, an Erdős–Rényi rule, or a share of a network's budget."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class DensityRule(Protocol):
    """Anything that turns the dimensions of a kernel into a density."""

    def density(self, dims: Sequence[int]) -> float:
        """Return the fraction of positions that hold a connection, in (0, 1]."""
        ...


class ErdosRenyi:
    """Erdős–Rényi density: ε (n_in + n_out) / (n_in · n_out), at most 1 (Mocanu et al. 2018, eq. 1).

    Large junctions become much sparser than small ones: the number of connections grows with the number of
    units, not with its square.

    Args:
        epsilon: ε > 0, connections per unit; 20 in the paper's MLPs and CNNs, 11 in its RBMs.

    Raises:
        ValueError: when `epsilon` is not a positive, finite number.
    """

    def __init__(self, epsilon: float = 20.0) -> None:
        if isinstance(epsilon, bool) or not (isinstance(epsilon, Real) and 0 < epsilon < float("inf")):
            raise ValueError(f"`epsilon` must be a positive, finite number; got {epsilon!r}.")
        self.epsilon = float(epsilon)

    def density(self, dims: Sequence[int]) -> float:
        """Return the density of a kernel with dimensions `dims`; all but the last count as inputs."""
        n_in, n_out = prod(dims[:-1]), dims[-1]
        return min(1.0, self.epsilon * (n_in + n_out) / (n_in * n_out))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"epsilon": self.epsilon}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ErdosRenyi:
        """Return the rule that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, ErdosRenyi) and self.epsilon == other.epsilon

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.epsilon))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(epsilon={self.epsilon})"


class ERK(ErdosRenyi):
    """Erdős–Rényi-Kernel density: ε Σ dims / Π dims, at most 1 (Evci et al. 2020, section 3).

    The same as `ErdosRenyi` for a dense layer; for a convolution every dimension of the kernel
    (height, width, channels in, channels out) is counted.

    Args:
        epsilon: ε > 0.
    """

    def density(self, dims: Sequence[int]) -> float:
        """Return the density of a kernel with dimensions `dims`, e.g. (kh, kw, c_in, c_out)."""
        return min(1.0, self.epsilon * sum(dims) / prod(dims))


def check_density(density: Any) -> float | DensityRule:
    """Return `density` if it is a float in (0, 1] or a rule, else raise ValueError."""
    if isinstance(density, DensityRule):
        return density
    if (
        isinstance(density, int | float | np.floating | np.integer)
        and not isinstance(density, bool)
        and 0 < density <= 1
    ):
        return float(density)
    raise ValueError(
        "`density` must be a fraction in (0, 1] or a rule such as ks.ErdosRenyi(epsilon=20); "
        f"got {density!r}. For a percentage, divide by 100."
    )


def connection_count(density: float | DensityRule, dims: Sequence[int]) -> int:
    """Return the exact number of connections, max(1, round(density · positions)), of a kernel of size `dims`."""
    fraction = density if isinstance(density, float | int) else density.density(dims)
    positions = prod(dims)
    return min(positions, max(1, round(fraction * positions)))


def allocate(shapes: Sequence[Sequence[int]], *, connections: int, rule: str = "erk") -> list[float]:
    """Divide a network's budget of connections between its junctions.

    Erdős–Rényi rules give junction l the raw density ε · Σdims / Πdims and solve for ε; a junction that would
    exceed density 1 becomes dense and the rest is solved again (Evci et al. 2020, section 3). The sum is exact:
    the fractions left by rounding go to the junctions with the largest remainders.

    Args:
        shapes: dimensions of every kernel: (n_in, n_out) or (kh, kw, c_in, c_out).
        connections: total number of connections, from one per junction to the number of positions.
        rule: "erk" (Σdims / Πdims), "er" ((n_in + n_out) / (n_in · n_out)) or "uniform".

    Returns:
        One density per junction, such that `round(density · positions)` is its exact count.

    Raises:
        ValueError: for an unknown rule or a budget that does not fit.

    Example:
        >>> import keras_sparse as ks
        >>> d = ks.allocate([(784, 300), (300, 100), (100, 10)], connections=8000)
        >>> sum(round(f * a * b) for f, (a, b) in zip(d, [(784, 300), (300, 100), (100, 10)]))
        8000
    """
    sizes = [prod(dims) for dims in shapes]
    if not sizes:
        raise ValueError("`shapes` is empty: there is no junction to give connections to.")
    if not isinstance(connections, int) or not len(sizes) <= connections <= sum(sizes):
        raise ValueError(
            f"`connections` must be an integer between {len(sizes)} (one per junction) and {sum(sizes)} (all "
            f"positions); got {connections}."
        )
    raw = _raw_densities(shapes, rule)
    wanted = _solve(raw, sizes, connections)
    counts = _round_to_total(wanted, sizes, connections)
    return [count / size for count, size in zip(counts, sizes, strict=True)]


def _raw_densities(shapes: Sequence[Sequence[int]], rule: str) -> list[float]:
    if rule == "erk":
        return [sum(dims) / prod(dims) for dims in shapes]
    if rule == "er":
        return [(prod(dims[:-1]) + dims[-1]) / prod(dims) for dims in shapes]
    if rule == "uniform":
        return [1.0] * len(shapes)
    raise ValueError(f"`rule` must be 'erk', 'er' or 'uniform'; got {rule!r}.")


def _solve(raw: list[float], sizes: list[int], connections: int) -> list[float]:
    """Return the real-valued counts ε · raw · size that add up to `connections`, none above its size."""
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(sizes)) if i not in dense]
        budget = connections - sum(sizes[i] for i in dense)
        epsilon = budget / sum(raw[i] * sizes[i] for i in rest) if rest else 0.0
        over = {i for i in rest if epsilon * raw[i] > 1}
        if not over:
            return [float(size) if i in dense else epsilon * raw[i] * size for i, size in enumerate(sizes)]
        dense |= over


def _round_to_total(wanted: list[float], sizes: list[int], total: int) -> list[int]:
    """Largest-remainder rounding that keeps every count in [1, size]."""
    counts = [min(size, max(1, int(want))) for want, size in zip(wanted, sizes, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda i: counts[i] - wanted[i])
    while (missing := total - sum(counts)) != 0:
        step = 1 if missing > 0 else -1
        order = by_remainder if step > 0 else by_remainder[::-1]
        movable = [i for i in order if 1 <= counts[i] + step <= sizes[i]]
        for i in movable[: abs(missing)]:
            counts[i] += step
    return counts
