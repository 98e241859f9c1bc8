"""Whole searches of convolutional and recurrent networks on a handful of examples."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from keras_sparse.search import ConvSpace, search
from keras_sparse.search.data import Dataset, fit, load
from keras_sparse.search.errors import ResumeMismatchError
from keras_sparse_cli.main import main

import keras_sparse as ks

OPTIONS = {"max_trials": 2, "epochs": 2, "seed": 4}
CONV = ConvSpace(
    blocks=(1, 2), filters=(4, 6), kernel_sizes=(3,), hidden_units=(0, 8), batch_sizes=(16, 32), conv_density=(0.1, 0.3)
)
TIME = 5


@pytest.fixture(scope="module")
def images():
    """Colour images [6, 6, 3] of bytes with a bright quarter, in four classes."""
    rng = np.random.default_rng(0)
    y = np.arange(180) % 4
    x = rng.integers(0, 60, size=(180, 6, 6, 3))
    for image, label in zip(x, y):
        image[3 * (label // 2) : 3 * (label // 2) + 3, 3 * (label % 2) : 3 * (label % 2) + 3] += 120
    x = x.astype("uint8")
    parts = {"train": slice(0, 100), "val": slice(100, 140), "test": slice(140, 180)}
    arrays = {f"{name}_{part}": a[rows] for part, rows in parts.items() for name, a in (("x", x), ("y", y))}
    return Dataset(name="quarters", task="classification", classes=[0, 1, 2, 3], **arrays)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """An .npz file of padded sequences that rise or fall; what stands behind their ends is misleading."""
    rng = np.random.default_rng(1)
    y, length = np.arange(150) % 2, rng.integers(3, TIME + 1, 150)
    steps = np.arange(TIME)
    slope = np.where(y, 1.0, -1.0)[:, None]
    x = np.stack([slope * steps + rng.normal(size=(150, TIME)), rng.normal(size=(150, TIME))], axis=-1)
    x = np.where((steps < length[:, None])[..., None], x, -50.0 * slope[..., None]).astype("float32")
    path = tmp_path_factory.mktemp("data") / "slopes.npz"
    np.savez(path, x=x, y=y, length=length)
    return path


@pytest.fixture(scope="module")
def convolutional(images, tmp_path_factory):
    return search(images, space=CONV, output=tmp_path_factory.mktemp("cnn") / "run", **OPTIONS)


def served(result, **raw):
    signature = tf.saved_model.load(str(result["saved_model"])).signatures["serving_default"]
    return signature(**{name: tf.constant(values) for name, values in raw.items()})["output_0"].numpy()


def ksparse(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_images_from_data_to_a_served_model(convolutional, images):
    features = fit(images, "images").features(images.x_val)
    for trial in convolutional.trials:
        assert trial["status"] == "completed"
        foretold = CONV.connections(trial["hyperparameters"], (6, 6, 3), 4)
        network = keras.models.load_model(trial["model"])
        assert ks.inspect(network).connections == trial["connections"] == foretold
        logs = network.evaluate(features, images.y_val, verbose=0, return_dict=True)
        assert logs["accuracy"] == pytest.approx(trial["val_metric"])
        assert trial["complexity"] == trial["connections"] / CONV.reference_size((6, 6, 3), 4)
    best = convolutional.best
    model = keras.models.load_model(best["model"])
    assert model.input_shape == (None, 6, 6, 3)
    logs = model.evaluate(images.x_test, images.y_test, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(best["test_metric"])
    predicted = model.predict(images.x_test, verbose=0)
    np.testing.assert_allclose(served(best, x=images.x_test), predicted, atol=1e-5)


def test_a_search_of_convolutions_resumes_as_if_never_interrupted(convolutional, images, tmp_path):
    def interrupt(progress):
        if progress.event == "epoch" and progress.trial == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(images, space=CONV, output=tmp_path / "run", on_progress=interrupt, **OPTIONS)
    again = search(images, space=CONV, output=tmp_path / "run", resume=True, **OPTIONS)
    text = json.dumps(again.to_dict()).replace(str(tmp_path / "run"), str(convolutional.directory))
    assert json.loads(text) == json.loads(json.dumps(convolutional.to_dict()))


def test_resuming_with_another_kind_of_network_is_refused(convolutional, images):
    for network in ("mlp", "rnn"):
        with pytest.raises(ResumeMismatchError) as caught:
            search(images, network=network, output=convolutional.directory, resume=True, **OPTIONS)
        assert str(caught.value).splitlines()[1:-1] == [f'  space.kind: "cnn" -> "{network}"']
    with pytest.raises(ResumeMismatchError, match=r"space.filters: \[4, 6\] -> \[8"):
        search(images, network="cnn", output=convolutional.directory, resume=True, **OPTIONS)


def test_sequences_from_the_command_to_a_served_model(sequences, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('network = "rnn"\n[space]\nlayers = [1, 1]\nunits = [6, 8]\nlearning_rate = [0.02, 0.05]\n')
    arguments = ("search", sequences, "--config", config, "--max-trials", 2, "--epochs", 6, "--output", tmp_path / "o")
    code, stdout, stderr = ksparse(*arguments, "--format", "json")
    assert code == 0, stderr
    found = json.loads(stdout)
    assert json.loads((tmp_path / "o/run.json").read_text())["space"]["kind"] == "rnn"
    best, data = found["best"], load(str(sequences))
    model = keras.models.load_model(best["model"])
    raw = {"x": data.x_test, "length": data.length_test}
    logs = model.evaluate(raw, data.y_test, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(best["test_metric"])
    answer = served(best, **raw)
    np.testing.assert_allclose(answer, model.predict(raw, verbose=0), atol=1e-5)
    real = (np.arange(TIME) < data.length_test[:, None])[..., None]
    np.testing.assert_array_equal(served(best, x=np.where(real, data.x_test, 7), length=data.length_test), answer)

    code, again, stderr = ksparse(*arguments, "--format", "json", "--resume")
    assert (code, json.loads(again)) == (0, found), stderr
    code, printed, _ = ksparse("report", tmp_path / "o")
    assert code == 0
    values = best["hyperparameters"]
    assert f"{values['cell']} {values['units_1']} ({values['density_1']:.3g}, " in printed
    code, shown, _ = ksparse("inspect", best["model"], "--format", "json")
    assert code == 0
    assert [j["name"] for j in json.loads(shown)["junctions"]][:2] == [
        "recurrent_1/kernel",
        "recurrent_1/recurrent_kernel",
    ]
    assert json.loads(shown)["connections"] == best["connections"]
    code, _, stderr = ksparse("export", best["model"], tmp_path / "exported")
    assert code == 0, stderr
    exported = {"saved_model": tmp_path / "exported"}
    np.testing.assert_allclose(served(exported, **raw), answer, atol=1e-6)
    code, _, stderr = ksparse(*(a for a in arguments if a not in ("--config", config)), "--resume")
    assert code == 2
    assert 'space.kind: "rnn" -> "mlp"' in stderr


def test_convolutions_along_time(sequences, tmp_path):
    data = load(str(sequences))
    fields = {"dimensions": 1, "blocks": [1, 2], "filters": [4, 6], "kernel_sizes": [3], "hidden_units": [0]}
    result = search(data, network="cnn", space=fields, output=tmp_path / "run", max_trials=1, epochs=1)
    best = result.best
    names = [layer.name for layer in keras.models.load_model(best["model"]).get_layer("network").layers]
    assert "conv_1" in names
    raw = {"x": data.x_test, "length": data.length_test}
    np.testing.assert_allclose(
        served(best, **raw), keras.models.load_model(best["model"]).predict(raw, verbose=0), atol=1e-5
    )


def test_regression_on_grey_images_in_the_unit_of_the_target(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 5, 4))
    np.savez(tmp_path / "grey.npz", x=x, y=1000.0 + 50 * x[:, 2, 2])
    data = load(str(tmp_path / "grey.npz"))
    best = search(data, space=CONV, output=tmp_path / "run", max_trials=1, epochs=2).best
    assert best["metric"] == "mse"
    model = keras.models.load_model(best["model"])
    assert model.input_shape == (None, 5, 4)
    assert abs(model.predict(data.x_test, verbose=0).mean() - 1000) < 100


@pytest.mark.parametrize("network", ["cnn", "rnn"])
def test_data_that_do_not_suit_the_network_end_with_one_message(network, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i * i},{'ab'[i % 2]}\n" for i in range(40)))
    code, stdout, stderr = ksparse("search", path, "--network", network, "--output", tmp_path / "o")
    assert (code, stdout) == (1, "")
    assert stderr.startswith("Error: t.csv is a table, and networks on ")
    np.savez(tmp_path / "flat.npz", x=np.random.default_rng(0).normal(size=(40, 7)), y=np.arange(40) % 2)
    code, _, stderr = ksparse("search", tmp_path / "flat.npz", "--network", network, "--output", tmp_path / "p")
    assert code == 1
    assert "flat.npz has examples of shape [7], but the network" in stderr
