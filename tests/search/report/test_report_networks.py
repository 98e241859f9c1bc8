import io
import json
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras_sparse.search.report.networks import describe, distribution
from keras_sparse.search.report.stored import junctions

import keras_sparse as ks


def mixed():
    inputs = keras.Input((12, 12, 2))
    x = ks.SparseConv2D(8, 3, density=0.5, use_bias=False, name="conv")(inputs)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    x = ks.SparseDense(300, density=0.2, use_bias=False, name="wide")(x)
    x = keras.Sequential([keras.Input((300,)), ks.SparseDense(20, density=0.2, name="inner")], name="nested")(x)
    x = keras.layers.Reshape((5, 4))(keras.layers.Dense(20, name="full")(x))
    x = keras.layers.Bidirectional(ks.SparseLSTM(6, density=0.5), name="both")(x)
    x = keras.layers.Reshape((12, 1))(x)
    x = ks.SparseGRU(5, density=0.5, recurrent_density=0.4, name="gru")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="last")(x))


def test_what_is_read_is_what_keras_reads(tmp_path):
    model = mixed()
    model.save(tmp_path / "m.keras")
    found = junctions(tmp_path / "m.keras")
    expected = ks.inspect(model).junctions

    def key(j):
        return j.shape, j.connections, j.bytes

    assert [key(j) for j in found[:5]] == [key(j) for j in expected[:5]]
    assert sorted(map(key, found)) == sorted(map(key, expected))
    assert [j.name for j in found[:5]] == ["conv", "wide", "inner", "full", "both/backward_layer/kernel"]
    assert [j.name for j in found[-3:]] == ["gru/kernel", "gru/recurrent_kernel", "last"]
    assert [j.sparse for j in found] == [j.compute != "keras" for j in expected]
    wide = model.get_layer("wide").kernel.connectivity
    np.testing.assert_array_equal(found[1].in_degrees, wide.in_degrees)
    np.testing.assert_array_equal(found[1].out_degrees, wide.out_degrees)


@pytest.mark.parametrize("units", [255, 256, 257, 700, 70_000])
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_number_of_outputs_is_found_for_every_layout(units, use_bias, tmp_path):
    layer = ks.SparseDense(units, density=0.4 if units < 1000 else 0.002, use_bias=use_bias)
    keras.Sequential([keras.Input((30,)), layer]).save(tmp_path / "m.keras")
    [found] = junctions(tmp_path / "m.keras")
    assert found.shape == (30, units)
    np.testing.assert_array_equal(found.in_degrees, layer.kernel.connectivity.in_degrees)


def test_a_description(tmp_path):
    network = keras.Sequential([keras.Input((784,)), ks.SparseDense(50, density=0.3), keras.layers.Dense(10)])
    network.save(tmp_path / "m.keras")
    found = describe(tmp_path / "m.keras", (28, 28))
    json.dumps(found, allow_nan=False)
    sparse, dense = found["junctions"]
    assert (sparse["connections"], sparse["sparse"], dense["density"]) == (11760, True, 1.0)
    assert dense["in"] == {"width": 1, "bars": [[50, 10]], "mean": 50.0}
    assert sum(units for _, units in sparse["out"]["bars"]) == 784
    assert found["input_map"]["kind"] == "picture"
    assert sum(found["input_map"]["values"]) == 11760
    # A picture of another size than the inputs is none.
    assert describe(tmp_path / "m.keras", (8, 8))["input_map"]["kind"] == "vector"


def test_long_maps_are_averaged(tmp_path):
    layer = ks.SparseDense(4, density=0.5)
    keras.Sequential([keras.Input((100 * 70,)), layer]).save(tmp_path / "m.keras")
    degrees = layer.kernel.connectivity.out_degrees
    found = describe(tmp_path / "m.keras", (100, 70))["input_map"]
    assert (found["shape"], found["each"]) == ([50, 35], 2)
    assert found["values"][0] == np.mean(degrees.reshape(100, 70)[:2, :2])
    found = describe(tmp_path / "m.keras")["input_map"]
    assert (found["shape"], found["each"]) == ([1000], 7)
    assert found["values"][-1] == pytest.approx(degrees[-7:].mean(), abs=1e-3)


def test_a_distribution_by_hand():
    assert distribution(np.array([3, 1, 1, 0])) == {"width": 1, "bars": [[0, 1], [1, 2], [2, 0], [3, 1]], "mean": 1.25}
    wide = distribution(np.arange(100))
    assert (wide["width"], len(wide["bars"]), wide["bars"][-1]) == (3, 34, [99, 1])


def test_a_changed_file_is_read_again(tmp_path, make):
    path = tmp_path / "m.keras"
    make.network(path, units=16)
    assert describe(path)["junctions"][0]["shape"] == [64, 16]
    make.network(path, units=20)
    os.utime(path, ns=(1, 1))
    assert describe(path)["junctions"][0]["shape"] == [64, 20]


def edited(path, change):
    """Rewrites the weights in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file["layers/sparse_dense/vars"])
    parts["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def out_of_range(group):
    group["kernel_ids"][0] = 60_000


def decreasing(group):
    group["kernel_rows"][3] = 10**6


def other_version(group):
    group["kernel_state"][0] = 99


def enormous_capacity(group):
    group["kernel_state"][9:11] = [2**31 - 1, 2**31 - 1]


def enormous_claim(group):
    del group["kernel_rows"]
    group.create_dataset("kernel_rows", (2**40,), "int64", chunks=(1024,))


@pytest.mark.parametrize("change", [out_of_range, decreasing, other_version, enormous_capacity, enormous_claim])
def test_hostile_weights_are_a_problem_of_that_network_only(change, tmp_path, make):
    path = tmp_path / "m.keras"
    make.network(path)
    edited(path, change)
    assert describe(path)["problem"].startswith("Its file cannot be read (")


def test_files_that_are_no_networks(tmp_path):
    path = tmp_path / "m.keras"
    assert describe(path) == {"problem": "Its file is missing."}
    for content in (b"", b"PK\x03\x04 not a zip", os.urandom(2000)):
        path.write_bytes(content)
        assert "cannot be read" in describe(path)["problem"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": [{"class_name": 3, "config": 7}]}}')
        archive.writestr("model.weights.h5", b"nothing")
    assert "cannot be read" in describe(path)["problem"]
    keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]).save(path)
    assert "No sparse" in describe(path)["problem"]
