"""How many connections a junction has: a fraction or an Erdős–Rényi rule."""

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
