"""A window on the backward: policies that grow by gradient see what the dense gradient is made of.

The dense gradient of a kernel is Xᵀ dY. It is never built here; a recorder receives X and dY at the moment the
backward has them, and computes what it needs (a blockwise top-k, say).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from . import workers

if TYPE_CHECKING:
    from ..kernel import SparseKernel

Tensor = Any
Recorder = Callable[["SparseKernel", Tensor, Tensor], None]
# Those in force. Not a context variable: replicas of a strategy run in threads of their own.
_recorders: list[Recorder] = []


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Call `recorder(kernel, x, dy)` in the backward of every kernel that is traced or run inside.

    `x` [batch, n_in] holds the inputs and `dy` [batch, n_out] the gradient of the outputs; inside a
    `tf.function` they are symbolic and the recorder is called once, while the function is traced. The gradient
    must be taken inside the context too.

    Args:
        recorder: what to call; it must not return anything.
    """
    _recorders.append(recorder)
    try:
        yield
    finally:
        _recorders.remove(recorder)


def to_host(x: Tensor, dy: Tensor, sink: Callable[[int, Any, Any], None]) -> None:
    """Hand X and dY to `sink` as arrays of the host (float32), whenever the backward runs.

    Every replica hands in its own; under a strategy of several processes those of the whole batch.

    Args:
        x: [batch, n_in].
        dy: [batch, n_out].
        sink: called with (replica, x, dy), from a thread of the backend's; the number of a replica that hands in the
            whole batch is negative. `arrived` tells that all calls have been made.

    Raises:
        ValueError: inside a loop, such as that of a recurrent layer, under a strategy of several processes.
    """
    x, dy = ops.cast(x, "float32"), ops.cast(dy, "float32")
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.debug.callback(lambda left, right: sink(0, left, right), x, dy)
    if backend != "tensorflow":
        return sink(0, np.array(ops.convert_to_numpy(x)), np.array(ops.convert_to_numpy(dy)))
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    number = 0 if context is None else context.replica_id_in_sync_group
    if workers.several() and context is not None:
        number = -1 - number
        try:
            # Several workers gather only tensors with a device, which arguments of a function do not have.
            x, dy = (context.all_gather(tf.identity(part), axis=0) for part in (x, dy))
        except RuntimeError:  # workers do not talk to each other in the middle of a loop
            raise ValueError(
                "Under a strategy of several workers a policy that grows by gradient cannot look into the steps of a "
                "recurrent layer. Use one that grows at random, such as ks.SET(), or leave the layer out by `layers=`."
            ) from None
    tf.numpy_function(lambda replica, left, right: sink(int(replica), left, right), [number, x, dy], [])
    return None


def arrived() -> None:
    """Wait until all that backwards handed to sinks so far is there."""
    if keras.backend.backend() == "jax":
        import jax

        jax.effects_barrier()


def current() -> Recorder | None:
    """Return what calls all recorders in force, if there are any."""
    if len(_recorders) < 2:
        return _recorders[-1] if _recorders else None
    together = list(_recorders)

    def each(kernel: SparseKernel, x: Tensor, dy: Tensor) -> None:
        for recorder in together:
            recorder(kernel, x, dy)

    return each


def hook(recorder: Recorder, kernel: SparseKernel) -> Callable[[Tensor, Tensor], None]:
    """Return what a backward calls. TensorFlow keeps it for the life of the process: it must not keep the kernel."""
    reference = weakref.ref(kernel)

    def called(x: Tensor, dy: Tensor) -> None:
        kernel = reference()
        if kernel is not None:
            recorder(kernel, x, dy)

    return called


def watched(y: Tensor, on_backward: Callable[[Tensor, Tensor], None], x: Tensor) -> Tensor:
    """Return y; `on_backward` is called with its gradient when that passes, and with `x`."""

    @ops.custom_gradient
    def same(y: Tensor, x: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, Tensor]]]:
        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor]:
            dy = args[0] if upstream is None else upstream
            on_backward(dy, x)
            return dy, ops.zeros_like(x)

        return ops.copy(y), gradient

    return same(y, x)  # JAX knows x in the gradient only as an argument
