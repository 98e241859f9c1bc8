"""How the connections of a kernel get into an exported graph, and in which form they are multiplied there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import exporting, paths
from .dispatch import Choice

if TYPE_CHECKING:
    from ..kernel_storage import KernelStorage

Tensor = Any
Way = Literal["variable", "load", "constant"]
Form = Literal["dense", "sparse"]


@dataclass
class Plan:
    """What becomes of the sparse kernels of one export.

    Attributes:
        way: "variable": the decoded index is a variable. "load": the file holds the stored index, and what is
            multiplied with is made of it once, when the SavedModel is loaded. "constant": for converters that freeze
            the graph.
        forms: by the id of a kernel's values; the others take the form that `dispatch` chose.
        loaded: what is made on loading; the SavedModel must track it.
        variables: Keras variables that it is made of; the SavedModel must track them, too.
    """

    way: Way
    forms: Mapping[int, Form] = field(default_factory=dict)
    loaded: list[Any] = field(default_factory=list)
    variables: list[Any] = field(default_factory=list)
    _made: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def choice(self, choice: Choice, values: Any, *, convolution: bool = False) -> Choice:
        """Return the path of the kernel with these `values`, where `dispatch` would take `choice`.

        Raises:
            ValueError: a convolution too large for the constants of a converter.
        """
        form = self.forms.get(id(values), "dense" if choice.path == "dense" else "sparse")
        if form == "dense":
            return Choice("dense", choice.reason)
        if self.way != "constant":
            return choice if choice.path == "generic" and self.way == "variable" else Choice("stock", choice.reason)
        if convolution:
            raise ValueError(
                f"{values.path}: LiteRT and ONNX have no sparse convolution, and the whole kernel would be too large: "
                f"{choice.reason}. Export a SavedModel instead."
            )
        return Choice("gathered", choice.reason)

    def matrix(self, storage: KernelStorage, dtype: str) -> Tensor:
        """Return the whole kernel, [n_in, n_out], in `dtype`."""
        from . import dense, stock

        layout = storage.layout

        def decoded() -> Tensor:
            import tensorflow as tf

            inputs, outputs = stock.positions(*storage.index_tensors(), layout)
            values = tf.cast(paths.value(storage.values), dtype)[: tf.shape(inputs)[0]]
            return dense.matrix(values, dense.index(inputs, outputs, layout.shape), layout.shape)

        if self.way == "load":
            return self._loaded(storage, "matrix", decoded, dtype, layout.shape)
        import tensorflow as tf

        if self.way == "constant":
            connectivity, values = storage.connectivity(), exporting.read(storage.values)
            whole = np.zeros(layout.shape, values.dtype)
            whole[connectivity.inputs, connectivity.outputs] = values[: len(connectivity)]
            return tf.cast(tf.constant(whole), dtype)
        index = storage.exported_index("dense", dense.index)
        return dense.matrix(tf.cast(paths.value(storage.values), dtype)[: storage.count()], index, layout.shape)

    def index(self, storage: KernelStorage, name: str, form: Callable[..., Tensor]) -> Tensor:
        """Return the positions of the connections in the `form` of the path `name`."""
        if self.way == "variable":
            return storage.exported_index(name, form)
        if self.way == "constant":
            connectivity = storage.connectivity()
            return form(connectivity.inputs, connectivity.outputs, connectivity.shape)
        from . import stock

        layout = storage.layout

        def decoded() -> Tensor:
            return form(*stock.positions(*storage.index_tensors(), layout), layout.shape)

        return self._loaded(storage, name, decoded, "int64", (storage.count(), 2))

    def _loaded(
        self, storage: KernelStorage, name: str, make: Callable[[], Tensor], dtype: str, shape: tuple[int, ...]
    ) -> Tensor:
        from .loaded import Loaded

        key = id(storage.values), name, dtype
        if key not in self._made:
            self._made[key] = Loaded(make, dtype, shape, f"{storage.values.path}/{name}/{dtype}")
            self.loaded.append(self._made[key])
            self.variables += [storage.ids, storage.rows, *([storage.values] if name == "matrix" else [])]
        return self._made[key].read()


_plan: ContextVar[Plan | None] = ContextVar("keras_sparse_plan", default=None)


@contextmanager
def delivering(plan: Plan) -> Iterator[Plan]:
    """Trace sparse layers as `plan` says, with stock operations, inside this context."""
    token = _plan.set(plan)
    try:
        with exporting.stock_ops():
            yield plan
    finally:
        _plan.reset(token)


def current() -> Plan:
    """Return the plan of the export that is being traced."""
    return _plan.get() or Plan("constant" if exporting.converting() else "variable")
