"""A SavedModel holds stock ops only and runs where keras_sparse cannot be imported."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks

LOAD = """
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "keras_sparse":
            raise ImportError(name + " must not be needed")
sys.meta_path.insert(0, Forbidden())
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
np.save(sys.argv[3], model.serve(np.load(sys.argv[2])))
"""


def networks():
    inputs = keras.Input((40,))
    hidden = ks.SparseDense(60, density=0.05, activation="relu", compute="stock")(inputs)
    hidden = ks.SparseDense(60, density=0.3, compute="dense", capacity=2000)(hidden)
    branch = keras.layers.Dropout(0.5)(hidden)
    functional = keras.Model(inputs, ks.SparseDense(5, density=0.3, compute="generic", activation="softmax")(branch))
    nested = keras.Sequential([keras.Input((40,)), functional, ks.SparseDense(3, density=0.5)])
    return {"functional": functional, "nested": nested}


def run_elsewhere(path, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return np.load(tmp_path / "y.npy")


@pytest.mark.parametrize("name", ["functional", "nested"])
@pytest.mark.parametrize("way", ["export", "saved_model.save"])
def test_loads_without_keras_sparse_and_agrees(name, way, tmp_path):
    model = networks()[name]
    x = np.random.default_rng(0).normal(size=(11, 40)).astype("float32")
    expected = model.predict(x, verbose=0)
    path = tmp_path / "saved"
    if way == "export":
        model.export(str(path), verbose=False)
        np.testing.assert_allclose(run_elsewhere(path, x, tmp_path), expected, atol=1e-5)
    else:
        tf.saved_model.save(model, str(path))
        loaded = tf.saved_model.load(str(path)).signatures["serving_default"]
        [output] = loaded(tf.constant(x)).values()
        np.testing.assert_allclose(output, expected, atol=1e-5)
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel()
    proto.ParseFromString((path / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    ops = {node.op for f in graph.library.function for node in f.node_def} | {node.op for node in graph.node}
    stock = {op for op in ops if ">" not in op and not op.startswith("KerasSparse")}
    assert stock == ops
    assert not ops & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}


def test_an_export_after_rewiring_holds_the_new_topology(problem, tmp_path):
    x, y = problem
    model = keras.Sequential(
        [keras.Input((12,)), ks.SparseDense(16, density=0.2, activation="relu"), ks.SparseDense(3)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.export(str(tmp_path / "first"), verbose=False)
    model.fit(x, y, epochs=4, verbose=0, callbacks=[ks.Rewire(ks.SET(0.5))])
    model.export(str(tmp_path / "second"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "second"))
    np.testing.assert_allclose(loaded.serve(x), model.predict(x, verbose=0), atol=1e-5)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.5))])  # training goes on as before
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_script_of_that_name_is_no_export(tmp_path):
    script = tmp_path / "saved_model" / "save.py"
    script.parent.mkdir()
    script.write_text(
        "from keras_sparse.compute.exporting import exporting\nassert not exporting()\nprint('training')\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert run.stdout.strip() == "training", run.stderr


def test_an_export_of_an_unbuilt_layer_is_refused():
    layer = ks.SparseDense(2, density=0.5)
    with ks.stock_ops(), pytest.raises(ValueError, match="Build the layer first"):
        tf.function(layer).get_concrete_function(tf.TensorSpec([None, 4]))


def test_the_index_is_stored_once_and_not_in_the_graph(tmp_path):
    model = keras.Sequential([keras.Input((2000,)), ks.SparseDense(2000, density=0.01)])
    model.export(str(tmp_path), verbose=False)
    assert (tmp_path / "saved_model.pb").stat().st_size < 200_000  # 40,000 pairs of int64 would be 640 kB
