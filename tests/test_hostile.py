"""Files from strangers: one clear error, never a crash, a hang, all memory, or somebody's code."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse import saved
from keras_sparse.files import read_json

LAYER = "layers/sparse_dense/vars"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((20,)), ks.SparseDense(30, density=0.2, capacity=200), keras.layers.Dense(2)])
    path = tmp_path_factory.mktemp("sound") / "m.keras"
    model.save(path)
    return path.read_bytes()


def changed(content, path, *, config=None, weights=None, compression=zipfile.ZIP_STORED, **members):
    """Write a .keras file with its configuration, its weights or other members changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(path, "w", compression) as out:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "config.json" and config is not None:
                value = json.loads(data)
                data = json.dumps(config(value) or value).encode()
            if name == "model.weights.h5" and weights is not None:
                held = io.BytesIO(data)
                with h5py.File(held, "r+") as file:
                    weights(file)
                data = held.getvalue()
            out.writestr(name, data)
        for name, data in members.items():
            out.writestr(name, data)
    return path


def put(name, make):
    """Return a change of the weights: a data set of the sparse layer becomes `make(what it was)`."""

    def change(file):
        old = file[f"{LAYER}/{name}"][()]
        del file[f"{LAYER}/{name}"]
        file[f"{LAYER}/{name}"] = make(np.array(old))

    return change


def claim(name):
    def change(file):
        del file[f"{LAYER}/{name}"]
        file[LAYER].create_dataset(name, shape=(10**12,), dtype="uint16", chunks=(4096,), compression="gzip")

    return change


def at(place, number):
    def make(array):
        array[place] = number
        return array

    return make


def swapped(ids):
    ids[:2] = ids[1], ids[0]
    return ids


WEIGHTS = {
    "out of range": (put("kernel_ids", at(3, 30)), "outside its block"),
    "far out of range": (put("kernel_ids", at(3, 65535)), "outside its block"),
    "duplicate": (put("kernel_ids", lambda ids: np.repeat(ids[::2], 2)[: len(ids)]), "duplicated or not sorted"),
    "unsorted": (put("kernel_ids", swapped), "duplicated or not sorted"),
    "negative": (put("kernel_ids", lambda ids: ids.astype("int16") * -1), "must be .*uint16"),
    "falling rows": (put("kernel_rows", at(2, -5)), "must rise from 0"),
    "huge rows": (put("kernel_rows", at(-1, 2**62)), "must rise from 0"),
    "too few rows": (put("kernel_rows", lambda rows: rows[:-1]), "row pointers"),
    "more ids than rows say": (put("kernel_rows", at(-1, 5)), "must rise|ids for"),
    "fewer values": (put("kernel", lambda values: values[:-1]), "need as many values"),
    "text": (put("kernel", lambda values: values.astype("S5")), "need as many values"),
    "two dimensions": (put("kernel_ids", lambda ids: ids[None]), "one-dimensional"),
    "no state": (put("kernel_state", lambda state: state[:3]), "state must be"),
    "another layout": (put("kernel_state", at(1, 7)), "its layout"),
    "negative state": (put("kernel_state", at(5, -1)), "out of range"),
    "another topology": (put("kernel_state", at(7, 5)), "fingerprint is wrong"),
    "NaN": (put("kernel", at(0, np.nan)), "NaN or infinite"),
    "infinite": (put("kernel", at(-1, -np.inf)), "NaN or infinite"),
    # Keras declares some itself; Keras 3.12 reads before anyone can look.
    "10**12 ids": (claim("kernel_ids"), "claims 1,000,000,000,000 entries|declares|Unable to allocate"),
    "10**12 values": (claim("kernel"), "claims 1,000,000,000,000 entries|declares|Unable to allocate"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_hostile_weights_are_named(case, content, tmp_path):
    change, message = WEIGHTS[case]
    path = changed(content, tmp_path / "m.keras", weights=change)
    with pytest.raises(ValueError, match=message):
        ks.load_model(path)


@pytest.mark.parametrize("case", WEIGHTS)
def test_keras_own_loader_meets_the_same_checks(case, content, tmp_path):
    path = changed(content, tmp_path / "m.keras", weights=WEIGHTS[case][0])
    with pytest.raises(Exception) as caught:
        keras.models.load_model(path)
    assert isinstance(caught.value, ValueError)


def layer(config, number=1):
    return config["config"]["layers"][number]


def set_in(part, key, value, number=1):
    return lambda config: layer(config, number)[part].__setitem__(key, value)


CONFIGS = {
    "a capacity of 10**12": (set_in("build_config", "layout", {"capacity": 10**12}), "claims weights|capacity"),
    "a capacity of -1": (set_in("build_config", "layout", {"capacity": -1}), "no storage layout"),
    "a capacity of text": (set_in("build_config", "layout", {"capacity": "9" * 9}), "no storage layout"),
    "no layout": (set_in("build_config", "layout", 7), "no storage layout"),
    "10**9 units": (set_in("config", "units", 10**9), "claims weights of"),
    "density 7": (set_in("config", "density", 7.0), "density"),
    "an evil density": (
        set_in("config", "density", {"class_name": "system", "module": "os", "config": {}}),
        "system|os",
    ),
    "a pattern of code": (
        set_in("config", "pattern", {"class_name": "__lambda__", "config": {"value": "gAS="}}),
        "safe|lambda|Lambda|pattern",
    ),
    "10**11 dense units": (set_in("config", "units", 10**11, 2), "claims weights of"),
    "endless nesting": (lambda config: json.loads("[" * 300 + "]" * 300), "nested too deeply"),
    "nothing": (lambda config: {"a": 1}, "cannot be loaded"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_hostile_configurations_are_refused(case, content, tmp_path):
    change, message = CONFIGS[case]
    path = changed(content, tmp_path / "m.keras", config=change)
    with pytest.raises(ValueError, match=message):
        ks.load_model(path)


def test_a_kernel_that_no_machine_holds_is_an_error_before_it_is_drawn():
    layer = ks.SparseDense(10**6, density=1.0)
    with pytest.raises(ValueError, match=r"GiB, and this machine has"):
        layer.build((None, 10**6))


def test_code_in_a_file_is_not_run(tmp_path):
    mark = tmp_path / "run"
    evil = eval(f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x)[1]")
    model = keras.Sequential([keras.Input((4,)), ks.SparseDense(3, density=0.5), keras.layers.Lambda(evil)])
    mark.unlink(missing_ok=True)
    model.save(tmp_path / "m.keras")
    before = keras.src.backend.common.global_state.get_global_attribute("safe_mode_saving")
    keras.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(ValueError, match=r"(?i)lambda"):
            ks.load_model(tmp_path / "m.keras")
    finally:
        keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", before)
    assert not mark.exists()


def test_a_bomb_is_not_unpacked(content, tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out, zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in ("config.json", "metadata.json"):
            out.writestr(name, archive.read(name))
        with out.open("model.weights.h5", "w") as stream:
            for _ in range(saved._SMALL // 2**20 + 1):
                stream.write(bytes(2**20))
    with pytest.raises(ValueError, match="would unpack to"):
        ks.load_model(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_half_a_file_is_refused(share, content, tmp_path):
    (tmp_path / "m.keras").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="cannot be loaded as a Keras model"):
        ks.load_model(tmp_path / "m.keras")


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        ks.load_model(tmp_path / "absent.keras")


def test_a_sound_file_is_loaded(content, tmp_path):
    path = changed(content, tmp_path / "m.keras")
    model = ks.load_model(path)
    assert len(model.layers[0].kernel) == 120


def index(arrays):
    return next(name for name, array in arrays.items() if array.dtype == np.int64 and array.ndim == 1)


def tried(arrays):
    return next(name for name in arrays if name.startswith("rewire_0_"))


class TestBackups:
    def resume(self, folder):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), ks.SparseDense(9, density=0.3)])
        model.compile("adam", "mse", run_eagerly=True)
        x, y = np.ones((8, 6), "float32"), np.ones((8, 9), "float32")
        callbacks = [ks.Rewire(ks.SET(0.3)), ks.Backup(folder, delete_at_end=False)]
        model.fit(x, y, epochs=1, verbose=0, callbacks=callbacks)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda a, m: a.pop("variable_0"), "is damaged"),
            (lambda a, m: a.update(variable_0=a["variable_0"][:-1]), "is damaged"),
            (lambda a, m: a.update({index(a): np.full_like(a[index(a)], -1)}), "no valid topology"),
            (lambda a, m: a.update({tried(a): np.zeros(1, "uint8")}), "which positions were tried"),
            (lambda a, m: m.pop("variables"), "is damaged"),
            (lambda a, m: m.update(epoch="soon"), "is damaged"),
            (lambda a, m: m.update(slots=[]), "another number of sparse kernels"),
            (lambda a, m: m.update(history=[7]), "is damaged"),
        ],
    )
    def test_a_damaged_backup_is_one_error(self, change, message, tmp_path):
        self.resume(tmp_path)
        [path] = tmp_path.glob("epoch-*.npz")
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        change(arrays, meta)
        np.savez(path, meta=np.array(json.dumps(meta)), **arrays)
        with pytest.raises(ValueError, match=message):
            self.resume(tmp_path)

    def test_state_from_a_file_takes_no_method_s_place(self):
        from keras_sparse.backup import _restore_callback

        stopping = keras.callbacks.EarlyStopping()
        with pytest.raises(ValueError, match="is no state of a EarlyStopping"):
            _restore_callback(stopping, {"on_epoch_end": "x"}, "callback_0", {})
        _restore_callback(stopping, {"wait": 3}, "callback_0", {})
        assert stopping.wait == 3


class TestJson:
    @pytest.mark.parametrize("text", ["[" * 100_000, "{", "\xff", "", '{"a": 1'])
    def test_rubbish_is_a_value_error(self, text, tmp_path):
        (tmp_path / "f.json").write_text(text, "latin-1")
        with pytest.raises(ValueError):
            read_json(tmp_path / "f.json")

    def test_endless_files_are_not_read(self, tmp_path):
        with (tmp_path / "f.json").open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(ValueError, match="larger than"):
            read_json(tmp_path / "f.json")


def test_a_record_names_no_file_outside_of_its_run(tmp_path):
    from keras_sparse.search.records import TrialRecord

    sound = TrialRecord(0, "failed", 1, {}, "accuracy", error="x").to_dict()
    assert TrialRecord.from_dict(sound)
    for name in ("/etc/passwd", "../../elsewhere.keras", 7):
        with pytest.raises(ValueError, match="network"):
            TrialRecord.from_dict({**sound, "network": name})


def test_a_report_does_not_follow_links_out_of_its_run(tmp_path):
    from keras_sparse.search.records import TrialRecord
    from keras_sparse.search.report.collect import collect

    (tmp_path / "run" / "trials").mkdir(parents=True)
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(TrialRecord(0, "failed", 1, {"secret": 42}, "accuracy", error="x").to_dict()))
    (tmp_path / "run" / "trials" / "0000.json").symlink_to(secret)
    value = collect(tmp_path / "run")
    assert value["trials"] == []
    assert "42" not in json.dumps(value)


BOMB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30,) * 2)
from keras_sparse.search.data import load
try:
    load(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("case", ["header", "stored"])
def test_data_that_claim_10_to_the_12_entries_take_no_memory(case, tmp_path):
    path = tmp_path / "d.npz"
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in ("x.npy", "y.npy"):
            with out.open(name, "w") as stream:
                stream.write(header)
                stream.write(bytes(1000 if case == "header" else 2**24))
    run = subprocess.run([sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("DataError")


def test_nothing_is_pickled():
    words = ("import pickle", "from pickle", "joblib", "marshal", "allow_pickle=True", "dill")
    root = Path(ks.__file__).parents[1]
    sources = [path for folder in ("keras_sparse", "search", "cli") for path in (root / folder).rglob("*.py")]
    # A worker's task comes through a pipe from the process that started it, as multiprocessing sends it: from no file.
    sources.remove(root / "search" / "distributed" / "local.py")
    assert len(sources) > 150
    assert [path for path in sources for word in words if word in path.read_text("utf-8")] == []


def test_the_fuzzer_finds_nothing_in_what_it_once_found():
    folder = Path(__file__).parent / "fuzz"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, str(folder / "run.py"), "--replay", str(folder / "corpus.txt"), "--seconds", "300"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
