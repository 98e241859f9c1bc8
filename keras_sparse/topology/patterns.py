"""Where a junction's connections start."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from . import counter_rng
from .connectivity import Connectivity, check_shape
from .sampling import distinct


@runtime_checkable
class Pattern(Protocol):
    """Draws the initial connections of a junction."""

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return exactly `count` connections of a junction of `shape`; a pure function of its arguments."""
        ...


class Random:
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

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments: none."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Random:
        """Return the pattern that `get_config` described."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self).__name__)

    def __repr__(self) -> str:
        return "Random()"
