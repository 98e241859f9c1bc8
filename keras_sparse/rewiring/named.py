"""Policies by name, for commands."""

from __future__ import annotations

from collections.abc import Callable

from .deep_r import DeepR
from .policy import Policy
from .rigl import SNFS, RigL
from .set import SET, ContinuousSET
from .srigl import SRigL
from .static import Static

# What ζ, the fraction of connections replaced, means for each.
_POLICIES: dict[str, Callable[[float], Policy]] = {
    "set": SET,
    "static": lambda zeta: Static(),
    "continuous-set": ContinuousSET,
    "rigl": RigL,
    "srigl": lambda zeta: SRigL(zeta, gamma=0),
    "snfs": SNFS,
    "deep-r": lambda zeta: DeepR(),
}
NAMES = tuple(_POLICIES)
WITHOUT_ZETA = ("static", "deep-r")


def named(name: str, zeta: float) -> Policy:
    """Return the policy called `name`.

    Args:
        name: one of `NAMES`.
        zeta: fraction of the connections it replaces (at first, where it follows a schedule); some have none.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in _POLICIES:
        raise ValueError(f"policy must be one of {', '.join(NAMES)}; got {name!r}.")
    return _POLICIES[name](zeta)


def rhythm(policy: Policy) -> int | str:
    """Return what `Rewire`'s `every` has to be for the policy to do what it is named for."""
    return 1 if isinstance(policy, ContinuousSET) else "epoch"
