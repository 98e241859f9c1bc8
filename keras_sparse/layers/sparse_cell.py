"""What the recurrent cells have in common: two sparse kernels, and the products of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import keras
from keras import ops

from .. import constraints, initializers
from ..compute import paths
from ..compute.dispatch import check_requested
from ..multiplier import Multiplier
from ..topology import counter_rng
from ..topology.densities import DensityRule
from ..topology.patterns import Pattern
from .sparse_layer import (
    SparseLayer,
    checked_capacity,
    checked_density,
    checked_pattern,
    checked_regularizer,
    checked_units,
    kernel_seed,
    saved_density,
)

Tensor = Any
RECURRENT_INITIALIZER = "lecun_normal"
_RECURRENT_STREAM = 2  # of the seed, beside those of the kernel


@dataclass(frozen=True)
class Factors:
    """What a step multiplies with.

    Attributes:
        kernel: multiplies the inputs.
        recurrent: multiplies the state.
        bias: of the first product, [gates · units], or None.
        recurrent_bias: of the second.
    """

    kernel: Multiplier
    recurrent: Multiplier
    bias: Tensor | None
    recurrent_bias: Tensor | None


class SparseCell(SparseLayer):
    """Mixin before a Keras cell, whose matrices become sparse kernels [n, gates · units].

    Attributes:
        gates: how many gates stand side by side in the kernels.
        sequence_cell: what the native kernels that go through a whole sequence call it.
    """

    gates: ClassVar[int]
    sequence_cell: ClassVar[str]
    units: int
    activation: Any
    recurrent_activation: Any
    bias_initializer: Any

    def __init__(
        self,
        units: int,
        *,
        density: float | DensityRule | None = None,
        recurrent_density: float | DensityRule | None = None,
        pattern: Pattern | None = None,
        recurrent_pattern: Pattern | None = None,
        capacity: int | None = None,
        recurrent_capacity: int | None = None,
        compute: str = "auto",
        keep_gates: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = RECURRENT_INITIALIZER,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        who = kwargs.get("name") or type(self).__name__
        cast(Any, super()).__init__(
            checked_units(units, who),
            kernel_initializer=initializers.check(kernel_initializer, who),
            recurrent_initializer=initializers.check(recurrent_initializer, who, instead=RECURRENT_INITIALIZER),
            kernel_regularizer=checked_regularizer(kernel_regularizer, who),
            recurrent_regularizer=checked_regularizer(recurrent_regularizer, who),
            kernel_constraint=constraints.check(kernel_constraint, who),
            recurrent_constraint=constraints.check(recurrent_constraint, who),
            seed=seed,
            **kwargs,
        )
        self.density = checked_density(density)
        self.recurrent_density = checked_density(recurrent_density)
        self.pattern = checked_pattern(pattern, who)
        self.recurrent_pattern = checked_pattern(recurrent_pattern, who, "recurrent_pattern")
        self.capacity = checked_capacity(capacity, who)
        self.recurrent_capacity = checked_capacity(recurrent_capacity, who, "recurrent_capacity")
        self.compute = check_requested(compute)
        self.keep_gates = keep_gates
        for chosen in (self.pattern, self.recurrent_pattern):
            if keep_gates and getattr(chosen, "kept_through_rewiring", False):
                raise ValueError(
                    f"{who}: `keep_gates` is for connections that move one by one, and {chosen!r} is kept through "
                    "rewiring. Leave one of them out."
                )
        self._kernel_seed = kernel_seed(seed)
        # tf.sparse does not compile under XLA; the generic path of other backends does.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self._factors: Factors | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create both kernels and the bias for inputs [batch, n_in]."""
        n_in = input_shape[-1]
        if n_in is None:
            raise ValueError(
                f"{self.name}: the last dimension of the inputs must be known to build the kernel; got {input_shape}."
            )
        wide = self.gates * self.units
        self.kernel = self._add_kernel(
            (n_in, wide),
            density=self.density,
            pattern=self.pattern,
            capacity=self.capacity,
            seed=self._kernel_seed,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        # The same density by default, unless the pattern brings its own number of connections.
        inherits = self.recurrent_density is None and not hasattr(self.recurrent_pattern, "count")
        self.recurrent_kernel = self._add_kernel(
            (self.units, wide),
            name="recurrent_kernel",
            density=self.density if inherits else self.recurrent_density,
            pattern=self.recurrent_pattern,
            capacity=self.recurrent_capacity,
            # Of the same size, both would be alike with one seed.
            seed=int(counter_rng.generator(self._kernel_seed, _RECURRENT_STREAM).integers(2**62)),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        for kernel in (self.kernel, self.recurrent_kernel):
            kernel.parts = self.gates if self.keep_gates else 1
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self._bias_shape(),
                initializer=self._first_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _first_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        return self.bias_initializer(shape, dtype=dtype)

    def _biases(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the biases of the two products."""
        return (None if self.bias is None else paths.value(self.bias)), None

    @contextmanager
    def repeating(self) -> Iterator[Factors]:
        """Read and prepare the kernels once for all the steps that are traced or run inside."""
        self._factors = self._read(repeated=True)
        try:
            yield self._factors
        finally:
            self._factors = None

    def _plain(self) -> bool:
        """Return whether the activations are those that the native kernels of sequences know."""
        known = keras.activations
        gated = self.gates == 1 or self.recurrent_activation is known.sigmoid
        return gated and self.activation is known.tanh

    def whole_sequence(
        self, by: Factors, sequences: Tensor, states: list[Tensor], *, training: bool, **how: Any
    ) -> tuple[Tensor, list[Tensor]] | None:
        """Return (outputs, last states) of all steps, computed at once by the native kernels.

        None where they cannot: on other compute paths, with other activations, with dropout of the state, or while a
        policy looks at the gradient.

        Args:
            by: the kernels.
            sequences: [batch, time, n_in].
            states: the first ones.
            training: whether dropout acts.
            **how: `mask`, `backwards` and `every`, see `compute.native.recurrent.recur`.
        """
        if by.kernel.stored is None or by.recurrent.stored is None or not self._plain():
            return None
        dropped = self._input_mask(sequences[:, 0], training)
        if isinstance(dropped, Sequence) or self._state_mask(states[0], training) is not None:
            return None
        from ..compute.native.recurrent import Factor, recur

        x: Tensor = ops.cast(sequences, self.compute_dtype)
        if dropped is not None:
            x *= ops.expand_dims(dropped, 1)
        kernel, recurrent = Factor(*by.kernel.stored, by.bias), Factor(*by.recurrent.stored, by.recurrent_bias)
        return recur(x, states, kernel, recurrent, cell=self.sequence_cell, keep=bool(training), **how)

    def _read(self, *, repeated: bool = False) -> Factors:
        kernel, recurrent = (k.multiplier(repeated=repeated) for k in (self.kernel, self.recurrent_kernel))
        return Factors(kernel, recurrent, *self._biases())

    def _input_mask(self, inputs: Tensor, training: bool) -> Any:
        """Return the dropout mask of the inputs, a list with one per gate, or None."""
        return self.get_dropout_mask(inputs) if training and 0 < self.dropout < 1 else None

    def _state_mask(self, state: Tensor, training: bool) -> Any:
        """Return the dropout mask of the state, a list with one per gate, or None."""
        return self.get_recurrent_dropout_mask(state) if training and 0 < self.recurrent_dropout < 1 else None

    def _split(self, z: Tensor) -> list[Tensor]:
        """Return the gates of [batch, gates · units]."""
        return list(cast(Any, ops.split(z, self.gates, axis=-1)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        saved = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "density": saved_density(self.density),
            "recurrent_density": saved_density(self.recurrent_density),
            "pattern": saved(self.pattern),
            "recurrent_pattern": saved(self.recurrent_pattern),
            "capacity": self.capacity,
            "recurrent_capacity": self.recurrent_capacity,
            "compute": self.compute,
            **({"keep_gates": self.keep_gates} if self.gates > 1 else {}),
        }


def multiplied(multiply: Multiplier, x: Tensor, mask: Any, units: int, bias: Tensor | None = None) -> Tensor:
    """Return x W + bias, [batch, gates · units], for inputs that are masked.

    Args:
        multiply: with the kernel.
        x: [batch, n].
        mask: None, one for all gates, or a list with one per gate: then the whole product is taken once per gate.
        units: width of a gate.
        bias: [gates · units], or None.
    """
    if not isinstance(mask, Sequence):
        return multiply(x if mask is None else x * mask, bias=bias)
    wide = [multiply(x * part, bias=bias) for part in mask]
    return ops.concatenate([z[:, i * units : (i + 1) * units] for i, z in enumerate(wide)], axis=-1)
