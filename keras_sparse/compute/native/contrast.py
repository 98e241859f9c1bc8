"""The native op of contrastive divergence as a Python function; see `ops`."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from .ops import Stored, native_ops, shaped, sizes

Tensor = Any


class Contrast(NamedTuple):
    """What a step of contrastive divergence finds.

    Attributes:
        values: Σ v h of the data less that of the model's samples, at the connections, [capacity].
        visible: the same of v, [n_in].
        hidden: the same of h, [hidden_units].
        error: Σ (v - reconstruction)² of every sample, [batch].
        energy: free energy of every sample, [batch].
    """

    values: Tensor
    visible: Tensor
    hidden: Tensor
    error: Tensor
    energy: Tensor


def contrast(
    x: Tensor, values: Tensor, index: Stored, visible_bias: Tensor, hidden_bias: Tensor, *, steps: int, seed: Tensor
) -> Contrast:
    """Return the statistics of CD-`steps` (Hinton 2002): hidden units are sampled, visible ones are probabilities.

    Args:
        x: the visible units of the data, float32 [batch, n_in].
        values: float32, [capacity].
        index: the stored connections.
        visible_bias: float32, [n_in].
        hidden_bias: float32, [hidden_units].
        steps: of Gibbs sampling.
        seed: of the samples, int64 [1]. The numbers are Philox', the same for any number of threads.
    """
    found = native_ops().keras_sparse_contrast(
        x, values, visible_bias, hidden_bias, seed, index.ids, index.rows, steps=steps, **sizes(index)
    )
    n_in, n_out = index.layout.shape
    lengths = (index.layout.capacity, n_in, n_out, x.shape[0], x.shape[0])
    return Contrast(*(shaped(part, length) for part, length in zip(found, lengths, strict=True)))


tf.no_gradient("KerasSparseContrast")
