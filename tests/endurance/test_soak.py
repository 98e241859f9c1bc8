"""Thousands of updates, with saving and loading in between: nothing breaks, and no memory goes."""

import gc
import itertools
import os
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.compute.exporting import read
from keras_sparse.junctions import junctions
from keras_sparse.rewiring.optimizer_state import slots

POLICIES = (
    lambda: ks.SET(0.3),
    lambda: ks.RigL(0.3),
    lambda: ks.PruneRegrow(drop="sign-split", redistribute="magnitude"),
    lambda: ks.SNFS(0.2),
    lambda: ks.DeepR(l1=1e-4, temperature=1e-6),
    lambda: ks.ContinuousSET(0.2, 0.5),
    lambda: ks.SRigL(0.3, gamma=0),
)
BATCH = 8


def network():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            ks.SparseConv2D(8, 3, density=0.3, activation="relu", strides=2),
            keras.layers.Flatten(),
            ks.SparseDense(48, density=0.15, activation="relu"),
            ks.SparseDense(10, density=0.4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003, amsgrad=True), loss)
    return model


class Before(keras.callbacks.Callback):
    """Notes every connection with its value and slots before Rewire, which is listed after it, can act."""

    def on_train_batch_begin(self, batch, logs=None):
        self.kernels = [snapshot(kernel, self.model.optimizer) for kernel in kernels(self.model)]

    on_train_batch_end = on_train_batch_begin


class After(keras.callbacks.Callback):
    """Checks the invariants after every update, and that memory does not grow from one to the next."""

    def __init__(self, rewire, before, begin):
        super().__init__()
        self.rewire, self.before, self.begin = rewire, before, begin
        self.updates = self.begun = self.grown = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.check()

    def on_train_batch_end(self, batch, logs=None):
        self.check()
        if batch == self.begin:
            self.begun = resident()
        elif batch + 1 == self.params["steps"] and self.begun:
            self.grown = resident() - self.begun

    def check(self):
        policy, entries = self.rewire.policy, {e["layer"]: dict(e) for e in self.rewire.history}
        self.rewire.history.clear()  # a kilobyte an update, which is meant to grow
        found = [(junction.name, junction.kernel) for junction in junctions(self.model)]
        totals = [0, 0]
        for (name, kernel), (keys, rows) in zip(found, self.before.kernels):
            keys_now, rows_now = snapshot(kernel, self.model.optimizer)
            where = f"{name}, {policy!r}, {entries.get(name)}"
            totals = [totals[0] + len(keys), totals[1] + len(keys_now)]
            if policy.keeps_count:
                assert len(keys_now) == len(keys), where
            assert len(keys_now) == len(np.unique(keys_now)) <= kernel.capacity, where
            assert keys_now.min() >= 0, where
            assert keys_now.max() < kernel.shape[0] * kernel.shape[1], where
            assert np.all(np.isfinite(rows_now)), where
            assert not np.any(read(kernel.values)[len(keys_now) :]), where
            assert kernel.fingerprint() == kernel.state().fingerprint == kernel.slots_mark.fingerprint, where
            place = {key: i for i, key in enumerate(keys.tolist())}
            old = np.array([place.get(key, -1) for key in keys_now.tolist()])
            same = rows_now == rows[old]
            followed = (old >= 0) & np.all(same[:, 1:], axis=1)
            fresh = ~np.any(rows_now[:, 1:], axis=1)
            assert np.all(followed | fresh), where
            assert policy.changes_kept_values or np.all(same[followed & ~fresh, 0]), where
            entry = entries.get(name)
            if entry is not None and policy.when != "after_step":  # entries of those are sums
                assert len(keys_now) == entry["connections"] == len(keys) - entry["removed"] + entry["added"], where
                assert np.count_nonzero(followed) >= len(keys) - entry["removed"], where
        if policy.keeps_total:
            assert totals[0] == totals[1], f"{policy!r}: {totals}"
        self.updates += bool(entries)


def snapshot(kernel, optimizer):
    """Return the positions of a kernel's connections, and a row with the value and the slots of each."""
    count = len(kernel)
    columns = [kernel.host_values(), *(read(slot.variable)[:count] for slot in slots(optimizer, kernel.values))]
    return kernel.connectivity.keys, np.stack(columns, axis=1)


def kernels(model):
    return [junction.kernel for junction in junctions(model)]


def everything(model):
    return [np.array(read(variable)) for variable in [*model.variables, *model.optimizer.variables]]


def resident():
    """Return the bytes of memory that this process holds, what is free given back."""
    gc.collect()
    if os.uname().sysname == "Linux":
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(file, updates, steps, begin=-1):
    """Train, save, load and go on until there were so many updates; return how memory grew in each of the fits."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(steps * BATCH, 8, 8, 3)).astype("float32")
    y = rng.integers(0, 10, len(x))
    model, done, grown, dead = network(), 0, [], []
    for make in itertools.cycle(POLICIES):
        before = Before()
        rewire = ks.Rewire(make(), every=1)
        after = After(rewire, before, begin)
        model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[before, rewire, after])
        assert after.updates
        done += after.updates
        grown.append(after.grown)
        model.save(file)
        expected = everything(model)
        dead += [weakref.ref(kernel) for kernel in kernels(model)]
        del model, before, rewire, after
        keras.utils.clear_session()
        model = ks.load_model(file)
        for ours, theirs in zip(expected, everything(model), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        if done >= updates:
            break
    gc.collect()
    assert not [ref for ref in dead if ref() is not None], "kernels of models that are gone are still there"
    return grown


@pytest.mark.slow
def test_updates_with_saving_in_between_keep_the_invariants(tmp_path):
    soak(tmp_path / "model.keras", 300, steps=50)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells its memory by Linux' /proc only")
def test_ten_thousand_updates_take_no_memory(tmp_path):
    steps, begin = 600, 100
    grown = soak(tmp_path / "model.keras", 10_000, steps, begin)
    per_update = sum(grown[2:]) / (len(grown) - 2) / (steps - begin)
    print(f"\n{len(grown)} fits, {per_update:.0f} bytes an update; by fit: {[round(g / 2**10) for g in grown]} KiB")
    assert per_update < 300
