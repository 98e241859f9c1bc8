"""SavedModels for serving: the same answers elsewhere, small files, versions, warm-up requests."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from served import MODELS, elsewhere, made
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import keras_sparse as ks
from keras_sparse.serving import saved_model
from keras_sparse.serving.endpoints import endpoints


def test_a_stock_process_answers_the_same_to_a_thousand_inputs(tmp_path):
    asked, expected = {}, {}
    for name in MODELS:
        model, x, answer = made(name)
        folder = ks.export(model, tmp_path / name, prefer="speed" if name == "mlp" else "size").path
        [key] = tf.saved_model.load(str(folder)).signatures["serving_default"].structured_input_signature[1]
        asked[folder], expected[folder] = {key: x}, answer
    for folder, answer in elsewhere(tmp_path, asked).items():
        np.testing.assert_allclose(answer, expected[folder], atol=1e-5, rtol=0, err_msg=folder.name)


@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("name", ["mlp", "conv", "lstm"])
def test_both_forms_of_every_layer_answer_alike(name, form, tmp_path):
    from keras_sparse import junctions
    from keras_sparse.compute.delivery import Plan

    model, x, expected = made(name)
    forms = {id(junction.kernel.values): form for junction in junctions.junctions(model)}
    saved_model.write_folder(model, endpoints(model), tmp_path / "m", Plan("load", forms))
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_allclose(loaded.signatures["serving_default"](x=x)["output_0"], expected, atol=1e-5, rtol=0)
    ops = {
        node.op for function in graph(tmp_path / "m").library.function for node in function.node_def
        if "nitializer" not in function.signature.name
    }  # fmt: skip
    assert ("SparseTensorDenseMatMul" in ops) == (form == "sparse")
    assert not [op for op in ops if ">" in op or op.startswith("KerasSparse") or "PyFunc" in op]


def graph(path):
    proto = SavedModel()
    proto.ParseFromString((path / "saved_model.pb").read_bytes())
    return proto.meta_graphs[0].graph_def


def test_the_session_loader_that_tensorflow_serving_uses_runs_the_initializers(tmp_path):
    model, x, expected = made("mlp")
    ks.export(model, tmp_path / "m", prefer="size")
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "m")).signature_def[
            "serving_default"
        ]
        answer = session.run(signature.outputs["output_0"].name, {signature.inputs["x"].name: x})
    np.testing.assert_allclose(answer, expected, atol=1e-5, rtol=0)


def test_two_loaded_models_do_not_share_their_kernels(tmp_path):
    loaded, expected = [], []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        keras.utils.clear_session()
        model, x, answer = made("mlp")
        ks.export(model, tmp_path / str(seed), prefer="size")
        loaded.append(tf.saved_model.load(str(tmp_path / str(seed))).signatures["serving_default"])
        expected.append(answer)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    for signature, answer in zip(loaded, expected):
        np.testing.assert_allclose(signature(x=x)["output_0"], answer, atol=1e-5, rtol=0)


def test_files_hold_the_connections_only(tmp_path):
    sparse = keras.Sequential([keras.Input((2000,)), ks.SparseDense(2000, density=0.02)])
    for prefer in ("size", "speed"):
        written = ks.export(sparse, tmp_path / prefer, prefer=prefer)
        assert written.bytes < 80_000 * 8 + 2000 * 8 + 100_000  # dense: 16 MB
        assert written.bytes == sum(file.stat().st_size for file in written.path.rglob("*") if file.is_file())


def test_training_goes_on_after_an_export_and_the_next_one_is_new(problem, tmp_path):
    x, y = problem
    model = keras.Sequential(
        [keras.Input((12,), name="x"), ks.SparseDense(16, density=0.2, activation="relu"), ks.SparseDense(3)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first = ks.export(model, tmp_path / "m", versioned=True)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.5))])
    second = ks.export(model, tmp_path / "m", versioned=True)
    answers = [tf.saved_model.load(str(w.path)).signatures["serving_default"](x=x)["output_0"] for w in (first, second)]
    np.testing.assert_allclose(answers[1], model.predict(x, verbose=0), atol=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 1e-2


class TestVersions:
    def test_the_next_free_number_and_never_over_another(self, tmp_path):
        model, *_ = made("rbm")
        base = tmp_path / "model"
        paths = [ks.export(model, base, versioned=True, prefer="size").path.name for _ in range(2)]
        (base / "10").mkdir()  # an empty folder counts, too
        (base / "notes").mkdir()
        paths.append(ks.export(model, base, versioned=True, overwrite=True, prefer="size").path.name)
        assert paths == ["1", "2", "11"]
        assert sorted(path.name for path in base.iterdir()) == ["1", "10", "11", "2", "notes"]

    def test_not_into_a_file_or_a_saved_model(self, tmp_path):
        model, *_ = made("rbm")
        (tmp_path / "file").write_text("mine")
        with pytest.raises(FileExistsError, match="is a file"):
            ks.export(model, tmp_path / "file", versioned=True)
        ks.export(model, tmp_path / "plain", prefer="size")
        with pytest.raises(FileExistsError, match="itself a SavedModel"):
            ks.export(model, tmp_path / "plain", versioned=True)
        with pytest.raises(FileExistsError, match="not empty"):
            ks.export(model, tmp_path / "plain")


def messages():
    """PredictionLog and what it holds, described here anew from TensorFlow Serving's .proto files."""
    file = descriptor_pb2.FileDescriptorProto(name="log.proto", package="t", syntax="proto3")
    file.dependency.append("tensorflow/core/framework/tensor.proto")
    kinds = {"string": 9, "message": 11}

    def message(name, *fields, into=None):
        made = (into or file).message_type.add() if into is None else into.nested_type.add()
        made.name = name
        for field, number, kind, type_name, label in fields:
            made.field.add(name=field, number=number, type=kinds[kind], type_name=type_name, label=label)
        return made

    message("ModelSpec", ("name", 1, "string", None, 1), ("signature_name", 3, "string", None, 1))
    request = message(
        "PredictRequest",
        ("model_spec", 1, "message", ".t.ModelSpec", 1),
        ("inputs", 2, "message", ".t.PredictRequest.InputsEntry", 3),
    )
    entry = message(
        "InputsEntry",
        ("key", 1, "string", None, 1),
        ("value", 2, "message", ".tensorflow.TensorProto", 1),
        into=request,
    )
    entry.options.map_entry = True
    message("PredictLog", ("request", 1, "message", ".t.PredictRequest", 1))
    message("PredictionLog", ("predict_log", 6, "message", ".t.PredictLog", 1))
    pool = descriptor_pool.Default()
    assert tensor_pb2  # registers TensorProto
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.PredictionLog"))


class TestWarmup:
    @pytest.fixture(scope="class")
    def log(self):
        return messages()

    def requests(self, log, path):
        found = []
        for record in tf.data.TFRecordDataset(str(path / "assets.extra" / "tf_serving_warmup_requests")):
            request = log.FromString(record.numpy()).predict_log.request
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            found.append((request.model_spec.signature_name, inputs))
        return found

    def test_requests_are_the_first_examples_and_the_model_answers_them(self, log, tmp_path):
        model, x, expected = made("mlp")
        path = ks.export(model, tmp_path / "m", examples=x, prefer="size").path
        requests = self.requests(log, path)
        assert [name for name, _ in requests] == ["serving_default"] * 8
        loaded = tf.saved_model.load(str(path)).signatures
        for row, (name, inputs) in enumerate(requests):
            np.testing.assert_array_equal(inputs["x"], x[row : row + 1])
            answer = loaded[name](**{key: tf.constant(value) for key, value in inputs.items()})["output_0"]
            np.testing.assert_allclose(answer, expected[row : row + 1], atol=1e-5)

    def test_every_signature_gets_one_without_examples_text_too(self, log, tmp_path):
        from keras_sparse.search.data import fit, load

        lines = ["town,size,price"] + [f"{('Rome', 'Oslo')[i % 2]},{i / 7},{i * 7.5}" for i in range(60)]
        (tmp_path / "t.csv").write_text("\n".join(lines))
        preprocessing = fit(load(str(tmp_path / "t.csv")))
        net = keras.Sequential([keras.Input((preprocessing.n_features,)), ks.SparseDense(1, density=0.9)])
        path = ks.export(preprocessing.attach(net), tmp_path / "m", prefer="size").path
        requests = dict(self.requests(log, path))
        assert requests.keys() == {"serving_default", "features"}
        assert requests["serving_default"]["town"].dtype == object
        loaded = tf.saved_model.load(str(path)).signatures
        for name, inputs in requests.items():
            specs = loaded[name].structured_input_signature[1]
            tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
            assert np.isfinite(loaded[name](**tensors)["output_0"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "h5"}, "`format` must be one of"),
        ({"prefer": "beauty"}, "`prefer` must be one of"),
        ({"quantize": "int4", "format": "litert"}, "`quantize` must be"),
        ({"quantize": "float16"}, "is for format='litert'"),
        ({"quantize": "int8", "format": "litert"}, "needs `examples`"),
        ({"versioned": True, "format": "onnx"}, "layout of SavedModels"),
        ({"examples": np.zeros((3, 7))}, "must have the shape"),
        ({"examples": {"y": np.zeros((3, 7))}}, "must have the shape"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_written(arguments, message, tmp_path):
    model, *_ = made("mlp")
    with pytest.raises(ValueError, match=message):
        ks.export(model, tmp_path / "m", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_unbuilt_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="built functional or sequential model"):
        ks.export(keras.Sequential([ks.SparseDense(3, density=0.5)]), tmp_path / "m")
