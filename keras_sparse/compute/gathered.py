"""The gathered path: gather and sum by segments, for LiteRT and ONNX, which have no sparse product.

Only in exported graphs, for kernels whose matrix would be too large or slower: one product per connection and sample
is laid out, so it is meant for small batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


def index(inputs: Any, outputs: Any, shape: tuple[int, int]) -> Tensor:
    """Return [2, K]: inputs over outputs."""
    del shape
    return tf.constant(np.stack([inputs, outputs]), tf.int32)


def prepare(values: Tensor, index: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the operand: values and positions as they are."""
    del shape
    return values, index


def multiply(x: Tensor, operand: tuple[Tensor, Tensor], shape: tuple[int, int], *, transpose: bool) -> Tensor:
    """Return x W or x Wᵀ."""
    values, places = operand
    source, target = (places[1], places[0]) if transpose else (places[0], places[1])
    terms = tf.gather(tf.transpose(x), source) * values[:, None]
    return tf.transpose(tf.math.unsorted_segment_sum(terms, target, shape[0] if transpose else shape[1]))
