"""What the recurrent layers have in common: a cell whose kernels are read once for all time steps."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

import keras
from keras import ops

from .sparse_cell import SparseCell
from .sparse_layer import restored

Tensor = Any
_OF_THE_LAYER = ("name", "dtype", "trainable", "autocast", "input_shape", "batch_shape", "batch_size")


class SparseRNN(keras.layers.RNN):
    """keras.layers.RNN over a sparse cell; the public layers say which, and what their arguments are.

    Attributes:
        cell_class: makes the cell.
        cell: holds the weights.
    """

    cell_class: ClassVar[type[Any]]
    cell: SparseCell

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        activity_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        ours = {name: kwargs.pop(name) for name in _OF_THE_LAYER if name in kwargs}
        both = {name: ours[name] for name in ("dtype", "trainable") if name in ours}
        super().__init__(
            self.cell_class(units, name="cell", **both, **kwargs),
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **ours,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def __getattr__(self, name: str) -> Any:
        """Return what belongs to the cell, such as `units` and `bias`; `build` makes the kernels the layer's own."""
        try:
            return cast(Any, super()).__getattr__(name)  # modules of PyTorch keep layers and tensors apart
        except AttributeError:
            if name.startswith("_") or name in ("cell", "kernel", "recurrent_kernel"):
                raise AttributeError(
                    f"{type(self).__name__} has no attribute {name!r}; kernels it has once it is built."
                ) from None
        return getattr(self.cell, name)

    def build(self, sequences_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        """Create the cell's kernels and bias for sequences [batch, time, n_in], and states if it is stateful."""
        super().build(sequences_shape, initial_state_shape)
        # Attributes, not properties: so junctions are found here, under the layer's name.
        self.kernel, self.recurrent_kernel = self.cell.kernel, self.cell.recurrent_kernel

    def inner_loop(self, sequences: Tensor, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Return (last output, outputs, states) of all steps: at once where that can be done, else step by step."""
        with self.cell.repeating() as factors:
            result = None
            if not self.unroll and (mask is None or len(mask.shape) == 2):
                mask = mask if mask is None else ops.cast(mask, "bool")
                states = list(initial_state) if isinstance(initial_state, list | tuple) else [initial_state]
                result = self.cell.whole_sequence(
                    factors,
                    sequences,
                    states,
                    training=training,
                    mask=mask,
                    backwards=self.go_backwards,
                    every=self.return_sequences,
                )
            if result is None:
                return super().inner_loop(sequences, initial_state, mask, training)
        outputs, states = result
        if mask is not None:
            outputs = self._masked(outputs, mask)
        return outputs[:, -1], outputs, states

    def _masked(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs with zeros where Keras has them: before the first step that counts, or at all others."""
        taken = ops.flip(mask, 1) if self.go_backwards else mask
        if not self.zero_output_for_mask:
            taken = ops.cumsum(ops.cast(taken, "int32"), 1) > 0
        taken = taken if self.return_sequences else taken[:, -1:]
        return ops.where(ops.expand_dims(taken, -1), outputs, ops.zeros_like(outputs))

    def get_build_config(self) -> dict[str, Any]:
        """Return the input shape and the kernels' storage layouts."""
        return {**(super().get_build_config() or {}), **self.cell.layouts()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build with the capacities that the saved layer had."""
        super().build_from_config(self.cell.expect(config))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["cell"]
        regularizer = keras.regularizers.serialize(self.activity_regularizer)
        return {**self.cell.get_config(), **config, "activity_regularizer": regularizer}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Return the layer that `get_config` described."""
        with keras.saving.CustomObjectScope(custom_objects or {}):
            return cls(**restored(config))
