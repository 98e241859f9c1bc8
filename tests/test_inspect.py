import json

import keras
import numpy as np
import pytest

import keras_sparse as ks


def test_counts_by_hand():
    model = keras.Sequential(
        [
            keras.Input((20,)),
            ks.SparseDense(30, density=0.1, name="sparse"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(5, name="dense"),
        ]
    )
    report = ks.inspect(model)
    sparse, dense = report.junctions
    assert (sparse.name, sparse.shape, sparse.connections, sparse.density) == ("sparse", (20, 30), 60, 0.1)
    assert (dense.name, dense.shape, dense.connections, dense.density) == ("dense", (30, 5), 150, 1.0)
    assert report.connections == 210
    assert report.density == pytest.approx(210 / 750)
    assert report.parameters == 60 + 30 + 60 + 150 + 5  # connections, bias, gamma and beta, kernel, bias
    kernel = model.layers[0].kernel
    assert sparse.bytes == 60 * 4 + 60 * 2 + 21 * 8 + 16 * 8  # values, ids, row pointers, state
    assert sparse.bytes == kernel.bytes
    assert report.bytes == sparse.bytes + 30 * 4 + 4 * 30 * 4 + 150 * 4 + 5 * 4
    assert sparse.compute == kernel.choice().path
    assert dense.compute == "keras"
    assert json.loads(json.dumps(report.to_dict()))["junctions"][0]["connections"] == 60


def test_prints_as_a_table():
    model = keras.Sequential([keras.Input((20,)), ks.SparseDense(30, density=0.1, name="hidden")])
    lines = str(ks.inspect(model)).splitlines()
    assert lines[0].split() == ["junction", "shape", "connections", "density", "bytes", "compute", "reason"]
    assert lines[2].split()[:5] == ["hidden", "20", "x", "30", "60"]
    assert lines[-1] == "parameters: 90"


def test_nested_models_shared_layers_and_convolutions():
    shared = ks.SparseDense(8, density=0.5)
    inner = keras.Sequential([keras.Input((8,)), shared])
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inner(shared(inputs))))
    assert [j.connections for j in ks.inspect(model).junctions] == [32, 16]
    names = [f"layer_{i}" for i in range(4)]
    deep = keras.Sequential([keras.Input((8,)), *(ks.SparseDense(8, name=name) for name in names)])
    outer = keras.Sequential([keras.Input((8,)), deep, ks.SparseDense(2, name="last")])
    assert [j.name for j in ks.inspect(outer).junctions] == [*names, "last"]
    conv = keras.Sequential([keras.Input((9, 9, 2)), keras.layers.Conv2D(4, 3)])
    assert ks.inspect(conv).junctions[0].shape == (18, 4)


def test_counts_follow_the_topology_not_the_capacity():
    layer = ks.SparseDense(10, density=0.5, capacity=90)
    model = keras.Sequential([keras.Input((10,)), layer])
    layer.kernel.assign(ks.Random().sample((10, 10), 7, seed=0), np.ones(7))
    report = ks.inspect(model)
    assert (report.connections, report.parameters) == (7, 17)


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="has no weights to inspect"):
        ks.inspect(keras.Sequential([ks.SparseDense(3)]))
