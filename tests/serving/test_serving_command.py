"""`ksparse export` in all formats, from a file and from a run directory."""

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from served import made

import keras_sparse as ks
from keras_sparse.serving import litert


def ksparse(*arguments):
    from keras_sparse_cli.main import main

    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory of a search's kind: raw digits in, preprocessing attached."""
    folder = tmp_path_factory.mktemp("run") / "digits"
    done = ksparse(
        "train", "digits", "--layers", 30, "--density", 0.2, "--epochs", 1, "--policy", "static", "--output", folder
    )
    assert done.exit_code == 0, done.output
    return folder


def digits():
    from keras_sparse.search.data import load

    return load("digits").x_test[:20]


def test_a_run_directory_for_tensorflow_serving(run, tmp_path):
    for number in (1, 2):
        done = ksparse("export", run, tmp_path / "m", "--versioned", "--prefer", "size", "--examples", "digits")
        assert done.exit_code == 0, done.output
        assert f"{tmp_path}/m/{number}" in done.output
    model = ks.load_model(run / "best.keras")
    loaded = tf.saved_model.load(str(tmp_path / "m" / "2")).signatures
    assert set(loaded) == {"serving_default", "features"}
    x = digits()
    answer = loaded["serving_default"](x=tf.constant(x))["output_0"]
    np.testing.assert_allclose(answer, model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("options", [(), ("--quantize", "float16"), ("--quantize", "int8", "--examples", "digits")])
def test_litert_takes_raw_digits(options, run, tmp_path):
    done = ksparse("export", run, tmp_path / "m.tflite", "--format", "litert", "--prefer", "size", *options)
    assert done.exit_code == 0, done.output
    assert "Wrote litert" in done.output
    x = digits()
    expected = ks.load_model(run / "best.keras").predict(x, verbose=0)
    got = litert.answer((tmp_path / "m.tflite").read_bytes(), {"x": x})
    np.testing.assert_allclose(got, expected, atol=0.1 if "int8" in options else 5e-3)
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.8
    again = ksparse("export", run, tmp_path / "m.tflite", "--format", "litert", "--prefer", "size")
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_onnx(run, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    done = ksparse("export", run, tmp_path / "m.onnx", "--format", "onnx")
    assert done.exit_code == 0, done.output
    x = digits()
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    expected = ks.load_model(run / "best.keras").predict(x, verbose=0)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-5)


def test_wrong_calls(run, tmp_path):
    made("rbm")
    (tmp_path / "empty").mkdir()
    for arguments, code, message in (
        ((tmp_path / "empty", tmp_path / "x"), 2, "no best.keras"),
        ((run, tmp_path / "x", "--quantize", "int8"), 1, "is for format='litert'"),
        ((run, tmp_path / "x", "--format", "litert", "--quantize", "int8"), 1, "needs `examples`"),
        ((run, tmp_path / "x", "--format", "litert", "--versioned"), 1, "layout of SavedModels"),
    ):
        done = ksparse("export", *arguments)
        assert done.exit_code == code, done.output
        assert message in done.output
    assert not (tmp_path / "x").exists()
