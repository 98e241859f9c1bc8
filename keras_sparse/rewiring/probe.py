"""Steps that show a policy the dense gradient of the loss, in factors.

A probe is one call of `model.train_function` that takes a batch and its gradients but leaves the weights alone: Keras
looks the function up at every step, so it can be exchanged for one call. A watch is the model's own step, recorded.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from ..compute import recording
from ..junctions import Junction
from .gradient import Gradient

Tensor = Any


class Recorded:
    """What the backward of some kernels had: fill it inside `collecting`, then ask for `gradients`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collects = False
        self._kernels: set[int] = set()
        self._parts: dict[tuple[int, int], list[tuple[Any, Any]]] = {}  # by kernel and replica

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies begin empty: KerasTuner copies callbacks, and what was recorded is of other kernels."""
        return Recorded, ()

    @contextmanager
    def collecting(self, junctions: Sequence[Junction]) -> Iterator[None]:
        """Record what is traced or run inside; functions traced inside record whenever they run."""
        for junction in junctions:
            groups = getattr(getattr(junction.kernel, "geometry", None), "groups", 1)
            if groups > 1:
                raise ValueError(
                    f"{junction.name} is a convolution of {groups} groups, whose dense gradient is not to be had. Use "
                    "a policy that grows at random, such as ks.SET(), or name the layers to rewire by `layers=`."
                )
        self._parts.clear()
        self._kernels = {id(junction.kernel) for junction in junctions}
        reference = weakref.ref(self)

        def record(kernel: Any, x: Tensor, dy: Tensor) -> None:
            recorded = reference()
            if recorded is not None and id(kernel) in recorded._kernels:  # others are of another model
                recorded._record(id(kernel), x, dy)

        self._collects = True
        try:
            with recording.recording(record):
                yield
        finally:
            recording.arrived()
            self._collects = False

    def _record(self, kernel: int, x: Tensor, dy: Tensor) -> None:
        reference = weakref.ref(self)  # TensorFlow and JAX keep `sink` for the life of the process

        def sink(replica: int, left: Any, right: Any) -> None:
            recorded = reference()
            if recorded is not None and recorded._collects:
                with recorded._lock:
                    recorded._parts.setdefault((kernel, replica), []).append((left, right))

        recording.to_host(x, dy, sink)

    def put(self, kernel: Any, x: Any, dy: Any) -> None:
        """Take X and dY of `kernel` as if a step had been recorded."""
        self._parts[id(kernel), 0] = [(x, dy)]

    def clear(self) -> None:
        """Forget what was recorded."""
        self._parts.clear()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def gradients(self, junctions: Sequence[Junction], who: str) -> dict[int, Gradient]:
        """Return the gradients of `junctions` by their numbers.

        Raises:
            ValueError: when the loss does not depend on one of them.
        """
        found = {}
        for junction in junctions:
            replicas = sorted(replica for kernel, replica in self._parts if kernel == id(junction.kernel))
            if not replicas:
                raise ValueError(
                    f"{who} needs the gradient of {junction.name}, but the step took none: the loss does not depend on "
                    "it, or its layer is frozen. Name the layers to rewire by `layers=`."
                )
            several = replicas if replicas[0] >= 0 else replicas[:1]  # that one has the whole batch
            parts = [part for replica in several for part in self._in_order(id(junction.kernel), replica)]
            images = parts[0][0].ndim == 4  # a convolution of single pixels is a matrix product
            geometry = getattr(junction.kernel, "geometry", None) if images else None
            found[junction.number] = Gradient(junction.kernel.layout, parts, geometry)
        return found

    def _in_order(self, kernel: int, replica: int) -> list[tuple[Any, Any]]:
        """Return the parts in an order that does not depend on which step of a loop came first."""
        parts = [(np.asarray(x), np.asarray(dy)) for x, dy in self._parts[kernel, replica]]
        return sorted(parts, key=lambda part: [float(np.sum(array, dtype=np.float64)) for array in reversed(part)])


class Probe:
    """Exchanges a model's train function while `fit` runs.

    Args:
        model: in `fit`, with its train function made.
        recorded: takes what the steps see.
    """

    def __init__(self, model: Any, recorded: Recorded) -> None:
        self._model, self._recorded = model, recorded
        self._own = model.train_function = _own_function(model)
        self._functions: dict[tuple[int, ...], Any] = {}

    def serves(self, model: Any) -> bool:
        """Return whether this probe was made for `model` as it is compiled now."""
        return model is self._model and _own_function(model) is self._own

    def next_step(self, junctions: Sequence[Junction], optimizer: Any) -> None:
        """Let the next step take gradients only: `optimizer` applies nothing."""
        self._exchange(junctions, lambda: untouched(optimizer))

    def watch_next_step(self, junctions: Sequence[Junction]) -> None:
        """Record the next step, which does what it always does."""
        self._exchange(junctions, nullcontext)

    def end(self) -> None:
        """Give the model its own function back."""
        self._model.train_function = self._own

    def _exchange(self, junctions: Sequence[Junction], around: Callable[[], Any]) -> None:
        # For one call only, so that an interrupted fit leaves nothing behind that lasts.
        def step(*arguments: Any) -> Any:  # an iterator or a batch; with JAX the state and an iterator
            self.end()
            with self._recorded.collecting(junctions), around():
                return self._recording(junctions)(*arguments)

        step.instead_of = self._own  # type: ignore[attr-defined]
        self._model.train_function = step

    def _recording(self, junctions: Sequence[Junction]) -> Any:
        """Return the model's step once more, traced while these kernels are recorded."""
        key = tuple(id(junction.kernel) for junction in junctions)
        if key not in self._functions:
            model, now, compiled = self._model, self._model.train_function, self._model.jit_compile
            try:
                with _made_anew(model):
                    model.make_train_function(force=True)
                self._functions[key] = model.train_function
            finally:
                model.jit_compile, model.train_function = compiled, now
        return self._functions[key]


@contextmanager
def _made_anew(model: Any) -> Iterator[None]:
    """Let the train function that is made inside be traced anew, and call back to the host."""
    if keras.backend.backend() != "jax":
        model.jit_compile = False  # XLA of TensorFlow and torch.compile cannot call back
        yield
        return
    step = model.train_step
    # JAX takes the same method for the function it has traced already.
    model.train_step = lambda state, data: step(state, data)
    try:
        yield
    finally:
        del model.train_step


def _own_function(model: Any) -> Any:
    """Return the model's train function, even where a fit was interrupted while it was exchanged."""
    return getattr(model.train_function, "instead_of", model.train_function)


@contextmanager
def untouched(optimizer: Any) -> Iterator[None]:
    """Let an optimizer apply nothing inside."""
    optimizer.apply = lambda grads, trainable_variables=None: None
    optimizer.stateless_apply = lambda optimizer_variables, grads, trainable_variables: (  # what JAX calls
        trainable_variables,
        optimizer_variables,
    )
    try:
        yield
    finally:
        del optimizer.apply, optimizer.stateless_apply
