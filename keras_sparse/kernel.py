"""`SparseKernel`: a weight matrix that stores only its connections; the one place where topology meets compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from . import constraints, initializers
from .compute import decoding, delivery, dispatch, exporting, host, paths, recording
from .kernel_state import Index, KernelState
from .kernel_storage import KernelStorage
from .memory import check_memory
from .multiplier import Multiplier
from .slots_mark import SlotsMark
from .topology import counter_rng
from .topology.connectivity import Connectivity, Int64, check_shape
from .topology.layout import Layout
from .topology.patterns import Pattern

Tensor = Any
_VALUES_STREAM = 1  # counter-based streams of a kernel's seed; the pattern itself draws from stream 0


class SparseKernel:
    """The kernel [n_in, n_out] of a layer, stored as its connections.

    It owns four variables of the layer, made once and never replaced (see `kernel_storage`), so that everything it
    is travels with `get_weights`, checkpoints and files. `values[i]` is the weight from `connectivity.inputs[i]` to
    `connectivity.outputs[i]` for i < K; the tail up to the capacity is zero and is never multiplied.

    Args:
        layer: the Keras layer that owns the variables.
        shape: (n_in, n_out).
        connections: initial number of connections K; a pattern that rounds may draw another one.
        pattern: draws them; kept as the attribute `pattern`, for rewiring that must respect it.
        seed: of the pattern and the initial values.
        capacity: number of connections there is room for; default K.
        initializer: Keras initializer, see `initializers.draw`.
        regularizer: Keras regularizer; sees the values, [capacity].
        constraint: Keras constraint, see `constraints`.
        compute: "auto", "native", "stock", "dense" or "generic".
        name: name of the values variable and prefix of the others.

    Raises:
        ValueError: for arguments that do not fit together.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        shape: tuple[int, int],
        *,
        connections: int,
        pattern: Pattern,
        seed: int,
        capacity: int | None = None,
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        constraint: Any = None,
        compute: str = "auto",
        name: str = "kernel",
    ) -> None:
        self._layer = layer
        self.name = name
        self._shape = check_shape(shape)
        self._initializer = initializer
        self.compute = dispatch.check_requested(compute)
        self.pattern = pattern
        check_memory(Layout.of(self._shape, max(1, connections, capacity or 0)), connections, name)
        connectivity = pattern.sample(self._shape, connections, seed=seed)
        connections = len(connectivity)
        capacity = connections if capacity is None else capacity
        if not connections <= capacity <= self._shape[0] * self._shape[1]:
            raise ValueError(
                f"`capacity` must lie between the number of connections, {connections}, and the "
                f"{self._shape[0] * self._shape[1]} positions of the kernel; got {capacity}."
            )
        layout = Layout.of(self._shape, capacity)
        order = layout.order(connectivity)
        if order is not None:
            connectivity = Connectivity._trusted(
                connectivity.inputs[order], connectivity.outputs[order], connectivity.shape
            )
        key = (seed, _VALUES_STREAM, initializers.own_seed(initializer))
        degrees = connectivity.in_degrees, connectivity.out_degrees
        values = self.fresh(connectivity.inputs, connectivity.outputs, degrees, counter_rng.generator(*key))
        self._storage = KernelStorage(
            layer, layout, connectivity, values, seed=seed, name=name, regularizer=regularizer
        )
        # Not read back from the variables: inside a tf.function they have no value yet.
        self.slots_mark = SlotsMark(self._storage.first_fingerprint)
        self.next_capacity: int | None = None
        self.parts = 1  # equal ranges of outputs that rewiring sees as kernels of their own
        self.constraint: constraints.ConnectionConstraint | None = None
        if constraint is not None:
            self.constraint = constraints.ConnectionConstraint(constraint, self)
            self.values.constraint = self.constraint
        self.choice()  # a path that cannot run is an error now, not in the middle of a step

    def __len__(self) -> int:
        return self._storage.count()

    def __repr__(self) -> str:
        return f"SparseKernel({self.path}, {self.connectivity!r})"

    @property
    def owner(self) -> keras.layers.Layer:
        """The layer that its variables are of: the cell, of a recurrent layer."""
        return self._layer

    @property
    def values(self) -> keras.Variable:
        """The weights, a trainable variable [capacity] in storage order."""
        return self._storage.values

    @property
    def connectivity(self) -> Connectivity:
        """The connections, in storage order.

        Raises:
            ValueError: when the index variables were overwritten with something that is no topology.
        """
        return self._storage.connectivity()

    @property
    def shape(self) -> tuple[int, int]:
        """(n_in, n_out)."""
        return self._shape

    @property
    def density(self) -> float:
        """Number of connections / (n_in · n_out)."""
        return len(self) / (self._shape[0] * self._shape[1])

    @property
    def capacity(self) -> int:
        """Number of connections there is room for."""
        return self.layout.capacity

    @property
    def layout(self) -> Layout:
        """The storage order."""
        return self._storage.layout

    def build_layout(self) -> dict[str, Any]:
        """Return the layout for the layer's build configuration; `ks.resize` announces another capacity there."""
        layout = self.layout if self.next_capacity is None else Layout.of(self._shape, self.next_capacity)
        return layout.to_dict()

    @property
    def path(self) -> str:
        """Unique name within the model: the path of the values variable."""
        return self.values.path

    @property
    def seed(self) -> int:
        """The seed its connections were drawn from."""
        return self._storage.state().seed

    @property
    def index_variables(self) -> list[keras.Variable]:
        """The variables that hold the topology and its bookkeeping."""
        return [self._storage.ids, self._storage.rows, self._storage.vector]

    @property
    def bytes(self) -> int:
        """Bytes of values and index (without optimizer state)."""
        return self._storage.bytes

    def fingerprint(self) -> int:
        """Return a hash of the topology as it is now."""
        return self._storage.fingerprint()

    def state(self) -> KernelState:
        """Return the kernel's bookkeeping: seed, updates done, iteration of the last one, fingerprint."""
        return self._storage.state()

    def choice(self, *, portable: bool = False) -> dispatch.Choice:
        """Return the compute path products take here, or with `portable` in an exported model, and why."""
        device = paths.device()
        return dispatch.choose(
            self.compute,
            backend=keras.backend.backend(),
            device=device,
            shape=self._shape,
            connections=self._storage.written,
            capacity=self.capacity,
            dtype=self._layer.compute_dtype,
            native=paths.native_instruction_set() if device == "cpu" else None,
            portable=portable,
        )

    def to_dense(self) -> NDArray[Any]:
        """Return the kernel as a NumPy matrix [n_in, n_out]: for small kernels and for tests."""
        connectivity = self.connectivity
        values = self.host_values()
        matrix = np.zeros(self._shape, values.dtype)
        matrix[connectivity.inputs, connectivity.outputs] = values
        return matrix

    def matmul(self, x: Tensor, transpose: bool = False, *, bias: Tensor | None = None, relu: bool = False) -> Tensor:
        """Return x W: [..., n_in] to [..., n_out]; with `transpose` x Wᵀ: [..., n_out] to [..., n_in].

        Differentiable in `x`, the values and the bias.

        Args:
            x: activations; with TensorFlow also a `tf.SparseTensor` [batch, n_in], of which only the numbers that are
                there are multiplied.
            transpose: multiply with the transposed kernel.
            bias: added to the result, one number per feature; not for a transposed product.
            relu: let negative results become zero; a native kernel does both within the product.
        """
        if paths.sparse(x):
            return self._matmul_entries(
                ops.cast(x, self._layer.compute_dtype), transpose=transpose, bias=bias, relu=relu
            )
        return self.multiplier()(x, transpose, bias=bias, relu=relu)

    def multiplier(self, *, repeated: bool = False) -> Multiplier:
        """Return `matmul` for the kernel as it is now, for several products.

        Args:
            repeated: whether many products follow, so that a kernel that is nearly full is better built once.
        """
        exported = keras.backend.backend() == "tensorflow" and exporting.exporting()
        choice = SparseKernel.choice(self, portable=exported)  # that of matrix products
        if repeated:
            choice = dispatch.repeated(choice, self._shape, self._storage.written, self._layer.compute_dtype)
        if exported:
            choice = delivery.current().choice(choice, self.values)
        recorder = None if exported else recording.current()
        hook = None if recorder is None else recording.hook(recorder, self)
        return Multiplier(self._storage, choice, self._layer.compute_dtype, exported=exported, on_backward=hook)

    def _matmul_entries(self, x: Tensor, *, transpose: bool, bias: Tensor | None, relu: bool) -> Tensor:
        """Return x W of a `tf.SparseTensor` [batch, n_in]."""
        from .compute import sparse_inputs

        if transpose or len(x.shape) != 2:
            raise ValueError(
                f"{self.path}: sparse inputs must be [batch, {self._shape[0]}], and the product not be transposed; got "
                f"{x.shape}."
            )
        recorder, exported = recording.current(), exporting.exporting()
        y = sparse_inputs.matmul(
            x,
            paths.value(self.values),
            *self._storage.index_tensors(),
            self.layout,
            native=not exported and SparseKernel.choice(self).path == "native",
            exported=exported,
            on_backward=None if recorder is None else recording.hook(recorder, self),
        )
        return paths.finished(y, bias, relu)

    def outer(self, x: Tensor, y: Tensor) -> Tensor:
        """Return Σ x[..., input] · y[..., output] at every connection, [capacity]; the tail is zero.

        Args:
            x: [..., n_in].
            y: [..., n_out], with the same leading dimensions.
        """
        choice = SparseKernel.choice(self)
        path = paths.get(choice.module or choice.path)
        operands = path.operands(*self._storage.index_tensors(), self.layout)
        x = ops.reshape(ops.convert_to_tensor(x), [-1, self._shape[0]])
        y = ops.cast(ops.reshape(ops.convert_to_tensor(y), [-1, self._shape[1]]), x.dtype)
        return operands.unfit(path.outer(x, y, operands.index, self._shape))

    def assign(
        self,
        connectivity: Connectivity,
        values: Any,
        optimizer: keras.optimizers.Optimizer | None = None,
    ) -> None:
        """Replace the connections and their values.

        Args:
            connectivity: the new connections, any order, at most `capacity`.
            values: their weights, [K], in the order of `connectivity`.
            optimizer: if given, its slots follow the connections that exist before and after; new ones start
                with the optimizer's initial value. Without it the slots no longer belong to the connections, and the
                next `fit` with `Rewire`, or `ks.realign(model)`, resets them.

        Raises:
            ValueError: for another shape, too many connections or the wrong number of values; nothing is changed.
        """
        values = np.asarray(values)
        if connectivity.shape != self._shape:
            raise ValueError(f"{self.path}: expected a connectivity of shape {self._shape}, got {connectivity.shape}.")
        if values.shape != (len(connectivity),):
            raise ValueError(
                f"{self.path}: expected {len(connectivity)} values, one per connection; got shape {values.shape}."
            )
        if len(connectivity) > self.capacity:
            raise ValueError(
                f"{self.path}: {len(connectivity)} connections exceed the capacity of {self.capacity}. Build the layer "
                "with a larger `capacity`."
            )
        order = self.layout.order(connectivity)
        if order is not None:
            connectivity = Connectivity._trusted(connectivity.inputs[order], connectivity.outputs[order], self._shape)
            values = values[order]
        if optimizer is None:
            self._storage.write(connectivity, values)
            return
        from .rewiring import optimizer_state

        before = self.connectivity
        move = optimizer_state.Move.from_source(len(before), self.layout.match(before, connectivity))
        optimizer_state.carry(optimizer, self, move, values)
        self.replace(connectivity, values)
        self.mark_slots_aligned(optimizer)

    def replace(self, connectivity: Connectivity, values: NDArray[Any]) -> None:
        """Write connections that are in storage order and whose optimizer slots have been carried along."""
        self._storage.write(connectivity, values)
        self.mark_slots_aligned()

    def copy(self, other: SparseKernel) -> None:
        """Become what `other` is, a kernel of the same shape and perhaps another capacity.

        Its connections, values and bookkeeping; the optimizer's slots are the caller's.
        """
        self.assign(other.connectivity, other.host_values().copy())
        state = other.state()
        self._storage.note(seed=state.seed, updates=state.updates, last_iteration=state.last_iteration)
        # The mark depends on the storage order, which depends on the capacity.
        self.slots_mark.note(self.fingerprint() if other.slots_aligned() else other.slots_mark.fingerprint)

    def index(self) -> Index:
        """Return the connections as they are stored, without decoding them."""
        return self._storage.index()

    def replace_index(
        self, ids: NDArray[Any], rows: NDArray[np.int64], values: NDArray[Any], state: KernelState
    ) -> None:
        """Do what `replace` does with connections that are encoded already, see `KernelStorage.write_index`."""
        self.slots_mark.note(self._storage.write_index(ids, rows, values, state))

    def host_values(self) -> NDArray[Any]:
        """Return the weights of the connections that exist as NumPy, read-only, [K]."""
        return host.view(self.values).array[: len(self)]

    def typical(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return `count` initial values with the kernel's mean degrees as fans."""
        nowhere = np.zeros(count, np.int64)
        fan_in, fan_out = (np.array([len(self) / units]) for units in reversed(self._shape))
        return initializers.draw(self._initializer, nowhere, nowhere, fan_in, fan_out, rng)

    def note(self, state: KernelState) -> None:
        """Keep the bookkeeping `state`; the topology is what it was."""
        self._storage.note(last_iteration=state.last_iteration, updates=state.updates)

    def fresh(
        self, inputs: Int64, outputs: Int64, degrees: tuple[Int64, Int64], rng: np.random.Generator
    ) -> NDArray[Any]:
        """Return initial values of the connections at (inputs, outputs), given (in-degrees, out-degrees) of all."""
        return initializers.draw(self._initializer, inputs, outputs, *degrees, rng)

    def padded_positions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return (inputs, outputs, live) as tensors [capacity]; the tail lies at (n_in, n_out) and is not live."""
        inputs, outputs = decoding.positions(*self._storage.index_tensors(), self.layout)
        padding = [[0, self.capacity - cast(Any, ops.size(inputs))]]
        inputs = ops.reshape(ops.pad(inputs, padding, constant_values=self._shape[0]), [self.capacity])
        outputs = ops.reshape(ops.pad(outputs, padding, constant_values=self._shape[1]), [self.capacity])
        return inputs, outputs, outputs < self._shape[1]

    def save(self, store: dict[str, Any]) -> None:
        """Put values, ids, rows and layout into `store`, the dict of `save_own_variables`."""
        self._storage.save(store, self.slots_mark.fingerprint)

    def loader(self, store: dict[str, Any]) -> Callable[[], None]:
        """Check what `save` wrote and return a function that assigns it; nothing is changed before it is called.

        Raises:
            ValueError: naming what does not fit.
        """
        write, slots_fingerprint = self._storage.loader(store)

        def load() -> None:
            write()
            self.slots_mark.restore(slots_fingerprint)

        return load

    def mark_slots_aligned(self, optimizer: Any = None) -> None:
        """Note that the slots, those of `optimizer` if it is given, belong to the connections that exist now."""
        self.slots_mark.note(self._storage.fingerprint(), optimizer)

    def slots_aligned(self, optimizer: Any = None) -> bool:
        """Return whether the slots, those of `optimizer` if it is given, belong to the connections that exist now."""
        return self.slots_mark.fits(self._storage.fingerprint(), optimizer)
