"""Which inputs a network looks at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .network import Network, stages


def input_map(network: Network, *, shape: Sequence[int] | None = None, weighted: bool = False) -> NDArray[Any]:
    """Return the number of connections of every input unit of the first junction.

    The picture of feature importance in the SET paper (Mocanu et al. 2018): after training, informative pixels have
    gathered connections.

    Args:
        network: a built model, a kernel, a Connectivity, or a list of the last two.
        shape: of the picture, e.g. (28, 28); by default the map is a vector.
        weighted: whether each connection counts by its |w| instead of as 1.

    Returns:
        Connections per input, int64, or Σ|w| per input, float64: [n_in] or `shape`.

    Raises:
        ValueError: when `shape` has not n_in elements, or when `weighted` is asked of a Connectivity.

    Example:
        >>> import keras_sparse as ks
        >>> ks.analysis.input_map(ks.Connectivity([0, 3, 3], [0, 0, 1], shape=(4, 2)), shape=(2, 2)).tolist()
        [[1, 0], [0, 2]]
    """
    first = stages(network)[0]
    if not weighted:
        return _picture(first.degrees()[1], shape)
    inputs = first.connectivity.inputs
    return _picture(np.bincount(inputs, first.magnitudes(), minlength=first.shape[0]), shape)


def input_importance(
    network: Network, *, shape: Sequence[int] | None = None, weighted: bool = True
) -> NDArray[np.float64]:
    """Return how strongly every input reaches the outputs: the sum over all paths of the product of |w| along the path.

    That is |W₁| · … · |W_L| · 1, computed from right to left in O(Σ K). Biases, activations and whatever lies between
    the junctions, such as BatchNormalization, are not regarded.

    Args:
        network: a built model whose junctions follow each other, or a list of kernels or Connectivities.
        shape: of the picture, e.g. (28, 28); by default a vector.
        weighted: False counts paths instead.

    Returns:
        float64, [n_in] or `shape`.

    Raises:
        ValueError: when the junctions do not follow each other, when `shape` has not n_in elements, or when
            `weighted` is asked of Connectivities.

    Example:
        >>> import keras_sparse as ks
        >>> left = ks.Connectivity([0, 1, 1], [0, 0, 1], shape=(3, 2))
        >>> right = ks.Connectivity([0, 0, 1], [0, 1, 1], shape=(2, 2))
        >>> ks.analysis.input_importance([left, right], weighted=False).tolist()
        [2.0, 3.0, 0.0]
    """
    found = stages(network, chain=True)
    reach = np.ones(found[-1].shape[1])
    for stage in reversed(found):
        connectivity = stage.connectivity
        along = reach[connectivity.outputs]
        if weighted:
            along *= stage.magnitudes()
        reach = np.bincount(connectivity.inputs, along, minlength=stage.shape[0])
    return _picture(reach, shape)


def _picture(values: NDArray[Any], shape: Sequence[int] | None) -> NDArray[Any]:
    if shape is None:
        return values
    if math.prod(shape) != len(values):
        raise ValueError(f"A picture of shape {tuple(shape)} has {math.prod(shape)} pixels, not {len(values)} inputs.")
    return values.reshape(tuple(shape))
