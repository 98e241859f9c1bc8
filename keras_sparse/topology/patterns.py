"""Where a junction's connections start: what a pattern is, and the uniformly random one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol, Self, runtime_checkable

from . import counter_rng
from .connectivity import Connectivity, check_shape
from .densities import DensityRule, connection_count
from .sampling import distinct

DEFAULT_DENSITY = 0.1


@runtime_checkable
class Pattern(Protocol):
    """Draws the initial connections of a junction.

    A pattern may also have

    - `count(shape) -> int | None`: how many connections it has in a junction of `shape`, where that is not for
      `density` to say (`ks.FromMask`, `ks.NM`);
    - `kept_through_rewiring = True`: newcomers have to respect it too, see `ks.NM` and `ks.Block`.
    """

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return exactly `count` connections of a junction of `shape`; a pure function of its arguments.

        A pattern that cannot have `count` connections raises ValueError, or rounds if it was asked to.
        """
        ...


def initial_count(pattern: Pattern, dims: Sequence[int], density: float | DensityRule | None) -> int:
    """Return how many connections to ask `pattern` for in a kernel of size `dims`.

    Args:
        pattern: may know the number itself, by its method `count`.
        dims: dimensions of the kernel; all but the last count as inputs.
        density: fraction or rule; None for the pattern's own, or 0.1 where it has none.

    Raises:
        ValueError: when `density` disagrees with the pattern.
    """
    shape = (prod(dims[:-1]), dims[-1])
    own = pattern.count(shape) if hasattr(pattern, "count") else None  # type: ignore[attr-defined]
    if own is None:
        return connection_count(DEFAULT_DENSITY if density is None else density, dims)
    if density is not None and (asked := connection_count(density, dims)) != own:
        raise ValueError(
            f"{pattern!r} has {own} connections in a junction of {shape[0]} x {shape[1]}, but `density` = {density} "
            f"asks for {asked}. Leave `density` out: the pattern decides."
        )
    return own


class ByConfig:
    """Compared, hashed and shown by its attributes, which are its constructor's arguments."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the pattern that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self).__name__, *vars(self).items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Random(ByConfig):
    """Connections at uniformly random positions: an Erdős–Rényi bipartite graph with an exact count.

    Memory is O(count): a 1,000,000 × 1,000,000 junction with ten million connections takes seconds.
    """

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return `count` distinct connections, sorted by input and then output.

        Args:
            shape: (n_in, n_out).
            count: number of connections, 0 ≤ count ≤ n_in · n_out.
            seed: any integer; the same seed gives the same connections in any process.

        Raises:
            ValueError: when the junction has fewer than `count` positions.
        """
        n_in, n_out = check_shape(shape)
        keys = distinct(counter_rng.generator(seed), n_in * n_out, count)
        inputs = keys // n_out
        keys -= inputs * n_out
        return Connectivity._trusted(inputs, keys, (n_in, n_out))
