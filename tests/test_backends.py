"""Keras' other backends: one process for each runs what `backend_scenarios` has."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.compute import dispatch, dispatch_convolution
from keras_sparse.compute.geometry import Geometry

SCRIPT = Path(__file__).with_name("backend_scenarios.py")
QUICK = (
    "products_are_those_in_float64",
    "policies_see_the_gradient_of_a_perceptron",
    "grows_by_gradient",
    "what_cannot_be_done_says_so",
)
SLOW = (
    "products_of_odd_kernels",
    "memory_is_bounded",
    "policies_see_the_gradient_of_other_layers",
    "grows_at_random",
    "a_probe_takes_a_batch_and_leaves_the_weights",
    "every_policy",
    "convolutions",
    "recurrent_layers",
    "attention_and_contractions",
    "restricted_boltzmann_machines",
    "mixed_precision",
    "an_interrupted_run_goes_on",
    "inspected_and_resized",
    "the_doctor_finds_all_well",
)
HANDED = "a_model_of_another_backend_loads"
BACKENDS = ("jax", "torch")


def run(backend, folder, *names):
    """Run scenarios in a process; fail with what went wrong in them."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: `make test-backends` does")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(SCRIPT), str(folder), *names]
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith('{"name"')]
    assert [line["name"] for line in lines] == list(names), process.stderr
    failed = [f"{line['name']} on {backend}:\n{line['error']}" for line in lines if line["error"]]
    assert not failed, "\n".join(failed)


@pytest.fixture
def handed(tmp_path):
    """A model of every kind of layer, saved here, with what it predicts."""
    x = np.random.default_rng(0).normal(size=(24, 8, 6)).astype("float32")
    labels = np.arange(24) % 3
    layers = [
        ks.SparseConv1D(8, 3, density=0.4, seed=1),
        ks.SparseLSTM(10, density=0.5, capacity=300, seed=2),
        ks.SparseDense(12, density=0.5, activation="relu", seed=3),
        ks.SparseDense(3, density=0.8, seed=4),
    ]
    model = keras.Sequential([keras.Input((8, 6)), *layers])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, labels, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
    model.save(tmp_path / "handed.keras")
    links = [junction.kernel.connectivity for junction in ks.junctions.junctions(model)]
    arrays = {f"links{number}": np.stack([one.inputs, one.outputs]) for number, one in enumerate(links)}
    np.savez(tmp_path / "handed.npz", x=x, labels=labels, y=model.predict(x, verbose=0), **arrays)
    return tmp_path


def same_as_handed(folder):
    known = np.load(folder / "handed.npz")
    # Not compiled: Keras' PyTorch backend names its own optimizer in a file, which others would have to import.
    model = keras.models.load_model(folder / "handed.keras", compile=False)
    np.testing.assert_allclose(model.predict(known["x"], verbose=0), known["y"], atol=1e-4)
    for number, junction in enumerate(ks.junctions.junctions(model)):
        assert junction.kernel.connectivity == ks.Connectivity(*known[f"links{number}"], shape=junction.kernel.shape)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_and_rewiring(backend, handed):
    run(backend, handed, *QUICK, HANDED)
    same_as_handed(handed)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_everything_else(backend, tmp_path):
    run(backend, tmp_path, *SLOW)


@pytest.mark.slow
def test_a_file_goes_round_the_backends(handed):
    for backend in BACKENDS:
        run(backend, handed, HANDED)
    same_as_handed(handed)


def test_no_scenario_is_left_out():
    text = SCRIPT.read_text()
    names = [line.split("def ")[1].split("(")[0] for line in text.split("@scenario\n")[1:]]
    assert sorted(names) == sorted([*QUICK, *SLOW, HANDED])


class TestDispatch:
    def choose(self, backend, **changes):
        facts = {"device": "cpu", "shape": (784, 1000), "connections": 39200, **changes}
        return dispatch.choose(facts.pop("requested", "auto"), backend=backend, **facts)

    def test_density_decides_on_cpus(self):
        assert self.choose("torch").path == "stock"
        assert self.choose("torch", connections=200_000).path == "dense"
        assert self.choose("jax").path == "dense"
        assert self.choose("jax", connections=7840).path == "generic"
        assert self.choose("torch", shape=(64, 64), connections=40).path == "dense"

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_accelerators_get_a_matrix_where_it_is_small(self, backend):
        assert self.choose(backend, device="gpu", connections=784).path == "dense"
        large = self.choose(backend, device="gpu", shape=(10**5, 10**5), connections=10**6)
        assert large.path == {"jax": "generic", "torch": "stock"}[backend]
        assert "64 MiB" in large.reason

    def test_where_there_is_no_torch_sparse(self):
        large = {"shape": (10**5, 10**5), "connections": 10**6}
        assert self.choose("torch", device="mps", **large).path == "generic"
        with pytest.raises(ValueError, match="not torch on mps"):
            self.choose("torch", device="mps", requested="stock")

    def test_positions_that_32_bits_cannot_count_are_not_built(self):
        assert self.choose("jax", shape=(10**5, 10**5), connections=6 * 10**9).path == "generic"

    def test_what_is_asked_for(self):
        for path in ("dense", "generic"):
            assert self.choose("jax", requested=path).path == path
        assert self.choose("torch", requested="stock").module == "torch_stock"
        assert self.choose("jax", requested="native").path == "dense"  # gives way
        with pytest.raises(ValueError, match="would build a 100000 x 100000 matrix"):
            self.choose("jax", requested="dense", shape=(10**5, 10**5), connections=10**6)

    def test_convolutions(self):
        facts = {"backend": "torch", "device": "cpu", "geometry": Geometry(8, 8, (3, 3)), "connections": 50}
        assert dispatch_convolution.choose("native", **facts).module == "generic_dense"
        with pytest.raises(ValueError, match="needs the TensorFlow backend"):
            dispatch_convolution.choose("stock", **facts)
