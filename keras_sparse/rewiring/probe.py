"""Steps that show a policy the dense gradient of the loss, in factors.

A probe is one call of `model.train_function` that takes a batch and its gradients but leaves the weights alone: Keras
looks the function up at every step, so it can be exchanged for one call. A watch is the model's own step, recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from ..compute import recording
from ..junctions import Junction
from .gradient import Gradient

Tensor = Any


class Recorded:
    """What the backward of some kernels had: fill it inside `collecting`, then ask for `gradients`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kernels: set[int] = set()
        self._parts: dict[tuple[int, int], list[tuple[Any, Any]]] = {}  # by kernel and replica

    @contextmanager
    def collecting(self, junctions: Sequence[Junction]) -> Iterator[None]:
        """Record what is traced or run inside; functions traced inside record whenever they run."""
        self._parts.clear()
        self._kernels = {id(junction.kernel) for junction in junctions}
        with recording.recording(self._record):
            yield

    def _record(self, kernel: Any, x: Tensor, dy: Tensor) -> None:
        if id(kernel) not in self._kernels:  # of another model, in another thread
            return

        def sink(replica: int, left: Any, right: Any) -> None:
            with self._lock:
                self._parts.setdefault((id(kernel), replica), []).append((left, right))

        recording.to_host(x, dy, sink)

    def put(self, kernel: Any, x: Any, dy: Any) -> None:
        """Take X and dY of `kernel` as if a step had been recorded."""
        self._parts[id(kernel), 0] = [(x, dy)]

    def __bool__(self) -> bool:
        return bool(self._parts)

    def gradients(self, junctions: Sequence[Junction], who: str) -> dict[int, Gradient]:
        """Return the gradients of `junctions` by their numbers.

        Raises:
            ValueError: when the loss does not depend on one of them.
        """
        found = {}
        for junction in junctions:
            # Every replica saw the whole batch; one of them is enough.
            replicas = sorted(replica for kernel, replica in self._parts if kernel == id(junction.kernel))
            if not replicas:
                raise ValueError(
                    f"{who} needs the gradient of {junction.name}, but the step took none: the loss does not depend on "
                    "it, or its layer is frozen. Name the layers to rewire by `layers=`."
                )
            parts = self._parts[id(junction.kernel), replicas[0]]
            found[junction.number] = Gradient(junction.kernel.layout, parts)
        return found


class Probe:
    """Exchanges a model's train function while `fit` runs.

    Args:
        model: in `fit`, with its train function made.
        recorded: takes what the steps see.

    Raises:
        ValueError: on another Keras backend than TensorFlow.
    """

    def __init__(self, model: Any, recorded: Recorded) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "Growth by gradient needs Keras' TensorFlow backend; this is "
                f"{keras.backend.backend()}. Use a policy that grows at random, such as ks.SET()."
            )
        self._model, self._recorded = model, recorded
        own = model.train_function
        self._own = getattr(own, "instead_of", own)  # an interrupted fit may have left ours behind
        self._function: Any = None

    def next_step(self, junctions: Sequence[Junction]) -> None:
        """Let the next step take gradients only."""

        def probe(iterator: Any) -> Any:
            self.end()
            with self._recorded.collecting(junctions), untouched(self._model.optimizer):
                return self._recording()(iterator)

        self._exchange(probe)

    def all_steps(self, junctions: Callable[[], Sequence[Junction]]) -> None:
        """Record every step from now on; the steps do what they always do."""

        def watch(iterator: Any) -> Any:
            with self._recorded.collecting(junctions()):
                return self._recording()(iterator)

        self._exchange(watch)

    def end(self) -> None:
        """Give the model its own function back."""
        self._model.train_function = self._own

    def _exchange(self, function: Any) -> None:
        function.instead_of = self._own
        self._model.train_function = function

    def _recording(self) -> Any:
        """Return the model's step once more, to be traced while it is recorded."""
        function = self._function
        if function is None:
            model, now = self._model, self._model.train_function
            compiled, model.jit_compile = model.jit_compile, False  # XLA cannot call back to the host
            try:
                model.make_train_function(force=True)
                self._function = function = model.train_function
            finally:
                model.jit_compile, model.train_function = compiled, now
        return function


@contextmanager
def untouched(optimizer: Any) -> Iterator[None]:
    """Let an optimizer apply nothing inside."""
    optimizer.apply = lambda grads, trainable_variables=None: None
    try:
        yield
    finally:
        del optimizer.apply
