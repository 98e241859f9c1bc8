"""The variables of a sparse kernel: how its connections lie in memory and in files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import ref

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from .compute import decoding, exporting, host, paths, workers
from .kernel_state import HALF_BITS, WORD, Index, KernelState, join, split
from .topology.connectivity import Connectivity
from .topology.layout import STATE_SIZE, VERSION, Layout, fingerprint, pack, unpack

Tensor = Any


class KernelStorage:
    """The variables of one kernel, made through the layer's `add_weight` and never replaced.

    Attributes:
        values: trainable, [capacity].
        ids: packed local output ids (`Layout`), integers.
        rows: row pointers, [rows + 1]; the last one is the number of connections.
        vector: `KernelState` as integers.
        layout: the storage order.
        first_fingerprint: hash of the topology they were made with.
        written: number of connections written last; the choice of a compute path goes by it, since inside a
            function that is being traced the variables cannot always be read.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        layout: Layout,
        connectivity: Connectivity,
        values: NDArray[Any],
        *,
        seed: int,
        name: str,
        regularizer: Any = None,
    ) -> None:
        self._layer, self._name, self.layout = layer, name, layout
        self.written = len(connectivity)
        ids, rows = layout.encode(connectivity)
        self.first_fingerprint = fingerprint(layout.shape, ids, rows)
        state = KernelState(seed=seed, fingerprint=self.first_fingerprint)
        self.values = layer.add_weight(
            shape=(layout.capacity,),
            initializer=_constant(_padded(values, layout.capacity)),
            regularizer=regularizer,
            autocast=False,  # each compute path casts to what it wants
            name=name,
        )
        arrays = {
            "ids": pack(ids, layout.id_words(decoding.WORD_BITS), WORD),
            "rows": rows.astype(WORD),
            "state": state.pack(layout),
        }
        self.ids, self.rows, self.vector = (
            layer.add_weight(
                shape=array.shape,
                initializer=_constant(array),
                dtype=decoding.WORD_DTYPE,
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                name=f"{name}_{part}",
            )
            for part, array in arrays.items()
        )
        # tf.saved_model.save finds variables by the attributes of the layer.
        for part, variable in (("values", self.values), ("ids", self.ids), ("rows", self.rows), ("state", self.vector)):
            setattr(layer, f"_{name}_{part}", variable)
        self._decoded: tuple[int, ref[Connectivity]] | None = None
        self._known: tuple[host.View, host.View, int] | None = None
        self._exported: dict[str, tuple[int, Any]] = {}
        if workers.several() and host.view(self.rows).array.size:  # what the first worker drew is everyone's
            self.first_fingerprint = self.index().fingerprint

    @property
    def bytes(self) -> int:
        """Bytes of values and index."""
        variables = (self.values, self.ids, self.rows, self.vector)
        return sum(array.nbytes for array in map(exporting.read, variables))

    def index_tensors(self) -> tuple[Tensor, Tensor]:
        """Return (ids, rows) as tensors, read anew at every call of a compiled function."""
        return paths.value(self.ids), paths.value(self.rows)

    def index(self) -> Index:
        """Return the connections as they are stored; hashed anew only if a variable was written to."""
        ids, rows = host.view(self.ids), host.view(self.rows)
        if rows.array.size == 0:
            raise ValueError(
                f"{self.values.path} is being built inside a compiled function, so its connections cannot be read yet. "
                "Build the layer first, by calling it or its model once outside."
            )
        local = unpack(ids.array, self.layout.id_dtype)
        pointers = rows.array.astype(np.int64, copy=False)
        known = self._known
        if known is not None and ids.same(known[0]) and rows.same(known[1]):
            return Index(local, pointers, known[2])
        mark = fingerprint(self.layout.shape, local, pointers)
        self._know(ids, rows, mark)
        return Index(local, pointers, mark)

    def _know(self, ids: host.View, rows: host.View, mark: int) -> None:
        """Keep the hash, if it can be told later whether it still holds; the views take no memory of their own."""
        self._known = (ids, rows, mark) if ids.shared and rows.shared else None

    def count(self) -> int:
        """Return the number of connections."""
        return int(host.view(self.rows).array[-1]) if self._known is not None else self.index().size

    def fingerprint(self) -> int:
        """Return the hash of the topology that the variables hold now."""
        return self.index().fingerprint

    def state(self) -> KernelState:
        """Return the bookkeeping."""
        return KernelState.unpack(host.view(self.vector).array)

    def connectivity(self) -> Connectivity:
        """Return the connections in storage order; shared while somebody holds them and they have not changed."""
        ids, rows, now = self.index()
        known = self._decoded[1]() if self._decoded is not None and self._decoded[0] == now else None
        if known is None:
            try:
                known = self.layout.decode(ids, rows)
            except ValueError as error:
                raise ValueError(
                    f"{self.values.path}: its index variables hold no valid topology ({error}). Restore them from a "
                    "file of this model, or set all weights together with `set_weights`."
                ) from None
            self._remember(known, now)
        return known

    def _remember(self, connectivity: Connectivity, mark: int) -> None:
        """Keep a weak reference: decoded, a connection takes eight times its stored bytes."""
        self._decoded = (mark, ref(connectivity))

    def write(self, connectivity: Connectivity, values: NDArray[Any]) -> None:
        """Write connections in storage order with their values."""
        mark = self.write_index(*self.layout.encode(connectivity), values, self.state())
        self._remember(connectivity, mark)

    def write_index(self, ids: NDArray[Any], rows: NDArray[np.int64], values: NDArray[Any], state: KernelState) -> int:
        """Write connections that are encoded already, with their values, [K] or padded; return their fingerprint.

        Args:
            ids: local output ids, [K].
            rows: row pointers.
            values: weights, [K], or [capacity] with zeros at the end.
            state: the bookkeeping, but for the fingerprint.
        """
        mark = fingerprint(self.layout.shape, ids, rows)
        self._write(ids, rows, values, replace(state, fingerprint=mark))
        self._know(host.view(self.ids), host.view(self.rows), mark)
        return mark

    def note(self, **state: int) -> None:
        """Change fields of the bookkeeping alone."""
        host.write(self.vector, replace(self.state(), **state).pack(self.layout))

    def _write(self, ids: NDArray[Any], rows: NDArray[Any], values: NDArray[Any], state: KernelState) -> None:
        self.written = int(rows[-1])
        host.write(self.values, _padded(values, self.layout.capacity))
        host.write(self.ids, pack(ids, self.layout.id_words(decoding.WORD_BITS), WORD))
        host.write(self.rows, rows.astype(WORD, copy=False))
        host.write(self.vector, state.pack(self.layout))

    def exported_index(self, path_name: str, form: Callable[..., Tensor]) -> Tensor:
        """Return the connections in the form of a compute path, decoded once into a variable of the layer.

        For exports: the graph then holds no decoding, and the saved file the index once.
        """
        now = self.fingerprint()
        known = self._exported.get(path_name)
        if known is None or known[0] != now:
            connectivity = self.connectivity()
            index = exporting.variable(form, connectivity.inputs, connectivity.outputs, connectivity.shape)
            # An attribute of the layer, so that the SavedModel that captures it also tracks it.
            setattr(self._layer, f"_exported_{self._name}_{path_name}", index)
            known = self._exported[path_name] = (now, index)
        return known[1]

    def save(self, store: dict[str, Any], slots_fingerprint: int) -> None:
        """Write the connections that exist (not the tail) in storage order, and the bookkeeping."""
        ids, rows, _ = self.index()
        count = int(rows[-1])
        vector = exporting.read(self.vector).astype(np.int64)
        vector[11:13] = split(slots_fingerprint)
        store[self._name] = exporting.read(self.values)[:count]
        store[f"{self._name}_ids"] = ids[:count]
        store[f"{self._name}_rows"] = rows
        store[f"{self._name}_state"] = vector

    def loader(self, store: Any) -> tuple[Callable[[], None], int]:
        """Check a `store` that `save` filled; return (a function that assigns it, the slots' fingerprint).

        Raises:
            ValueError: naming the part of the file that does not fit; nothing has been assigned then.
        """
        where = f"{self.values.path}: the file does not fit"
        vector = _read(store, f"{self._name}_state", STATE_SIZE, where)
        if vector.shape != (STATE_SIZE,) or vector.dtype.kind not in "iu":
            raise ValueError(f"{where}: the kernel's state must be {STATE_SIZE} integers, got shape {vector.shape}.")
        here = self.layout
        theirs = (int(vector[0]), int(vector[1]), int(vector[2]), join(int(vector[9]), int(vector[10])))
        ours = (VERSION, here.block, here.id_bits, here.capacity)
        if theirs != ours:
            raise ValueError(
                f"{where}: its layout (version, block, id bits, capacity) is {theirs}, this kernel's is {ours}. "
                f"Build the layer with capacity={theirs[3]}, or load the whole model with keras.models.load_model."
            )
        values = _read(store, self._name, here.capacity, where)
        ids = _read(store, f"{self._name}_ids", here.capacity, where)
        rows = _read(store, f"{self._name}_rows", here.rows + 1, where)
        if ids.dtype != np.dtype(here.id_dtype) or ids.ndim != 1 or rows.dtype.kind not in "iu" or rows.ndim != 1:
            raise ValueError(f"{where}: ids must be {np.dtype(here.id_dtype)} and rows integers, both one-dimensional.")
        if not _is_float(values) or values.shape != ids.shape:
            raise ValueError(f"{where}: {len(ids)} connections need as many values, got {values.dtype} {values.shape}.")
        if not np.isfinite(values.astype("float32", copy=False)).all():
            raise ValueError(f"{where}: weights are NaN or infinite; training diverged, or the file is damaged.")
        if any(not 0 <= int(entry) < 1 << HALF_BITS + 1 for entry in vector):
            raise ValueError(f"{where}: an entry of the kernel's state is out of range.")
        rows = rows.astype(np.int64)
        try:
            connectivity = here.decode(ids, rows)
        except ValueError as error:
            raise ValueError(f"{where}: {error}.") from None
        if len(connectivity) != len(ids):
            raise ValueError(f"{where}: {len(ids)} ids for {len(connectivity)} connections.")
        state = KernelState.unpack(vector)
        if state.fingerprint != fingerprint(here.shape, ids, rows):
            raise ValueError(
                f"{where}: the topology's fingerprint is wrong, so the file was changed after it was saved."
            )
        slots = join(int(vector[11]), int(vector[12]))
        return lambda: self._write(ids, rows, values, state), slots


def _read(store: Any, key: str, most: int, where: str) -> NDArray[Any]:
    """Return an array of a file, unless it claims more entries than fit: then it is not read at all."""
    try:
        stored = store[key]
    except KeyError:  # its text is h5py's with Keras 3.12
        raise ValueError(f"{where}: {key!r} is absent; it was not saved from a sparse kernel.") from None
    if len(getattr(stored, "shape", ())) == 1 and stored.shape[0] > most:
        raise ValueError(f"{where}: {key} claims {stored.shape[0]:,} entries, where at most {most:,} fit.")
    return np.asarray(stored)


def _is_float(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" or array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def _padded(values: NDArray[Any], capacity: int) -> NDArray[Any]:
    if len(values) == capacity:
        return values
    padded = np.zeros(capacity, values.dtype)
    padded[: len(values)] = values
    return padded


def _constant(array: NDArray[Any]) -> Callable[..., Tensor]:
    return lambda shape, dtype=None: ops.convert_to_tensor(array, dtype=dtype)
