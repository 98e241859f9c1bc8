"""LiteRT files, with LiteRT's interpreter."""

import keras
import numpy as np
import pytest
from served import MODELS, made

import keras_sparse as ks
from keras_sparse.serving import litert, litert_zeros


def answer(content, x, count=20):
    [key] = litert.interpreter(content).get_signature_runner("serving_default").get_input_details()
    return litert.answer(content, {key: x[:count]})


@pytest.mark.parametrize("name", MODELS)
def test_the_interpreter_answers_as_keras_does(name, tmp_path):
    model, x, expected = made(name)
    if name == "gru":
        x, expected = x[:, :16], expected  # any length
    written = ks.export(model, tmp_path / "m.tflite", format="litert", prefer="size")
    content = written.path.read_bytes()
    assert len(content) == written.bytes
    np.testing.assert_allclose(answer(content, x), expected[:20], atol=1e-5, rtol=0)
    operations = {detail["op_name"] for detail in litert.interpreter(content)._get_ops_details()}
    assert not [name for name in operations if name.startswith("Flex")]


@pytest.mark.parametrize("density", [0.01, 0.3])  # the converter stores the first in blocks, which float16 breaks
@pytest.mark.parametrize("quantize", ["float16", "int8"])
def test_quantized_files_are_smaller_and_nearly_right(density, quantize, tmp_path):
    model = keras.Sequential([keras.Input((300,), name="x"), ks.SparseDense(300, density=density, activation="relu")])
    x = np.random.default_rng(0).normal(size=(60, 300)).astype("float32")
    expected = model.predict(x, verbose=0)
    plain = ks.export(model, tmp_path / "plain.tflite", format="litert", prefer="size")
    small = ks.export(model, tmp_path / "small.tflite", format="litert", prefer="size", quantize=quantize, examples=x)
    room = 2e-3 if quantize == "float16" else 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(answer(small.path.read_bytes(), x), expected[:20], atol=room, rtol=0)
    dense = 300 * 300 * 4
    assert plain.bytes < dense * density * 2 + 5000
    assert small.bytes < (plain.bytes if quantize == "float16" else dense / 4 + 8000)


def test_both_forms_answer_alike_any_batch(tmp_path):
    from keras_sparse.compute.delivery import Plan
    from keras_sparse.serving.endpoints import endpoints

    model, x, expected = made("mlp")
    for form in ("sparse", "dense"):
        forms = {id(layer.kernel.values): form for layer in model.layers if isinstance(layer, ks.SparseDense)}
        content = litert.convert(model, endpoints(model)[0], Plan("constant", forms))
        signature = litert.interpreter(content).get_signature_runner("serving_default")
        np.testing.assert_allclose(signature(x=x[:50])["output_0"], expected[:50], atol=1e-5, rtol=0)
        operations = {detail["op_name"] for detail in litert.interpreter(content)._get_ops_details()}
        assert ("UNSORTED_SEGMENT_SUM" in operations) == (form == "sparse")


def test_int8_of_a_loop_is_refused_not_a_crash(tmp_path):
    model, x, _ = made("lstm")
    with pytest.raises(ValueError, match=r"loops in int8.*unroll=True"):
        ks.export(model, tmp_path / "m.tflite", format="litert", quantize="int8", examples=x, prefer="size")
    assert list(tmp_path.iterdir()) == []


def test_examples_are_measured_not_only_required(tmp_path):
    model, x, _ = made("mlp")
    files = [
        ks.export(
            model, tmp_path / f"{i}", format="litert", prefer="size", quantize="int8", examples=x[:50] * scale
        ).path.read_bytes()
        for i, scale in enumerate((1, 100))
    ]
    assert not np.allclose(answer(files[0], x), answer(files[1], x))


def test_a_wrong_file_is_not_written(tmp_path, monkeypatch):
    model, *_ = made("mlp")
    other = keras.Sequential([keras.Input((60,), name="x"), keras.layers.Dense(5)])
    from keras_sparse.compute.delivery import Plan
    from keras_sparse.serving.endpoints import endpoints

    wrong = litert.convert(other, endpoints(other)[0], Plan("constant"))
    monkeypatch.setattr(litert, "convert", lambda *args, **kwargs: wrong)
    with pytest.raises(ValueError, match="answers otherwise than the model, so it was not written"):
        ks.export(model, tmp_path / "m.tflite", format="litert", prefer="size")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    "litert" not in (keras.Model.export.__doc__ or ""), reason="this version of Keras does not export LiteRT"
)
def test_keras_own_litert_export_answers_as_keras_does(tmp_path):
    model, x, expected = made("mlp")
    model.export(str(tmp_path / "m.tflite"), format="litert", verbose=False)
    np.testing.assert_allclose(answer((tmp_path / "m.tflite").read_bytes(), x), expected[:20], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 5, 7, 70), (1, 2000), (600, 3), (40, 70000)])
def test_rows_of_any_shape_are_packed_and_found_again(shape):
    rng = np.random.default_rng(0)
    array = np.where(rng.random(shape) < 0.02, rng.normal(size=shape), 0).astype("float32")
    packed = litert_zeros._packed(array)
    if packed is None:
        assert array.size * 0.02 * 6 + array.size // shape[-1] > array.nbytes / 4
        return
    values, sizes, columns = packed
    rows = np.repeat(np.arange(len(sizes) - 1), np.diff(sizes.astype(np.int64)))
    again = np.zeros(shape, "float32").reshape(-1, shape[-1])
    again[rows, columns] = values
    np.testing.assert_array_equal(again.reshape(shape), array)
