"""Batch normalisation folded into the layers before it: the same network, without its cost."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import keras_sparse as ks


def fold(model: Any, into: Any) -> Any:
    """Moves the weights of a network with batch normalisation into one of the same layers without it.

    A unit's weights are multiplied by γ / √(σ² + ε), and its bias becomes β + (b − μ) γ / √(σ² + ε), with the moving
    mean μ and variance σ². The connections stay as they are.

    Args:
        model: A trained model, a row of layers in which normalisations follow dense layers or convolutions. The columns
            of a convolution's kernel are its filters, so it is treated as a dense layer is.
        into: A built model with layers of the same names.

    Returns:
        `into`.
    """
    after = {
        first.name: second
        for first, second in zip(model.layers, model.layers[1:], strict=False)
        if isinstance(second, keras.layers.BatchNormalization)
    }
    for layer in model.layers:
        if not isinstance(layer, ks.SparseDense | ks.SparseConv1D | ks.SparseConv2D):
            continue
        kernel: Any = layer.kernel
        values, bias = np.asarray(kernel.values)[: len(kernel)], np.asarray(layer.bias)
        connectivity = kernel.connectivity
        if (norm := after.get(layer.name)) is not None:
            scale = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
            values = values * scale[connectivity.outputs]
            bias = np.asarray(norm.beta) + (bias - np.asarray(norm.moving_mean)) * scale
        target = into.get_layer(layer.name)
        target.kernel.assign(connectivity, values)
        target.bias.assign(bias)
    return into
