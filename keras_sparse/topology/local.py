"""Local receptive fields: every unit looks at inputs near a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from . import counter_rng
from .connectivity import Connectivity, Int64, check_shape
from .patterns import ByConfig

_SPREAD = 0.5  # of the side of a square, or cube, with as many places as a unit has
_REACH = 4  # spreads around its centre in which a unit looks for places first


class Local(ByConfig):
    """Local receptive fields: connections near a place that is drawn for every unit, as in LeCun (1989).

    For inputs that lie on a grid: pixels, or steps of a signal. All units have the same number of connections, or one
    more. Their centres are drawn uniformly, and the connections of a unit without replacement with the probability of
    a normal distribution around its centre. Unlike convolutions units share no weights. Memory is O(K).

    Args:
        grid: places along every axis of the grid, in the order in which inputs are flattened (row by row), say (28,
            28). n_in is a multiple of the number of places; with more inputs than places the last axis, channels, is
            left out of `grid`: a unit may look at all channels of a place.
        spread: standard deviation of the normal distribution, in places, > 0. Default: half the side of a square
            (in other dimensions, a cube) that holds as many inputs as a unit has.
        inputs: the only inputs to connect, where the others say nothing, as pixels at the margin do. Default: all.

    Raises:
        ValueError: for arguments out of range; and, when drawn, for a junction whose inputs are no multiple of the
            grid's places, and where `inputs` are too few for so many connections.

    Example:
        >>> import keras_sparse as ks
        >>> fields = ks.Local((28, 28)).sample((784, 100), 2500, seed=0)
        >>> set(fields.in_degrees.tolist())
        {25}
        >>> rows, columns = np.divmod(fields.inputs[fields.outputs == 0], 28)
        >>> bool(np.ptp(rows) < 16 and np.ptp(columns) < 16)
        True
    """

    def __init__(self, grid: Sequence[int], spread: float | None = None, inputs: Sequence[int] | None = None) -> None:
        sizes = tuple(grid) if isinstance(grid, Sequence) else ()
        if not sizes or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(f"`grid` must be one positive integer per axis, say (28, 28); got {grid!r}.")
        if spread is not None and not 0 < spread < np.inf:
            raise ValueError(f"`spread` must be a positive number of places, or None; got {spread!r}.")
        chosen = None if inputs is None else tuple(int(n) for n in inputs)
        if chosen is not None and (not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen)):
            raise ValueError("`inputs` must be numbers of inputs, each once and from 0 on, or None for all.")
        self.grid: tuple[int, ...] = sizes
        self.spread = None if spread is None else float(spread)
        self.inputs = chosen

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return `count` connections, sorted by input and then output.

        Args:
            shape: (n_in, n_out).
            count: number of connections.
            seed: any integer; the same seed gives the same connections in any process.

        Raises:
            ValueError: when `shape` does not suit the grid, or `count` the inputs.
        """
        n_in, n_out = shape = check_shape(shape)
        allowed = self._allowed(shape, count)
        channels = n_in // prod(self.grid)
        rng = counter_rng.generator(seed)
        degrees = np.full(n_out, count // n_out)
        degrees[rng.permutation(n_out)[: count % n_out]] += 1
        homes = np.flatnonzero(allowed.reshape(-1, channels).any(axis=1))
        centres = np.stack(np.unravel_index(rng.choice(homes, n_out), self.grid), axis=1)
        field = allowed.reshape(*self.grid, channels)
        drawn = [self._field(rng, field, *unit) for unit in zip(centres, degrees, strict=True)]
        keys = np.concatenate(drawn) * n_out + np.repeat(np.arange(n_out), degrees)
        keys.sort()
        inputs = keys // n_out
        return Connectivity._trusted(inputs, keys - inputs * n_out, shape)

    def _allowed(self, shape: tuple[int, int], count: int) -> Any:
        """Return which inputs may be connected, bool [n_in]."""
        (n_in, n_out), places = shape, prod(self.grid)
        if n_in % places:
            raise ValueError(
                f"A grid of {' x '.join(map(str, self.grid))} = {places} places does not divide {n_in} inputs. Give "
                "the sizes of the axes that were flattened, without channels."
            )
        if self.inputs is None:
            allowed = np.ones(n_in, bool)
        elif max(self.inputs) < n_in:
            allowed = np.zeros(n_in, bool)
            allowed[list(self.inputs)] = True
        else:
            raise ValueError(f"`inputs` names input {max(self.inputs)}, but the junction has {n_in}, from 0 on.")
        if count > (most := int(allowed.sum()) * n_out):
            raise ValueError(f"{count} connections asked for, but {self!r} has room for {most} in {n_in} x {n_out}.")
        return allowed

    def _field(self, rng: np.random.Generator, allowed: Any, centre: Int64, degree: int) -> Int64:
        """Return `degree` distinct inputs around `centre`, of those allowed, [*grid, channels]."""
        if not degree:
            return np.empty(0, np.int64)
        *grid, channels = allowed.shape
        spread = self.spread or _SPREAD * max(1.0, degree / channels) ** (1 / len(grid))
        spread = min(max(spread, 1e-3), 1e9)  # beyond, squares overflow and nothing changes
        reach = np.ceil(_REACH * spread)
        while True:
            low = np.maximum(0, centre - reach).astype(np.int64)
            high = np.minimum(grid, centre + reach + 1).astype(np.int64)
            window = allowed[tuple(map(slice, low, high))]
            if np.count_nonzero(window) >= degree or bool(np.all(high - low == grid)):
                break
            reach *= 2
        found = np.argwhere(window)
        distance = ((found[:, :-1] + (low - centre)) ** 2).sum(axis=1)
        # The largest of log-probability + Gumbel noise: drawing without replacement (Vieira 2014).
        chance = rng.gumbel(size=len(found)) - distance / (2 * spread**2)
        found = found[np.argpartition(-chance, degree - 1)[:degree]]
        found[:, :-1] += low
        return np.asarray(np.ravel_multi_index(tuple(found.T), allowed.shape), np.int64)

    def __repr__(self) -> str:
        chosen = "" if self.inputs is None else f", inputs=<{len(self.inputs)} of them>"
        return f"Local({self.grid!r}{'' if self.spread is None else f', spread={self.spread:g}'}{chosen})"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Local:
        """Return the pattern that `get_config` described; JSON may have made its tuples lists."""
        inputs = config.get("inputs")
        return cls(tuple(config["grid"]), config.get("spread"), None if inputs is None else tuple(inputs))
