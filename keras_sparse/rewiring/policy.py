"""What a rewiring policy sees and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute import host
from ..topology import counter_rng, places
from ..topology.connectivity import Connectivity, Int64
from ..topology.growing import Grown, grow, merge
from .gradient import CoarseGradient, Gradient, Scores, largest

if TYPE_CHECKING:
    from ..kernel import SparseKernel
    from ..kernel_state import Index
    from ..topology.layout import Layout

Floats = NDArray[np.floating[Any]]
_CANDIDATES, _INITIAL, NEWCOMERS = 0, 1, 2  # what a kernel's random numbers are for


@dataclass(frozen=True)
class Change:
    """What a policy wants to become of one kernel.

    Attributes:
        keep: True for every connection that stays, bool [K] in the order of the view's connectivity.
        inputs: input unit of every new connection, [n].
        outputs: output unit of every new connection, [n].
        values: their values, [n]; None for fresh draws of the kernel's initializer with the degrees after the change.
        kept_values: new values of the connections that stay, [keep.sum()]; None leaves them as they are.
    """

    keep: NDArray[np.bool_]
    inputs: Int64
    outputs: Int64
    values: Floats | None = None
    kept_values: Floats | None = None


class _Draw(NamedTuple):
    """Candidates that were handed out, and what becomes of the kernel with them."""

    keep: NDArray[np.bool_]
    inputs: Int64
    outputs: Int64
    grown: Grown


class KernelView:
    """One sparse kernel as a policy sees it: arrays to read, nothing to write.

    Attributes:
        name: of the layer (and of the kernel, if the layer has several).
        values: their weights, [K].
        capacity: number of connections there is room for.
        layout: the storage order.
        index: the connections as they are stored.
        updates: rewiring updates done before this one.
        identity: (seed, number in the model), what the kernel's own random numbers are keyed by.
        gradient: the dense gradient of the last step, for policies that need it; else None.
        memory: arrays that the policy keeps for this kernel from update to update; `ks.Backup` keeps them too.
    """

    def __init__(
        self,
        kernel: SparseKernel,
        name: str,
        *,
        index: Index,
        slots: Callable[[], Mapping[str, Floats]],
        key: tuple[int, ...],
        updates: int = 0,
        gradient: Gradient | CoarseGradient | None = None,
        memory: MutableMapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.name = name
        self.layout: Layout = kernel.layout
        self.index = index
        self.values: Floats = host.view(kernel.values).array[: self.index.size]
        self.capacity: int = kernel.capacity
        self.updates = updates
        self.gradient = gradient
        self.memory: MutableMapping[str, NDArray[Any]] = {} if memory is None else memory
        self._slots = slots
        self._kernel = kernel
        self._key = key
        self.identity = key[:2]
        self._made: dict[str, NDArray[Any]] = {}
        self._draws = 0
        self._drawn: _Draw | None = None

    @cached_property
    def slots(self) -> dict[str, Floats]:
        """The optimizer's state at every connection, name to [K]; empty before the first step. Read at first use."""
        return {name: _read_only(slot[: self.index.size]) for name, slot in self._slots().items()}

    @cached_property
    def connectivity(self) -> Connectivity:
        """The connections that exist, decoded when it is asked for."""
        return self._kernel.connectivity

    def initial(self, n: int) -> Floats:
        """Return `n` fresh values from the kernel's initializer, with its mean degrees as fans, [n]."""
        return self._kernel.typical(n, self._rng(_INITIAL))

    def candidates(self, n: int, *, keep: NDArray[np.bool_] | None = None) -> tuple[Int64, Int64, Floats | None]:
        """Return `n` distinct empty positions for new connections.

        For a policy with `needs_gradient` those where the magnitude of the dense gradient is largest, of equal ones
        the first in storage order; otherwise uniformly drawn.

        Args:
            n: number of positions.
            keep: connections that stay, bool [K]; the positions of the others count as empty, so a connection that
                was just removed may return. By default all of them stay.

        Returns:
            (inputs [n], outputs [n], scores [n]): arrays to read; scores is None for random candidates.

        Raises:
            ValueError: when fewer than `n` positions are empty.
        """
        if self.gradient is None:
            return (*self._draw(n, keep, None), None)
        return self.scored(n, self.gradient, keep=keep)

    def scored(self, n: int, scores: Scores, *, keep: NDArray[np.bool_] | None = None) -> tuple[Int64, Int64, Floats]:
        """Return what `candidates` does, by the magnitude of any scores of all positions."""
        magnitudes: list[Floats] = []

        def choose(taken: places.Places) -> Grown:
            found, best = largest(scores.blocks(), n, taken)
            magnitudes.append(best)
            return merge(taken, found)

        inputs, outputs = self._draw(n, keep, choose)
        return inputs, outputs, magnitudes[0]

    def random(self, n: int, *, keep: NDArray[np.bool_] | None = None) -> tuple[Int64, Int64]:
        """Return `n` distinct empty positions, uniformly drawn, whatever the policy needs; see `candidates`."""
        return self._draw(n, keep, None)

    def _draw(
        self, n: int, keep: NDArray[np.bool_] | None, choose: Callable[[places.Places], Grown] | None
    ) -> tuple[Int64, Int64]:
        keep = np.ones(self.index.size, bool) if keep is None else keep.copy()
        taken = self.taken(keep)
        if n > self.positions - len(taken):
            raise ValueError(
                f"{self.name}: {n} new connections wanted, but {self.positions - len(taken)} positions are empty."
            )
        grown = grow(self._rng(_CANDIDATES), self.positions, n, taken) if choose is None else choose(taken)
        inputs, outputs = map(_read_only, places.to_units(self.layout, grown.fresh))
        self._drawn = _Draw(keep, inputs, outputs, grown)
        return inputs, outputs

    @property
    def positions(self) -> int:
        """Number of positions, n_in · n_out."""
        return self.layout.shape[0] * self.layout.shape[1]

    def taken(self, keep: NDArray[np.bool_]) -> places.Places:
        """Return the places of the connections that stay, ascending."""
        return places.kept(self.layout, self.index.ids, self.index.rows, keep)

    def places(self, inputs: Int64, outputs: Int64) -> places.Places:
        """Return the numbers of positions in storage order, in the order of the arguments."""
        return places.of_units(self.layout, inputs, outputs)

    def units(self) -> tuple[Int64, Int64]:
        """Return (inputs, outputs) of the connections, [K] each, in storage order."""
        return places.to_units(self.layout, self.taken(np.ones(self.index.size, bool)))

    def once(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return what `make` returns, the same array at a second call within this update."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def remember(self, name: str, number: int) -> int:
        """Return `number` as it was when it was first remembered under `name`."""
        if name not in self.memory:
            self.memory[name] = np.array([number], np.int64)
        return int(self.memory[name][0])

    def shown(self) -> list[KernelView]:
        """Return the views that a policy gets for this kernel: itself, or several."""
        return [self]

    def combined(self, changes: Sequence[Change | None]) -> Change | None:
        """Return what answers to the views in `shown` mean together."""
        return changes[0]

    def resolve(self, change: Change) -> tuple[KernelView, Change]:
        """Return the kernel's own view and what `change`, an answer to this one, means there."""
        return self, change

    def take_grown(self, change: Change) -> Grown | None:
        """Return how the connections grow by `change` if it answers with the last candidates as they were drawn.

        These are known to be free and in order. They are handed out once: they take ten bytes per connection.
        """
        drawn, self._drawn = self._drawn, None
        if drawn is None or change.inputs is not drawn.inputs or change.outputs is not drawn.outputs:
            return None
        return drawn.grown if np.array_equal(drawn.keep, change.keep) else None

    def _rng(self, purpose: int) -> np.random.Generator:
        self._draws += 1  # two calls of one update are independent
        return counter_rng.generator(*self._key, purpose, self._draws)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array = array.view()
    array.setflags(write=False)
    return array


class Policy:
    """Decides which connections go and which come; `ks.Rewire` decides when, and carries it out.

    Subclass it and write `update`; `ks.testing.check_policy` tells whether the result keeps the invariants.

    Attributes:
        needs_gradient: whether views must have the dense gradient of a step; `KernelView.candidates` then goes by it.
        when: "before_step" (at an epoch's begin or before every N-th step) or "after_step" (after each step).
        memory: "sparse", or "dense" for policies that need memory for every position; `Rewire` refuses them on kernels
            of more than 50 million positions, unless `allow_dense` is set.
        allow_dense: see `memory`.
        watches: whether `observe` is to be called after every step, with that step's dense gradient.
        gradient_by_output: whether it asks for `Gradient.outputs`, which a kernel of blocks does not have.
        compares_kernels: whether it counts the connections of several kernels together, so that they must be alike.
        keeps_groups: whether it can keep N:M groups: newcomers replace what was removed, one for one, in every update.
        keeps_count: whether an update leaves the number of connections of every kernel as it is.
        keeps_total: whether it leaves the number of connections of all kernels together as it is.
        changes_kept_values: whether `Change.kept_values` is used.
    """

    needs_gradient: bool = False
    when: Literal["before_step", "after_step"] = "before_step"
    memory: Literal["sparse", "dense"] = "sparse"
    allow_dense: bool = False
    watches: bool = False
    gradient_by_output: bool = False
    compares_kernels: bool = False
    keeps_groups: bool = True
    keeps_count: bool = True
    keeps_total: bool = False
    changes_kept_values: bool = False

    @property
    def looks(self) -> bool:
        """Whether it needs the dense gradient of some steps."""
        return self.needs_gradient or self.watches

    @property
    def single_steps(self) -> bool:
        """Whether it looks at single steps, so that `steps_per_execution` must be 1."""
        return self.looks or self.when == "after_step"

    def update(
        self,
        kernels: Sequence[KernelView],
        *,
        step: int,
        progress: float,
        learning_rate: float,
        rng: np.random.Generator,
    ) -> Sequence[Change | None]:
        """Return one change per kernel, None to leave it alone.

        Args:
            kernels: the kernels that may be rewired.
            step: optimizer steps done so far.
            progress: share of the training done, 0 to 1.
            learning_rate: of the optimizer, now.
            rng: random numbers of this update, the same on every replica.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what an update does.")

    def acts(self, progress: float) -> bool:
        """Return whether an update at `progress` can change anything; if not, no step is spent on a gradient."""
        del progress
        return True

    def begin(self, kernels: Sequence[KernelView], *, rng: np.random.Generator) -> Sequence[Change | None]:
        """Return the changes before the first step of training; by default none.

        Called once for kernels that were never rewired; not again when a run goes on.
        """
        del rng
        return [None] * len(kernels)

    def observe(self, kernels: Sequence[KernelView]) -> None:
        """Look at the dense gradient of a step; for policies with `watches`."""

    def finish(
        self,
        kernels: Sequence[KernelView],
        *,
        step: int,
        progress: float,
        learning_rate: float,
        rng: np.random.Generator,
    ) -> Sequence[Change | None]:
        """Return the changes at the end of training; by default none."""
        del step, progress, learning_rate, rng
        return [None] * len(kernels)
