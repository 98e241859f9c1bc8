"""Which space is meant."""

import keras
import numpy as np
import pytest
from keras_sparse.search import ConvSpace, MLPSpace, RecurrentSpace
from keras_sparse.search.networks import evaluation_batch
from keras_sparse.search.spaces import template


def test_the_kind_asked_for_with_the_fields_given():
    assert template(None, None) == MLPSpace()
    assert template({"units": [8]}, None) == MLPSpace(units=(8,))
    assert template(None, "cnn") == ConvSpace()
    assert template({"dimensions": 1}, "cnn").form == "sequences"
    assert template({"cells": ["gru"]}, "rnn") == RecurrentSpace(cells=("gru",))
    space = RecurrentSpace()
    assert template(space, None) is template(space, "rnn") is space


@pytest.mark.parametrize(
    ("space", "network", "message"),
    [
        (None, "transformer", "network must be one of mlp, cnn, rnn, got 'transformer'"),
        (ConvSpace(), "mlp", "network='mlp' was asked for with a space of kind 'cnn'"),
        ({"filters": [3]}, None, "A space has no field filters; it has activation, "),
        ({"widths": [3]}, "cnn", "no field widths; it has .*conv_density"),
        ({"strides": [0]}, "cnn", "strides: expected"),
    ],
)
def test_what_does_not_fit_is_refused(space, network, message):
    with pytest.raises(ValueError, match=message):
        template(space, network)


@pytest.mark.parametrize(
    ("shapes", "batch"),
    [
        ([(70_000,)], 1024),
        ([(8, 8, 1)], 1024),
        ([(64, 64, 3)], 64),
        ([(1024, 12)], 256),
        ([(5000, 5000, 3)], 8),
        ([(7,), (), (64, 64, 3)], 64),
        ([(None, 12)], 1024),
    ],
)
def test_large_examples_are_evaluated_in_small_batches(shapes, batch):
    inputs = [keras.Input(shape) for shape in shapes]
    assert evaluation_batch(keras.Model(inputs, [keras.ops.tanh(x) for x in inputs])) == batch


def test_models_without_symbolic_inputs_are_evaluated_in_large_batches():
    class Mine(keras.Model):
        def call(self, x):
            return x

    model = Mine()
    model(np.ones((2, 3)))
    assert evaluation_batch(model) == evaluation_batch(keras.Sequential([keras.layers.Dense(2)])) == 1024
