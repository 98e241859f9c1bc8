"""Export: signatures, agreement in a process without our code or Keras, and all-or-nothing writing."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_sparse.search.data import export_with_signatures, fit, load

SERVE = """
import json, sys, numpy as np
sys.modules["keras_sparse"] = sys.modules["keras"] = None
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
request = json.load(open(sys.argv[2]))
answers = {}
for name, arguments in request.items():
    specs = served.signatures[name].structured_input_signature[1]
    assert set(specs) == set(arguments), (name, specs)
    tensors = {k: tf.constant(v, dtype=specs[k].dtype) for k, v in arguments.items()}
    answers[name] = served.signatures[name](**tensors)["output_0"].numpy().tolist()
print(json.dumps({"signatures": sorted(served.signatures), "answers": answers}))
"""


def ask(folder, request, tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    run = subprocess.run([sys.executable, "-c", SERVE, folder, path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def answer(folder, **arguments):
    """Ask the default signature in this process."""
    return tf.saved_model.load(str(folder)).signatures["serving_default"](**arguments)["output_0"].numpy()


def winner(data):
    p = fit(data)
    activation = "softmax" if data.task == "classification" else None
    net = keras.Sequential([keras.Input((p.n_features,)), keras.layers.Dense(p.n_outputs, activation=activation)])
    return p, p.attach(net)


def write_table(tmp_path):
    lines = ["when,größe,class,town,Training,price"]
    towns = ["Rome", "Oslo", '"Paris, TX"']
    lines += [f"{1_600_000_000 + 60 * i},{i / 8},{i % 5},{towns[i % 3]},true,{1000 + i * 7.5}" for i in range(60)]
    (tmp_path / "houses.csv").write_text("\n".join(lines), encoding="utf-8")
    return load(str(tmp_path / "houses.csv"))


@pytest.mark.parametrize("kind", ["digits", "table"])
def test_signatures_agree_with_keras_in_another_process(kind, tmp_path):
    data = load("digits") if kind == "digits" else write_table(tmp_path)
    assert data.task == ("classification" if kind == "digits" else "regression")
    p, model = winner(data)
    model.save(tmp_path / "best.keras")
    export_with_signatures(keras.models.load_model(tmp_path / "best.keras"), tmp_path / "served")
    x = data.x_test if isinstance(data.x_test, dict) else {"x": data.x_test}
    raw = {name: values.tolist() for name, values in x.items()}
    request = {"serving_default": raw, "features": {"features": p.features(data.x_test).tolist()}}
    reply = ask(tmp_path / "served", request, tmp_path)
    assert reply["signatures"] == ["features", "serving_default"]
    expected = model.predict(data.x_test, verbose=0)
    for answer in reply["answers"].values():
        np.testing.assert_allclose(np.array(answer), expected, rtol=1e-5, atol=1e-5)


def test_plain_export_of_the_winner_takes_raw_columns(tmp_path):
    data = write_table(tmp_path)
    _, model = winner(data)
    model.export(tmp_path / "plain", verbose=False)
    raw = {name: tf.constant(v.tolist() if v.dtype == object else v) for name, v in data.x_test.items()}
    np.testing.assert_allclose(answer(tmp_path / "plain", **raw), model.predict(data.x_test, verbose=0), rtol=1e-5)


def test_a_model_without_our_layers_gets_one_signature(tmp_path):
    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
    export_with_signatures(model, tmp_path / "a" / "b" / "served")
    assert list(tf.saved_model.load(str(tmp_path / "a" / "b" / "served")).signatures) == ["serving_default"]
    x = np.array([[1.0, 2.0, 3.0]], "float32")
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(answer(tmp_path / "a" / "b" / "served", x=tf.constant(x)), expected, rtol=1e-5)


def test_several_inputs_as_a_list(tmp_path):
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(1)(keras.layers.Concatenate()([a, b])))
    export_with_signatures(model, tmp_path / "served")
    x, y = np.array([[1.0, 2.0]], "float32"), np.array([[1.0, 2.0, 3.0]], "float32")
    expected = model.predict([x, y], verbose=0)
    np.testing.assert_allclose(answer(tmp_path / "served", a=tf.constant(x), b=tf.constant(y)), expected, rtol=1e-5)


def small():
    return keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])


def test_nothing_is_overwritten_unasked(tmp_path, capfd):
    target = tmp_path / "served"
    target.mkdir()
    export_with_signatures(small(), target)  # an empty folder is no content
    assert (target / "saved_model.pb").is_file()
    (target / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"exists and is not empty.*overwrite=True"):
        export_with_signatures(small(), target)
    assert (target / "mine.txt").is_file()
    export_with_signatures(small(), target, overwrite=True)
    assert not (target / "mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["served"]  # no remains of the work
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(FileExistsError):
        export_with_signatures(small(), file)
    assert capfd.readouterr().out == ""  # stdout belongs to the command's results


def test_a_failed_export_leaves_everything_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "served"
    export_with_signatures(small(), target)
    before = (target / "saved_model.pb").read_bytes()
    archive = type(keras.export.ExportArchive())

    def fail(self, path, **keywords):
        raise OSError("disk full")

    monkeypatch.setattr(archive, "write_out", fail)
    with pytest.raises(OSError, match="disk full"):
        export_with_signatures(small(), target, overwrite=True)
    assert (target / "saved_model.pb").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_an_unbuilt_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a built functional or sequential model"):
        export_with_signatures(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "served")
    assert not (tmp_path / "served").exists()
