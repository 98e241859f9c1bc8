"""A window on the backward: policies that grow by gradient see what the dense gradient is made of.

The dense gradient of a kernel is Xᵀ dY. It is never built here; a recorder receives X and dY at the moment the
backward has them, and computes what it needs (a blockwise top-k, say).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..kernel import SparseKernel

Tensor = Any
Recorder = Callable[["SparseKernel", Tensor, Tensor], None]
_recorder: ContextVar[Recorder | None] = ContextVar("keras_sparse_recorder", default=None)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Call `recorder(kernel, x, dy)` in the backward of every kernel that is traced or run inside.

    `x` [batch, n_in] holds the inputs and `dy` [batch, n_out] the gradient of the outputs; inside a
    `tf.function` they are symbolic and the recorder is called once, while the function is traced. The gradient
    must be taken inside the context too.

    Args:
        recorder: what to call; it must not return anything.
    """
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def current() -> Recorder | None:
    """Return the recorder in force, if any."""
    return _recorder.get()
