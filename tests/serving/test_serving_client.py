"""The example client, asking a stand-in for TensorFlow Serving that holds an exported model."""

import importlib.util
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from served import made

import keras_sparse as ks

PATH = Path(__file__).parents[2] / "examples" / "serving_client.py"
ASKED = re.compile(r"/v1/models/(?P<model>\w+)(/versions/(?P<version>\d+))?:predict")


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("serving_client", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(tmp_path):
    """Serves tmp_path / MODEL / VERSION in the format of TensorFlow Serving's REST interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = ASKED.fullmatch(self.path)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            folder = tmp_path / asked["model"]
            if not folder.is_dir():
                return self.answer(404, {"error": f"Servable not found for request: Latest({asked['model']})"})
            version = asked["version"] or max(folder.iterdir(), key=lambda path: int(path.name)).name
            signature = tf.saved_model.load(str(folder / version)).signatures[body["signature_name"]]
            specs = signature.structured_input_signature[1]
            tensors = {name: tf.constant(value, specs[name].dtype) for name, value in body["inputs"].items()}
            outputs = signature(**tensors)
            assert len(outputs) == 1  # one output is answered without its name
            return self.answer(200, {"outputs": next(iter(outputs.values())).numpy().tolist()})

        def answer(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    held = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=held.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{held.server_address[1]}"
    held.shutdown()
    held.server_close()
    thread.join()


def test_the_client_gets_the_answers_of_the_version_it_asks(client, server, tmp_path, capsys):
    model, x, expected = made("mlp")
    ks.export(model, tmp_path / "toy", versioned=True, prefer="size")
    for variable in model.trainable_variables:
        variable.assign(variable * 0.5)
    ks.export(model, tmp_path / "toy", versioned=True, prefer="size")
    inputs = {"x": x[:3].tolist()}
    np.testing.assert_allclose(client.predict(server, "toy", inputs, version=1), expected[:3], atol=1e-5)
    latest = model.predict(x[:3], verbose=0)
    np.testing.assert_allclose(client.predict(server, "toy", inputs), latest, atol=1e-5)
    assert np.abs(latest - expected[:3]).max() > 1e-3
    (tmp_path / "q.json").write_text(json.dumps(inputs))
    assert client.main(["toy", str(tmp_path / "q.json"), "--url", server]) == 0
    np.testing.assert_allclose(json.loads(capsys.readouterr().out), latest, atol=1e-5)


def test_the_client_says_what_is_wrong(client, server, tmp_path, capsys):
    with pytest.raises(RuntimeError, match="Servable not found"):
        client.predict(server, "other", {"x": [[1.0]]})
    with pytest.raises(RuntimeError, match="Cannot reach"):
        client.predict("http://127.0.0.1:9", "toy", {"x": [[1.0]]})
    assert client.main(["toy", str(tmp_path / "absent.json"), "--url", server]) == 1
    assert "absent.json" in capsys.readouterr().err
