"""Keras' weight constraints, applied to connections instead of to a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import constraints as kc
from keras import ops
from numpy.typing import NDArray

from .topology.connectivity import Connectivity

if TYPE_CHECKING:
    from .kernel import SparseKernel

Tensor = Any
Floats = NDArray[np.floating[Any]]
_NORMS = (kc.MaxNorm, kc.MinMaxNorm, kc.UnitNorm)


def check(constraint: Any, layer: str) -> Any:
    """Return Keras' constraint object, or None; raise ValueError if it cannot act on connections."""
    constraint = keras.constraints.get(constraint)
    if constraint is None:
        return None
    name = getattr(constraint, "__name__", type(constraint).__name__)
    if type(constraint) in _NORMS:
        if constraint.axis not in (0, [0], (0,)):
            raise ValueError(
                f"{layer}: {name}(axis={constraint.axis}) needs the kernel as a matrix. On a sparse kernel norms "
                f"are taken per output unit over its connections: use {name}(axis=0)."
            )
    elif not _elementwise(constraint):
        raise ValueError(
            f"{layer}: the constraint {name} does not act on every weight by itself, and a sparse kernel is no "
            "matrix. Use an elementwise one (NonNeg, or a function of each weight alone) or a norm with axis=0."
        )
    return constraint


def _elementwise(constraint: Callable[[Tensor], Tensor]) -> bool:
    """Tell whether f(w)[i] depends on w[i] alone, by trying: the whole, a part and a permutation."""
    probe = np.random.default_rng(0).normal(0, 2, 24).astype("float32")
    order = np.random.default_rng(1).permutation(24)

    def apply(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(ops.convert_to_numpy(constraint(ops.convert_to_tensor(values))))

    try:
        whole = apply(probe)
        return (
            whole.shape == probe.shape
            and np.array_equal(whole[:5], apply(probe[:5]))
            and np.array_equal(whole[order], apply(probe[order]))
        )
    except Exception:  # whatever a function of a matrix raises when it gets a vector
        return False


class ConnectionConstraint(kc.Constraint):
    """A Keras constraint as the optimizer calls it on the values of a kernel, [capacity] to [capacity].

    Norm constraints act per output unit over its connections (axis 0 of a dense kernel), others on every value.
    """

    def __init__(self, constraint: Any, kernel: SparseKernel) -> None:
        self.constraint = constraint
        self._kernel = kernel

    def __call__(self, values: Tensor) -> Tensor:
        """Return the constrained values; the unused tail stays zero."""
        values = ops.convert_to_tensor(values)
        _, outputs, live = self._kernel.padded_positions()
        if type(self.constraint) in _NORMS:
            n_out = self._kernel.shape[1]
            squares = ops.segment_sum(ops.square(values), outputs, num_segments=n_out + 1)
            norms = ops.sqrt(squares)
            # Keras divides by norm + epsilon, so a unit without any weight stays at zero.
            scale = self._wanted(norms) / (norms + keras.config.epsilon())
            return values * ops.take(scale, outputs)
        return ops.where(live, self.constraint(values), ops.zeros_like(values))

    def fit_newcomers(self, connectivity: Connectivity, values: Floats, new: NDArray[np.bool_]) -> Floats:
        """Return `values` with newcomers that satisfy the constraint; survivors keep theirs.

        A norm is met by scaling the newcomers of each unit, as far as its survivors leave room.

        Args:
            connectivity: the connections, survivors and newcomers, in the order of `values`.
            values: [K].
            new: True for newcomers, [K].
        """
        if type(self.constraint) not in _NORMS:
            fitted = np.array(values)
            fitted[new] = ops.convert_to_numpy(self.constraint(ops.convert_to_tensor(values[new])))
            return fitted
        n_out = connectivity.shape[1]
        squares = values.astype(np.float64) ** 2
        ours = np.bincount(connectivity.outputs[new], squares[new], minlength=n_out)
        others = np.bincount(connectivity.outputs[~new], squares[~new], minlength=n_out)
        wanted = np.asarray(ops.convert_to_numpy(self._wanted(ops.convert_to_tensor(np.sqrt(ours + others))))) ** 2
        room = np.maximum(0.0, wanted - others)
        scale = np.sqrt(np.divide(room, ours, out=np.zeros(n_out), where=ours > 0))
        return np.where(new, values * scale[connectivity.outputs], values).astype(values.dtype)

    def _wanted(self, norms: Tensor) -> Tensor:
        """Return the norm the constraint turns `norms` into (keras/src/constraints)."""
        rule = self.constraint
        if isinstance(rule, kc.MaxNorm):
            return ops.clip(norms, 0, rule.max_value)
        if isinstance(rule, kc.UnitNorm):
            return ops.where(norms > 0, ops.ones_like(norms), ops.zeros_like(norms))
        return rule.rate * ops.clip(norms, rule.min_value, rule.max_value) + (1 - rule.rate) * norms
