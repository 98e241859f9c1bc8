"""ONNX files, with ONNX Runtime."""

import keras
import numpy as np
import pytest
from served import MODELS, made

import keras_sparse as ks
from keras_sparse.serving import onnx_file, onnx_zeros

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")


@pytest.mark.parametrize("name", MODELS)
def test_onnx_runtime_answers_as_keras_does(name, tmp_path):
    model, x, expected = made(name)
    written = ks.export(model, tmp_path / "m.onnx", format="onnx", prefer="speed" if name == "mlp" else "size")
    session = onnx_file.session(written.path.read_bytes())
    [key] = [entry.name for entry in session.get_inputs()]
    assert [entry.name for entry in session.get_outputs()] == ["output_0"]
    np.testing.assert_allclose(session.run(None, {key: x})[0], expected, atol=1e-5, rtol=0)


def test_both_forms_answer_alike_and_zeros_are_not_in_the_file():
    from keras_sparse.compute.delivery import Plan
    from keras_sparse.serving.endpoints import endpoints

    model = keras.Sequential([keras.Input((500,), name="x"), ks.SparseDense(400, density=0.03)])
    x = np.random.default_rng(0).normal(size=(9, 500)).astype("float32")
    for form, limit in (("dense", 6000 * 6), ("sparse", 6000 * 16)):
        content = onnx_file.convert(endpoints(model)[0], Plan("constant", {id(model.layers[0].kernel.values): form}))
        assert len(content) < limit + 5000
        got = onnx_file.session(content).run(None, {"x": x})[0]
        np.testing.assert_allclose(got, model.predict(x, verbose=0), atol=1e-5, rtol=0)


def test_onnx_runtime_folds_the_laying_out(tmp_path):
    import onnxruntime

    model = keras.Sequential([keras.Input((500,), name="x"), ks.SparseDense(400, density=0.03)])
    ks.export(model, tmp_path / "m.onnx", format="onnx", prefer="size")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), options, providers=["CPUExecutionProvider"])
    nodes = {node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node}
    assert not nodes & {"ScatterElements", "CumSum"}


@pytest.mark.parametrize("density", [0.0001, 0.004, 0.05, 0.5, 0.9, 0.0])
def test_gaps_lead_to_every_number(density):
    rng = np.random.default_rng(0)
    array = np.where(rng.random((300, 1000)) < density, rng.normal(size=(300, 1000)), 0).astype("float32")
    packed = onnx_zeros.without_zeros(array)
    if density in (0.0, 0.9):
        assert packed is None
        return
    values, gaps = packed
    again = np.zeros(array.size, "float32")
    again[np.cumsum(gaps, dtype=np.int64)] = values
    np.testing.assert_array_equal(again.reshape(array.shape), array)
    assert values.nbytes + gaps.nbytes < array.nbytes


@pytest.mark.parametrize("gap", [254, 255, 256, 511, 65535, 65536, 200_000])
def test_long_gaps_are_divided(gap):
    array = np.zeros(300_000, "float32")
    array[[0, gap, gap + 1, 299_999]] = 1, 2, 3, 4
    values, gaps = onnx_zeros.without_zeros(array)
    again = np.zeros_like(array)
    again[np.cumsum(gaps, dtype=np.int64)] = values
    np.testing.assert_array_equal(again, array)


def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch):
    import sys

    model, *_ = made("rbm")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ValueError, match=r"tf2onnx.*pip install 'keras-sparse\[onnx\]'"):
        ks.export(model, tmp_path / "m.onnx", format="onnx")
    assert list(tmp_path.iterdir()) == []
