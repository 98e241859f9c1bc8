"""`Rewire`: the callback that decides when a policy rewires."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras

from ..callback_list import running
from ..compute import workers
from ..junctions import layers
from . import optimizer_state
from .policy import Policy
from .probe import Probe
from .rewirer import Rewirer, bookkeeping


class Rewire(Rewirer, keras.callbacks.Callback):
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
        newcomers: where the second moment of a new connection starts in Adam, its kin and RMSprop: "initial", at the
            optimizer's own start, 0, so that the first steps of a newcomer are up to three times the learning rate
            (Adam's β); "mean", at the mean of its kernel's connections that stay, so that they are as long as others.

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
        newcomers: str = "initial",
    ) -> None:
        super().__init__(policy, layers=layers, seed=seed, newcomers=newcomers)
        if every != "epoch" and (isinstance(every, bool) or not isinstance(every, Integral) or int(every) < 1):
            raise ValueError(f'`every` must be "epoch" or a positive number of optimizer steps; got {every!r}.')
        if not 0 <= start <= stop <= 1:
            raise ValueError(
                f"`start` and `stop` are shares of the training, 0 <= start <= stop <= 1; got {start}, {stop}."
            )
        self.every = every
        self.start, self.stop = start, stop
        self._others: list[Rewire] = []
        self._checked: int | None = None  # iterations at the last look whether a step update is due
        self._probe: Probe | None = None
        self._due: float | None = None  # progress of an update that waits for the gradient of a step

    # Callback hooks. `self.model` is touched first: with JAX that writes the trainer's state back to the variables.

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Attach to the model that `fit` trains, if it is built already."""
        model = self.model
        workers.check_fit(model, type(self).__name__)
        steps = getattr(model, "steps_per_execution", 1)
        every = 1 if self.policy.single_steps else self.every
        if every != "epoch" and int(every) % steps:
            raise ValueError(
                f"The model runs {steps} steps per execution, and callbacks run only between executions: it "
                + (
                    f"cannot be rewired by {type(self.policy).__name__}, which looks at single steps. Compile with "
                    if self.policy.single_steps
                    else f"cannot be rewired every {every} steps. Use `every={steps}` or a multiple, or compile with "
                )
                + "steps_per_execution=1."
            )
        self._due = None
        if self.policy.looks and (self._probe is None or not self._probe.serves(model)):
            self._probe = Probe(model, self._recorded)
        self._others = [c for c in running(self) if isinstance(c, Rewire) and c is not self]
        if self._probe is not None and any(o.policy.looks for o in self._others):
            raise ValueError(
                "Two Rewire callbacks of one fit grow by gradient, and only one can look at a step. Give one of them "
                "all the layers, or a policy that grows at random."
            )
        self._junctions, self._checked = [], None
        self._journal.begin()
        self._attach_when_built()

    @property
    def looks_at_steps(self) -> bool:
        """Whether it has to be called at every step: it rewires by steps, or its policy looks at some."""
        return self.every != "epoch" or self.policy.single_steps

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewire, if updates go by epoch and the optimizer has stepped since the last one."""
        self._journal.epoch = epoch
        if self._attach_when_built() and self.every == "epoch" and self.policy.when == "before_step":
            self._update_if_stepped(epoch / max(1, self._param("epochs")), optimizer_state.iterations(self._optimizer))

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Rewire, if updates go by steps and one is due."""
        self._look_whether_due(batch)
        if self._probe is None or (self._due is None and not self.policy.watches):
            return
        active = self._active()
        if not active:
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
        if self._due is None and not self.policy.watches and self.policy.when != "after_step":
            return  # most policies, at most steps: neither the model nor the optimizer need be looked at
        _ = self.model
        if self.policy.watches and self._recorded:
            self.observe()
        step = optimizer_state.iterations(self._optimizer)
        if self._due is not None:
            progress, self._due = self._due, None
            junctions = self._active()
            self._run(self.policy.update, junctions, bookkeeping(junctions), progress, step, counts=True)
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
        states = bookkeeping(junctions)
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
        return min(1.0, (self._journal.epoch + within) / max(1, self._param("epochs")))
