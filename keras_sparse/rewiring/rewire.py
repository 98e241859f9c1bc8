"""`Rewire`: the callback that decides when a policy rewires, and carries the model and the optimizer along."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any

import keras
import numpy as np

from ..callback_list import running
from ..compute import host, workers
from ..junctions import Junction, layers, select
from ..kernel_state import Index, KernelState
from ..topology import counter_rng
from . import optimizer_state, patterned
from .apply import Plan
from .explored import Explored
from .gradient import Gradient
from .patterned import view_of
from .policy import Change, KernelView, Policy
from .probe import Probe, Recorded
from .realign import realign_junctions

_log = logging.getLogger("keras_sparse")
_POLICY_STREAM = 2**32  # beside the kernels' numbers
_MOST_POSITIONS = 50_000_000  # of a kernel, for policies that need memory for each


class Rewire(keras.callbacks.Callback):
    """Rewires the sparse kernels of a model while `fit` trains it.

    Epoch updates run when an epoch begins, so that the metrics logged at its end, checkpoints and the saved file
    describe one topology; the first epoch trains the initial one. An update runs only if the optimizer has stepped
    since the last: `fit(epochs=1)` in a loop and resumed runs rewire exactly once per epoch. List `Rewire` before
    checkpoint callbacks.

    Args:
        policy: what to remove and what to grow, e.g. `ks.SET()`.
        every: "epoch", or a number N of optimizer steps: then an update runs before step t for t > 0, t % N == 0. N
            must be a multiple of the model's `steps_per_execution`.
        start: share of the training, of one `fit`, in [0, 1], before which nothing is rewired.
        stop: share of the training after which nothing is rewired.
        layers: layers, or names of layers, to rewire; by default all sparse ones that are trainable.
        seed: of the rewiring's random numbers; by default each kernel's own seed. Numbers are keyed by seed, kernel and
            step, so an interrupted and resumed run draws what an uninterrupted one would have.

    Attributes:
        history: one dict per kernel and update: "epoch", "step" (optimizer steps done), "layer", "removed", "added",
            "connections", "density", "explored" (R_s, the share of all positions ever tried), "explored_exact"
            (False: a fixed-size estimate), "in_degree" and "out_degree" ([least, mean, most] over units), "final" (True
            for the removal at the end of training), "updates" (1; policies that act after every step have one entry per
            epoch, with sums of removed and added).

    Raises:
        ValueError: for arguments out of range; when attached, for a model without sparse kernels or an `every` that
            does not fit `steps_per_execution`; in a `fit` of several workers.

    Example:
        >>> import keras_sparse as ks
        >>> rewire = ks.Rewire(ks.SET(zeta=0.3))
        >>> # model.fit(x, y, epochs=10, callbacks=[rewire]); rewire.history[-1]["explored"]
    """

    def __init__(
        self,
        policy: Policy,
        *,
        every: str | int = "epoch",
        start: float = 0.0,
        stop: float = 1.0,
        layers: Sequence[keras.layers.Layer | str] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(policy, Policy):
            raise ValueError(f"`policy` must be a ks.Policy such as ks.SET(); got {policy!r}.")
        if every != "epoch" and (isinstance(every, bool) or not isinstance(every, Integral) or int(every) < 1):
            raise ValueError(f'`every` must be "epoch" or a positive number of optimizer steps; got {every!r}.')
        if isinstance(layers, str) or (layers is not None and not list(layers)):
            raise ValueError(f"`layers` must be a list of layers or of their names; got {layers!r}.")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, Integral)):
            raise ValueError(f"`seed` must be an integer; got {seed!r}.")
        if not 0 <= start <= stop <= 1:
            raise ValueError(
                f"`start` and `stop` are shares of the training, 0 <= start <= stop <= 1; got {start}, {stop}."
            )
        self.policy = policy
        self.every = every
        self.start, self.stop = start, stop
        self.layers = None if layers is None else list(layers)
        self.seed = seed
        self.history: list[dict[str, Any]] = []
        self._junctions: list[Junction] = []
        self._optimizer: Any = None
        self._attached: Any = None
        self._explored: dict[int, Explored] = {}
        self._tracked: dict[int, int] = {}  # fingerprints of the topologies `_explored` saw last
        self._others: list[Rewire] = []
        self._last_entries: dict[str, dict[str, Any]] = {}
        self._epoch = 0
        self._checked: int | None = None  # iterations at the last look whether a step update is due
        self._memory: dict[int, dict[str, Any]] = {}  # what the policy keeps, by kernel
        self._recorded = Recorded()
        self._probe: Probe | None = None
        self._given: tuple[Any, Any] = (None, None)  # a model and the optimizer it was attached with
        self._due: float | None = None  # progress of an update that waits for the gradient of a step

    def attach(self, model: Any, optimizer: Any = None) -> Rewire:
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
            self._attached, self._explored, self._tracked, self._memory = model, {}, {}, {}
        if optimizer is not None:
            self._given = (model, optimizer)  # `fit` attaches again, and does not know it
        iteration = optimizer_state.iterations(self._optimizer)
        for junction in self._junctions:
            if junction.kernel.state().last_iteration > iteration:  # a new optimizer counts from 0
                junction.kernel.note_update(iteration, counts=False)
        self._look(self._junctions)
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
        self._run(lambda views, *, rng, **_: self.policy.begin(views, rng=rng), fresh, _states(fresh), 0.0, step)

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
        return self._run(self.policy.update, junctions, _states(junctions), progress, step, counts=True)

    def finish(self) -> list[dict[str, Any]]:
        """Let the policy do what it does at the end of training; for custom loops.

        Returns:
            The new entries of `history`, marked "final".
        """
        junctions = self._active()
        step = optimizer_state.iterations(self._optimizer)
        return self._run(self.policy.finish, junctions, _states(junctions), 1.0, step, final=True)

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
        states = _states(junctions)
        gradients = self._gradients(junctions)
        if not all(gradient.finite for gradient in gradients.values()):
            return  # a loss that overflowed: the optimizer does nothing either
        self.policy.observe(self._views(junctions, self._look(junctions), states, 0, gradients))

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
        changes: Sequence[Change | None] = decide(
            views,
            step=step,
            progress=progress,
            learning_rate=optimizer_state.learning_rate(self._optimizer),
            rng=counter_rng.generator(keys[0][0], _POLICY_STREAM, *keys[0][1:]),
        )
        who = type(self.policy).__name__
        if len(changes) != len(views):
            raise ValueError(
                f"{who}: expected {len(views)} changes, one per kernel (None for no change); got {len(changes)}."
            )
        plans = [
            None if change is None else Plan(j.kernel, *view.resolve(change), f"{who} on {j.name}")
            for j, view, change in zip(junctions, views, changes, strict=True)
        ]
        del views, changes, indices, gradients
        entries = []
        for number, (junction, key, state) in enumerate(zip(junctions, keys, states, strict=True)):
            # After a final update the next fit's first epoch still has its update before it.
            noted = replace(state, last_iteration=step, updates=state.updates + 1) if counts else state
            plan, plans[number] = plans[number], None  # one at a time: plans of large kernels take memory
            if plan is not None:
                plan.apply(self._optimizer, key, noted)
                if counts or final:
                    entries.append(self._entry(junction, plan, step, final))
            elif counts:
                junction.kernel.note_update(step)
        self._remember(entries)
        return entries

    def _remember(self, entries: list[dict[str, Any]]) -> None:
        """Add to the history; of policies that act after every step an epoch's entries become one."""
        for entry in entries:
            last = self._last_entries.get(entry["layer"])
            if self.policy.when == "after_step" and last and last["epoch"] == entry["epoch"] and not entry["final"]:
                sums = {name: last[name] + entry[name] for name in ("removed", "added", "updates")}
                last |= entry | sums
            else:
                self._last_entries[entry["layer"]] = dict(entry)
                self.history.append(self._last_entries[entry["layer"]])

    def _entry(self, junction: Junction, plan: Plan, step: int, final: bool) -> dict[str, Any]:
        explored = self._explored[junction.number]
        explored.add(plan.inputs, plan.outputs)
        self._tracked[junction.number] = junction.kernel.slots_fingerprint
        in_degrees, out_degrees = plan.degrees
        return {
            "epoch": self._epoch,
            "step": step,
            "layer": junction.name,
            "removed": plan.removed,
            "added": plan.added,
            "connections": plan.count,
            "density": plan.count / explored.positions,
            "explored": explored.share,
            "explored_exact": explored.exact,
            "in_degree": _spread(in_degrees, plan.count),
            "out_degree": _spread(out_degrees, plan.count),
            "final": final,
            "updates": 1,
        }

    def _look(self, junctions: Sequence[Junction]) -> list[Index]:
        """Notice topologies that came from elsewhere: count their connections as tried, and reset the slots."""
        indices = [junction.kernel.index() for junction in junctions]
        for junction, (_, _, now) in zip(junctions, indices, strict=True):
            if self._tracked.get(junction.number) != now:
                connectivity = junction.kernel.connectivity  # decoding checks it
                explored = self._explored.setdefault(junction.number, Explored(junction.kernel.shape))
                explored.add(connectivity.inputs, connectivity.outputs)
                self._tracked[junction.number] = now
        strays = [j for j in junctions if j.kernel.slots_fingerprint != self._tracked[j.number]]
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
        arrays = {f"explored/{i}": explored.state for i, explored in self._explored.items()}
        arrays |= {f"memory/{i}/{name}": array for i, kept in self._memory.items() for name, array in kept.items()}
        return {"history": self.history, "arrays": arrays}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` left off."""
        self.history[:] = state["history"]
        self._last_entries = {entry["layer"]: entry for entry in self.history}
        shapes = {junction.number: junction.kernel.shape for junction in self._junctions}
        self._memory.clear()
        for path, array in state["arrays"].items():
            kind, index, *name = path.split("/", 2)
            if kind == "memory":
                self._memory.setdefault(int(index), {})[name[0]] = np.array(array)
            else:
                self._explored[int(index)] = Explored(shapes[int(index)])
                self._explored[int(index)].restore(array)
                self._tracked.pop(int(index), None)

    # Callback hooks. `self.model` is touched first: with JAX that writes the trainer's state back to the variables.

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Attach to the model that `fit` trains, if it is built already."""
        model = self.model
        workers.check_fit(model, type(self).__name__)
        steps = getattr(model, "steps_per_execution", 1)
        every_step = self.policy.when == "after_step" or self.policy.needs_gradient or self.policy.watches
        every = 1 if every_step else self.every
        if every != "epoch" and int(every) % steps:
            raise ValueError(
                f"The model runs {steps} steps per execution, and callbacks run only between executions: it "
                + (
                    f"cannot be rewired by {type(self.policy).__name__}, which looks at single steps. Compile with "
                    if every_step
                    else f"cannot be rewired every {every} steps. Use `every={steps}` or a multiple, or compile with "
                )
                + "steps_per_execution=1."
            )
        self._due = None
        looks = self.policy.needs_gradient or self.policy.watches
        if looks and (self._probe is None or not self._probe.serves(model)):
            self._probe = Probe(model, self._recorded)
        self._others = [c for c in running(self) if isinstance(c, Rewire) and c is not self]
        if self._probe is not None and any(o.policy.needs_gradient or o.policy.watches for o in self._others):
            raise ValueError(
                "Two Rewire callbacks of one fit grow by gradient, and only one can look at a step. Give one of them "
                "all the layers, or a policy that grows at random."
            )
        self._junctions, self._checked = [], None
        self._attach_when_built()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewire, if updates go by epoch and the optimizer has stepped since the last one."""
        self._epoch = epoch
        if self._attach_when_built() and self.every == "epoch" and self.policy.when == "before_step":
            self._update_if_stepped(epoch / max(1, self._param("epochs")), optimizer_state.iterations(self._optimizer))

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewire, if updates go by steps and one is due."""
        self._look_whether_due(batch)
        active = self._active() if self._probe is not None else []
        if self._probe is None or not active:
            return
        if self._due is not None:
            self._probe.next_step(active, self._optimizer)
        elif self.policy.watches:
            self._probe.watch_next_step(active)

    def _look_whether_due(self, batch: int) -> None:
        if self.every == "epoch" or self.policy.when == "after_step" or not self._attach_when_built():
            return
        step = optimizer_state.iterations(self._optimizer)
        before = step - 1 if self._checked is None else self._checked
        self._checked = step
        # Crossing a multiple, not hitting it: the last execution of an epoch may be a shorter one.
        if step // int(self.every) > before // int(self.every):
            self._update_if_stepped(self._progress(batch), step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewire after the step, for policies that work so."""
        if not self._junctions:
            self._attach_when_built()
        _ = self.model
        if self.policy.watches and self._recorded:
            self.observe()
        step = optimizer_state.iterations(self._optimizer)
        if self._due is not None:
            progress, self._due = self._due, None
            junctions = self._active()
            self._run(self.policy.update, junctions, _states(junctions), progress, step, counts=True)
        # With accumulated gradients, or a loss that overflowed, a batch need not be a step.
        if self.policy.when == "after_step" and step != self._checked:
            self._checked = step
            self._begin(step)  # with kernels that were frozen until now
            progress = self._progress(batch + 1)
            if self.start <= progress <= self.stop:
                self.update(progress=progress)

    def _attach_when_built(self) -> bool:
        """Attach to the model of this `fit`, once it is built: without an Input that is after the first step."""
        model = self.model
        if not self._junctions:
            if not all(layer.built for layer in layers(model)):
                return False
            known, optimizer = self._given
            self.attach(model, optimizer if known is model else None)
            ours = {id(junction.kernel): junction.name for junction in self._junctions}
            for other in self._others:
                shared = [name for kernel, name in ours.items() if kernel in {id(j.kernel) for j in other._junctions}]
                if shared:
                    raise ValueError(
                        f"Two Rewire callbacks of one fit would rewire {', '.join(shared)}: give each its own `layers`."
                    )
        return True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Let the policy finish (SET's final removal)."""
        if self._probe is not None:
            self._probe.end()
        if self._attach_when_built() and type(self.policy).finish is not Policy.finish:
            self.finish()

    def _update_if_stepped(self, progress: float, step: int) -> None:
        """Rewire, if the optimizer has stepped since the last update."""
        if not self.start <= progress <= self.stop or not self.policy.acts(progress):
            return
        junctions = self._active()
        if not junctions:
            return
        states = _states(junctions)
        if step <= max((state.last_iteration for state in states), default=0):
            return
        if self.policy.needs_gradient and not self.policy.watches:
            self._due = progress  # the next step is taken for its gradient
        else:
            self._run(self.policy.update, junctions, states, progress, step, counts=True)

    def _param(self, name: str) -> int:
        return int((self.params or {}).get(name) or 0)

    def _progress(self, batch: int) -> float:
        steps = self._param("steps")
        within = batch / steps if steps else 0.0
        return min(1.0, (self._epoch + within) / max(1, self._param("epochs")))


def _states(junctions: Sequence[Junction]) -> list[KernelState]:
    return [junction.kernel.state() for junction in junctions]


def _spread(degrees: Any, total: int) -> list[float]:
    return [int(degrees.min()), total / len(degrees), int(degrees.max())]  # a list, as JSON brings it back
