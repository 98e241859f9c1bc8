"""Carrying a policy out: what `Rewire` does whenever something tells it to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import keras
import numpy as np

from ..compute import host
from ..junctions import Junction, select
from ..kernel_state import Index, KernelState
from ..topology import counter_rng
from . import optimizer_state, patterned
from .apply import Plan
from .gradient import Gradient
from .journal import Journal
from .patterned import view_of
from .policy import Change, KernelView, Policy
from .probe import Recorded
from .realign import realign_junctions

NEWCOMERS = ("initial", "mean")
"""Where the optimizer's second moment of a new connection may start."""

_log = logging.getLogger("keras_sparse")
_POLICY_STREAM = 2**32  # beside the kernels' numbers
_MOST_POSITIONS = 50_000_000  # of a kernel, for policies that need memory for each


class Rewirer:
    """Lets a policy rewire the sparse kernels of a model, with the optimizer's state; `Rewire` says when.

    Args:
        policy: what to remove and what to grow.
        layers: layers, or names of layers, to rewire; by default all sparse ones that are trainable.
        seed: of the rewiring's random numbers; by default each kernel's own seed.
        newcomers: "initial" or "mean", see `Rewire`.

    Raises:
        ValueError: for arguments out of range.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        layers: Sequence[keras.layers.Layer | str] | None = None,
        seed: int | None = None,
        newcomers: str = "initial",
    ) -> None:
        super().__init__()
        if not isinstance(policy, Policy):
            raise ValueError(f"`policy` must be a ks.Policy such as ks.SET(); got {policy!r}.")
        if isinstance(layers, str) or (layers is not None and not list(layers)):
            raise ValueError(f"`layers` must be a list of layers or of their names; got {layers!r}.")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, Integral)):
            raise ValueError(f"`seed` must be an integer; got {seed!r}.")
        if newcomers not in NEWCOMERS:
            raise ValueError(f"`newcomers` must be one of {', '.join(NEWCOMERS)}; got {newcomers!r}.")
        self.policy = policy
        self.newcomers = newcomers
        self.layers = None if layers is None else list(layers)
        self.seed = seed
        self._junctions: list[Junction] = []
        self._optimizer: Any = None
        self._attached: Any = None
        self._journal = Journal()
        self._memory: dict[int, dict[str, Any]] = {}  # what the policy keeps, by kernel
        self._recorded = Recorded()
        self._given: tuple[Any, Any] = (None, None)  # a model and the optimizer it was attached with

    @property
    def history(self) -> list[dict[str, Any]]:
        """One dict per kernel and update, see `Rewire`."""
        return self._journal.entries

    def attach(self, model: Any, optimizer: Any = None) -> Self:
        """Rewire the kernels of `model` from now on; `fit` calls it, custom training loops do.

        Under a strategy of several workers every worker attaches and updates at the same steps; all draw the same
        numbers and gather the same gradient, so they come to the same topology. See examples/two_workers.py.

        Args:
            model: a built model.
            optimizer: whose slots to carry along; the model's by default.

        Returns:
            self.

        Raises:
            ValueError: when the model has no sparse kernel.
        """
        self._junctions = select(model, self.layers)
        self._optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
        for junction in self._junctions:
            patterned.check(junction.kernel, junction.name, self.policy, alone=len(self._junctions) == 1)
        if self.policy.memory == "dense" and not self.policy.allow_dense:
            self._refuse_large()
        if self._attached is not model:
            self._attached, self._memory = model, {}
            self._journal.forget_explored()
        if optimizer is not None:
            self._given = (model, optimizer)  # `fit` attaches again, and does not know it
        iteration = optimizer_state.iterations(self._optimizer)
        for junction in self._junctions:
            if junction.kernel.state().last_iteration > iteration:  # a new optimizer counts from 0
                junction.kernel.note(replace(junction.kernel.state(), last_iteration=iteration))
        self._look(self._junctions)
        for junction in self._junctions:
            junction.kernel.mark_slots_aligned(self._optimizer)
        self._begin(iteration)
        return self

    def _begin(self, step: int) -> None:
        """Let the policy begin with the kernels that were never rewired."""
        if type(self.policy).begin is Policy.begin:
            return
        new = [j for j in self._active() if "begun" not in self._memory.get(j.number, {})]
        for junction in new:
            self._memory.setdefault(junction.number, {})["begun"] = np.ones(1, np.int64)
        fresh = [j for j in new if j.kernel.state().updates == 0]
        self._run(lambda views, *, rng, **_: self.policy.begin(views, rng=rng), fresh, bookkeeping(fresh), 0.0, step)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the dense gradient of what runs inside; for custom loops, with policies that need it.

        Take the gradient of the loss inside, eagerly or by a `tf.function` that is only ever called inside. The next
        `update` goes by it, and policies that watch every step (`SNFS`) are shown it at once.
        """
        junctions = self._active()
        with self._recorded.collecting(junctions):
            yield
        if self.policy.watches and self._recorded:
            self.observe()

    def show_gradient(self, kernel: Any, x: Any, dy: Any) -> None:
        """Take the gradient of `kernel` from elsewhere, as factors x [batch, n_in] and dy [batch, n_out]: Xᵀ dY."""
        self._recorded.put(kernel, x, dy)

    def update(self, *, progress: float = 0.0) -> list[dict[str, Any]]:
        """Rewire now; for custom training loops, which decide themselves when.

        Args:
            progress: share of the training done, 0 to 1, for policies with a schedule.

        Returns:
            The new entries of `history`.

        Raises:
            ValueError: before `attach`, before a gradient was recorded for a policy that needs it, or when the policy
                breaks an invariant; nothing is changed then.
        """
        if not self._junctions:
            raise ValueError("Call `attach(model)` before `update()`.")
        if self.policy.needs_gradient and not self._recorded:
            raise ValueError(
                f"{type(self.policy).__name__} grows by gradient: take one inside `with rewire.recording():` before "
                "`update()`, each time; a tf.function that was traced outside does not record."
            )
        junctions = self._active()
        step = optimizer_state.iterations(self._optimizer)
        return self._run(self.policy.update, junctions, bookkeeping(junctions), progress, step, counts=True)

    def finish(self) -> list[dict[str, Any]]:
        """Let the policy do what it does at the end of training; for custom loops.

        Returns:
            The new entries of `history`, marked "final".
        """
        junctions = self._active()
        step = optimizer_state.iterations(self._optimizer)
        return self._run(self.policy.finish, junctions, bookkeeping(junctions), 1.0, step, final=True)

    def _refuse_large(self) -> None:
        for junction in self._junctions:
            positions = junction.kernel.shape[0] * junction.kernel.shape[1]
            if positions > _MOST_POSITIONS:
                raise ValueError(
                    f"{type(self.policy).__name__} needs memory for every position, and {junction.name} has "
                    f"{positions:,} of them (limit: {_MOST_POSITIONS:,}). Make the policy with allow_dense=True if "
                    "there is room, or leave the layer out by `layers=`."
                )

    def _gradients(self, junctions: Sequence[Junction]) -> dict[int, Gradient]:
        return self._recorded.gradients(junctions, type(self.policy).__name__)

    def observe(self) -> None:
        """Show the policy the recorded gradient of a step, for policies that watch every step."""
        junctions = self._active()
        states = bookkeeping(junctions)
        gradients = self._gradients(junctions)
        if not all(gradient.finite for gradient in gradients.values()):
            return  # a loss that overflowed: the optimizer does nothing either
        views = self._views(junctions, self._look(junctions), states, 0, gradients)
        self.policy.observe([shown for view in views for shown in view.shown()])

    def _views(
        self,
        junctions: Sequence[Junction],
        indices: Sequence[Index],
        states: Sequence[KernelState],
        step: int,
        gradients: dict[int, Gradient],
    ) -> list[KernelView]:
        return [
            view_of(
                j.kernel,
                j.name,
                index=index,
                slots=partial(self._slots, j),
                key=self._key(j, state, step),
                updates=state.updates,
                gradient=gradients.get(j.number),
                memory=self._memory.setdefault(j.number, {}),
            )
            for j, index, state in zip(junctions, indices, states, strict=True)
        ]

    def _key(self, junction: Junction, state: KernelState, step: int) -> tuple[int, ...]:
        """Return what random numbers are keyed by; the number of updates tells those apart that run at one step."""
        return (state.seed if self.seed is None else int(self.seed), junction.number, step, state.updates)

    def _run(
        self,
        decide: Any,
        junctions: Sequence[Junction],
        states: Sequence[KernelState],
        progress: float,
        step: int,
        *,
        counts: bool = False,
        final: bool = False,
    ) -> list[dict[str, Any]]:
        """Let the policy decide, check it, carry it out; `counts`: this is one of the updates of the training."""
        if not junctions:
            return []
        indices = self._look(junctions)
        gradients = self._gradients(junctions) if self.policy.needs_gradient and counts else {}
        self._recorded.clear()
        if not all(gradient.finite for gradient in gradients.values()):
            _log.warning("Step %d had a gradient that is not finite: nothing is rewired by it.", step)
            return []
        views = self._views(junctions, indices, states, step, gradients)
        keys = [self._key(j, s, step) for j, s in zip(junctions, states, strict=True)]
        shown = [view.shown() for view in views]
        changes: Sequence[Change | None] = decide(
            [view for several in shown for view in several],
            step=step,
            progress=progress,
            learning_rate=optimizer_state.learning_rate(self._optimizer),
            rng=counter_rng.generator(keys[0][0], _POLICY_STREAM, *keys[0][1:]),
        )
        who = type(self.policy).__name__
        wanted = sum(map(len, shown))
        if len(changes) != wanted:
            raise ValueError(
                f"{who}: expected {wanted} changes, one per kernel (None for no change); got {len(changes)}."
            )
        answers = iter(changes)
        whole = [view.combined([next(answers) for _ in several]) for view, several in zip(views, shown, strict=True)]
        plans = [
            None if change is None else Plan(j.kernel, *view.resolve(change), f"{who} on {j.name}")
            for j, view, change in zip(junctions, views, whole, strict=True)
        ]
        del views, shown, changes, answers, whole, indices, gradients
        entries = []
        for number, (junction, key, state) in enumerate(zip(junctions, keys, states, strict=True)):
            # After a final update the next fit's first epoch still has its update before it.
            noted = replace(state, last_iteration=step, updates=state.updates + 1) if counts else state
            plan, plans[number] = plans[number], None  # one at a time: plans of large kernels take memory
            if plan is not None:
                plan.apply(self._optimizer, key, noted, mean_second_moment=self.newcomers == "mean")
                if counts or final:
                    entries.append(self._journal.add(junction, plan, step=step, final=final))
            elif counts:
                junction.kernel.note(noted)
        self._journal.keep(entries, sums=self.policy.when == "after_step")
        return entries

    def _look(self, junctions: Sequence[Junction]) -> list[Index]:
        """Notice topologies that came from elsewhere: count their connections as tried, and reset the slots."""
        indices = [junction.kernel.index() for junction in junctions]
        strays = []
        for junction, (_, _, now) in zip(junctions, indices, strict=True):
            self._journal.look(junction, now)
            if not junction.kernel.slots_mark.fits(now, self._optimizer):
                strays.append(junction)
        realign_junctions(strays, self._optimizer)
        return indices

    def _active(self) -> list[Junction]:
        """Return the kernels to rewire now: frozen ones only where they were named."""
        return [j for j in self._junctions if self.layers is not None or j.kernel.values.trainable]

    def _slots(self, junction: Junction) -> dict[str, Any]:
        slots = optimizer_state.slots(self._optimizer, junction.kernel.values)
        return {slot.name: host.view(slot.variable).array for slot in slots}

    def get_state(self) -> dict[str, Any]:
        """Return the history, as plain data, and arrays by name: what `ks.Backup` keeps."""
        arrays = {f"explored/{i}": array for i, array in self._journal.arrays().items()}
        arrays |= {f"memory/{i}/{name}": array for i, kept in self._memory.items() for name, array in kept.items()}
        return {"history": self.history, "arrays": arrays}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` left off."""
        self.history[:] = state["history"]
        shapes = {junction.number: junction.kernel.shape for junction in self._junctions}
        self._memory.clear()
        for path, array in state["arrays"].items():
            kind, index, *name = path.split("/", 2)
            if kind == "memory":
                self._memory.setdefault(int(index), {})[name[0]] = np.array(array)
            else:
                self._journal.restore(int(index), shapes[int(index)], array)


def bookkeeping(junctions: Sequence[Junction]) -> list[KernelState]:
    """Return the kernels' bookkeeping."""
    return [junction.kernel.state() for junction in junctions]
