"""What networks cost, counted by hand."""

import keras
import numpy as np
import pytest
from keras_sparse.search import measures

import keras_sparse as ks


def test_convolutions_are_used_once_per_position():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            ks.SparseConv2D(4, 3, density=0.5),  # 6 x 6 positions
            keras.layers.Conv2D(5, 3, strides=2, padding="same"),  # 3 x 3
            keras.layers.DepthwiseConv2D(3),  # 1 x 1
            keras.layers.Conv2DTranspose(2, 2),  # from 1 x 1
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    assert measures.flops(model) == 2 * (54 * 36 + 180 * 9 + 45 + 40 + 24)
    found = measures.static(model)
    size = ks.inspect(model)
    assert found == {"connections": size.connections, "bytes": size.bytes, "flops": measures.flops(model)}


def test_recurrent_layers_and_sequences_are_used_once_per_step():
    model = keras.Sequential(
        [
            keras.Input((7, 6)),
            ks.SparseLSTM(5, density=0.5, recurrent_density=0.4, return_sequences=True),
            keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True)),
            keras.layers.TimeDistributed(keras.layers.Dense(3)),
            keras.layers.Dense(2),
            keras.layers.EinsumDense("abc,cd->abd", output_shape=(7, 9)),
            ks.SparseEinsumDense("abc,cde->abde", output_shape=(7, 2, 3), density=0.5),
        ]
    )
    weights = (60 + 40) + 2 * (60 + 48) + 24 + 6 + 18 + 27
    assert measures.flops(model) == 2 * 7 * weights


def test_shared_weights_and_models_within_models():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="d")])
    x = keras.Input((4,))
    model = keras.Model(x, inner(inner(x)))
    assert measures.flops(model) == 2 * 16  # documented: a layer counts once


def test_latency_is_that_of_the_network():
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    large = keras.Sequential([keras.Input((3000,)), *(keras.layers.Dense(3000) for _ in range(3))])
    assert 0 < measures.latency(small) < measures.latency(large)

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="needs inputs of a known shape"):
        measures.latency(Own())


def test_epochs_are_timed_without_validation(monkeypatch):
    clock = iter([0.0, 5.0, 7.0, 9.0, 20.0, 23.0, 30.0, 40.0])
    monkeypatch.setattr(measures.time, "perf_counter", lambda: next(clock))
    times = measures.EpochTimes()
    times.on_train_begin()  # 0
    times.on_test_begin()  # 5
    times.on_epoch_end(0)  # the next starts at 7
    times.on_test_begin()  # 9
    times.on_epoch_end(1)  # 20
    times.on_epoch_end(2)  # 23, without validation; 30
    assert times.seconds == [5.0, 2.0, 3.0]
    assert times.train_time() == 2.5


def test_names_are_checked():
    measures.check_names(measures.NAMES)
    with pytest.raises(ValueError, match="no measure 'size'; there are connections, bytes"):
        measures.check_names(["size"])


def test_a_space_knows_what_its_networks_cost():
    import keras_tuner
    from keras_sparse.search import MLPSpace, SparseHyperModel

    space = MLPSpace()
    model_of = SparseHyperModel(space, n_in=64, n_out=10, task="classification")
    for depth in (1, 3):
        hp = keras_tuner.HyperParameters()
        hp.values = {"hidden_layers": depth, "units_1": 512, "density_1": 0.07}
        model = model_of.build(hp)
        assert space.known(hp.values, 64, 10) == measures.static(model)
        assert np.isfinite(list(space.references(64, 10).values())).all()
