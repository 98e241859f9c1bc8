"""Local receptive fields: every unit looks at inputs near a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Integral, Real
from typing import Any, Final

import numpy as np

from . import counter_rng
from .connectivity import Connectivity, Int64, check_shape
from .lattice import extended, lattice
from .patterns import ByConfig

_CENTRES: Final = ("random", "even")
_OF: Final = ("places", "units")

_SPREAD = 0.5  # of the side of a square, or cube, with as many places as a unit has
_REACH = 4  # spreads around its centre in which a unit looks for places first


class Local(ByConfig):
    """Local receptive fields: connections near a place of every unit's own, as in LeCun (1989).

    For inputs that lie on a grid: pixels, or steps of a signal. All units have the same number of connections, or one
    more, drawn without replacement with the probability of a normal distribution around the centre of the unit. Unlike
    convolutions units share no weights. Memory is O(n_in + K); every unit takes the time to look at all inputs within
    four spreads of its centre.

    With even centres neighbouring units look at neighbouring places, so the layer behind them can have local fields,
    too: a stack of topographic maps.

    Args:
        grid: places along every axis of the grid, in the order in which inputs are flattened (row by row), say (28,
            28). n_in is a multiple of the number of places; with more inputs than places the last axis, channels, is
            left out of `grid`: a unit may look at all channels of a place. Axes of one place change nothing.
        spread: standard deviation of the normal distribution, in places, > 0. Default: half the side of a square
            (in other dimensions, a cube) that holds as many inputs as a unit has.
        inputs: the only inputs to connect, where the others say nothing, as pixels at the margin do. Default: all.
        centres: "random" draws the centre of every unit from the places; "even" lays the units evenly, row by row,
            over the smallest box that holds `inputs`. Default "random".
        of: what the inputs are: "places" of the grid, or "units" of a layer that has even centres on it. Of units, any
            number suits, and `spread` counts them instead of places. Default "places".

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

        Two layers whose units are laid over the picture, and one behind them:

        >>> first = ks.SparseDense(784, density=0.01, pattern=ks.Local((28, 28), centres="even"))
        >>> second = ks.SparseDense(400, density=0.05, pattern=ks.Local((28, 28), centres="even", of="units"))
        >>> third = ks.SparseDense(100, density=0.1, pattern=ks.Local((28, 28), of="units"))
    """

    def __init__(
        self,
        grid: Sequence[int],
        spread: float | None = None,
        inputs: Sequence[int] | None = None,
        centres: str = "random",
        of: str = "places",
    ) -> None:
        sizes = _integers(grid)
        if not sizes or min(sizes) < 1:
            raise ValueError(f"`grid` must be one positive integer per axis, say (28, 28); got {grid!r}.")
        if spread is not None and not (isinstance(spread, Real) and type(spread) is not bool and 0 < spread < np.inf):
            raise ValueError(f"`spread` must be a positive number of places, or None; got {spread!r}.")
        chosen = None if inputs is None else _integers(inputs)
        if inputs is not None and (not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen)):
            raise ValueError(
                "`inputs` must be numbers of inputs, each once and from 0 on (of a mask, `np.flatnonzero(mask)`), or "
                "None for all."
            )
        if centres not in _CENTRES or of not in _OF:
            raise ValueError(
                f"`centres` must be one of {', '.join(_CENTRES)} and `of` one of {', '.join(_OF)}; got {centres!r} and "
                f"{of!r}."
            )
        self.grid = sizes
        self.spread = None if spread is None else float(spread)
        self.inputs = chosen
        self.centres = centres
        self.of = of

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
        grid, places = (self.grid, np.arange(n_in)) if self.of == "places" else lattice(n_in, self.grid)
        field = np.zeros(max(n_in, prod(grid)), bool)
        field[places] = allowed
        field = field.reshape(*grid, -1)
        rng = counter_rng.generator(seed)
        degrees = np.full(n_out, count // n_out)
        degrees[rng.permutation(n_out)[: count % n_out]] += 1
        centres = self._centres(rng, field.any(axis=-1), n_out)
        drawn = [self._field(rng, field, *unit) for unit in zip(centres, degrees, strict=True)]
        found = np.searchsorted(places, np.concatenate(drawn))
        keys = found * n_out + np.repeat(np.arange(n_out), degrees)
        keys.sort()
        inputs = keys // n_out
        return Connectivity._trusted(inputs, keys - inputs * n_out, shape)

    def _allowed(self, shape: tuple[int, int], count: int) -> Any:
        """Return which inputs may be connected, bool [n_in]."""
        (n_in, n_out), places = shape, prod(self.grid)
        if self.of == "places" and n_in % places:
            raise ValueError(
                f"A grid of {' x '.join(map(str, self.grid))} = {places} places does not divide {n_in} inputs. Give "
                'the sizes of the axes that were flattened, without channels; or `of="units"` behind a layer with '
                "even centres."
            )
        if self.inputs is None:
            allowed = np.ones(n_in, bool)
        elif max(self.inputs) < n_in:
            allowed = np.zeros(n_in, bool)
            allowed[list(self.inputs)] = True
        else:
            raise ValueError(f"`inputs` names input {max(self.inputs)}, but the junction has {n_in}, from 0 on.")
        if not (most := int(allowed.sum()) * n_out) >= count >= 0:
            raise ValueError(f"{count} connections asked for, but {self!r} has room for {most} in {n_in} x {n_out}.")
        return allowed

    def _centres(self, rng: np.random.Generator, homes: Any, n: int) -> Any:
        """Return where the fields of `n` units have their centres, [n, axes], given the places that may be one."""
        if self.centres == "random":
            return np.stack(np.unravel_index(rng.choice(np.flatnonzero(homes), n), homes.shape), axis=1)
        box = np.argwhere(homes)
        low, size = box.min(axis=0), np.ptp(box, axis=0) + 1
        sides, places = lattice(n, self.grid)
        return low + (np.stack(np.unravel_index(places, sides), axis=1) + 0.5) / sides * size - 0.5

    def _field(self, rng: np.random.Generator, allowed: Any, centre: Any, degree: int) -> Int64:
        """Return `degree` distinct inputs around `centre`, of those allowed, [*grid, channels]."""
        if not degree:
            return np.empty(0, np.int64)
        *grid, channels = allowed.shape
        spread = self.spread or _SPREAD * max(1.0, degree / channels) ** (1 / max(1, len(extended(grid))))
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
        spread = "" if self.spread is None else f", spread={self.spread:g}"
        chosen = "" if self.inputs is None else f", inputs=<{len(self.inputs)} of them>"
        centres = "" if self.centres == "random" else f", centres={self.centres!r}"
        of = "" if self.of == "places" else f", of={self.of!r}"
        return f"Local({self.grid!r}{spread}{chosen}{centres}{of})"


def _integers(values: Any) -> tuple[int, ...]:
    """Return a sequence or an array of integers as a tuple; an empty one for anything else."""
    if not isinstance(values, Sequence) and np.ndim(values) != 1:
        return ()
    exact = all(isinstance(n, Integral) and type(n) is not bool for n in values)
    return tuple(map(int, values)) if exact else ()
