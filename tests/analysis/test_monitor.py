import ast
import gc
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.analysis import Monitor, explored
from keras_sparse.analysis.tracking import Tracker


def network(build=True):
    model = keras.Sequential(
        [
            *([keras.Input((12,))] if build else []),
            ks.SparseDense(16, density=0.3, activation="relu", seed=1, name="hidden"),
            ks.SparseDense(3, density=0.6, activation="softmax", seed=2, name="out"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Spy(keras.callbacks.Callback):
    """Keeps the positions of the hidden layer at every epoch's end, with Python's sets."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(set(self.model.get_layer("hidden").kernel.connectivity.keys.tolist()))


def fit(model, problem, *callbacks, epochs=4, **arguments):
    return model.fit(*problem, batch_size=40, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments)


def test_records_what_rewiring_did(problem):
    model, rewire, spy = network(), ks.Rewire(ks.SET(0.3)), Spy()
    monitor = Monitor(picture=(3, 4))
    fit(model, problem, rewire, spy, monitor, epochs=5)
    assert set(monitor.history) == {"hidden", "out"}
    hidden = monitor.history["hidden"]
    assert hidden["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert not hidden["final"].any()
    assert set(hidden["connections"]) == {58}
    np.testing.assert_allclose(hidden["density"], 58 / 192)
    new = [0.0] + [len(now - before) / 58 for before, now in zip(spy.seen, spy.seen[1:])]
    np.testing.assert_allclose(hidden["turnover"], new)
    assert hidden["turnover"][1:].min() > 0.1
    ages = [0] * 5
    for position in spy.seen[-1]:
        age = 0
        while age < 4 and position in spy.seen[-2 - age]:
            age += 1
        ages[age] += 1
    assert hidden["ages"][-1].tolist() == ages
    assert hidden["ages"].sum(1).tolist() == [58] * 5
    kernel = model.get_layer("hidden").kernel
    assert hidden["in_degrees"].sum(1).tolist() == [16] * 5
    last = hidden["in_degrees"][-1]
    np.testing.assert_array_equal(np.trim_zeros(last, "b"), np.bincount(kernel.connectivity.in_degrees))
    np.testing.assert_array_equal(hidden["input_map"][-1], ks.analysis.input_map(model, shape=(3, 4)))
    assert hidden["input_map"].shape == (5, 3, 4)
    assert "input_map" not in monitor.history["out"]
    r_s = explored(rewire)["hidden"]
    np.testing.assert_allclose(hidden["explored"], [58 / 192, *r_s.share])
    assert r_s.epoch.tolist() == [1, 2, 3, 4]
    assert r_s.exact.all()
    assert r_s.step.tolist() == [4, 8, 12, 16]


def test_changes_nothing(problem):
    plain, watched = network(), network()
    for model, extra in ((plain, []), (watched, [Monitor()])):
        keras.utils.set_random_seed(7)
        fit(model, problem, ks.Rewire(ks.SET(0.3)), *extra)
    for left, right in zip(plain.variables, watched.variables):
        np.testing.assert_array_equal(left, right)


def test_without_rewire_nothing_moves(problem):
    monitor = Monitor()
    fit(network(), problem, monitor, epochs=3)
    hidden = monitor.history["hidden"]
    assert hidden["turnover"].tolist() == [0, 0, 0]
    assert np.isnan(hidden["explored"]).all()
    assert hidden["ages"].tolist() == [[58, 0, 0], [0, 58, 0], [0, 0, 58]]


def test_every_and_the_last_epoch(problem):
    monitor = Monitor(every=2)
    fit(network(), problem, ks.Rewire(ks.SET()), monitor, epochs=6)
    assert monitor.history["out"]["epoch"].tolist() == [0, 2, 4, 5]


def test_final_removal_is_one_more_record(problem):
    monitor = Monitor()
    fit(network(), problem, ks.Rewire(ks.SET(0.3, final_removal=True)), monitor, epochs=2)
    hidden = monitor.history["hidden"]
    assert hidden["epoch"].tolist() == [0, 1, 2]
    assert hidden["final"].tolist() == [False, False, True]
    assert hidden["connections"][-1] < 58
    assert hidden["ages"][-1].sum() == hidden["connections"][-1]
    assert hidden["turnover"][-1] == 0


def test_goes_on_over_several_fits(problem):
    model, monitor, rewire = network(), Monitor(), ks.Rewire(ks.SET(0.3))
    for _ in range(3):
        fit(model, problem, rewire, monitor, epochs=1)
    hidden = monitor.history["hidden"]
    assert hidden["epoch"].tolist() == [0, 1, 2]
    assert (hidden["turnover"][1:] > 0).all()
    assert hidden["ages"][-1, 2] > 0
    fit(model, problem, rewire, monitor, epochs=8, initial_epoch=7)
    assert monitor.history["hidden"]["epoch"].tolist() == [0, 1, 2, 7]


def test_a_model_that_is_built_by_its_first_step(problem):
    monitor = Monitor()
    fit(network(build=False), problem, ks.Rewire(ks.SET()), monitor, epochs=2)
    assert monitor.history["hidden"]["epoch"].tolist() == [0, 1]
    assert monitor.history["hidden"]["ages"].shape == (2, 2)


def test_ages_of_a_resumed_run_begin_with_it(problem):
    monitor = Monitor()
    fit(network(), problem, ks.Rewire(ks.SET()), monitor, epochs=22, initial_epoch=20)
    assert monitor.history["hidden"]["epoch"].tolist() == [20, 21]
    assert monitor.history["hidden"]["ages"].shape == (2, 2)


def test_p_values(problem):
    monitor = Monitor(power_law_sets=2)
    fit(network(), problem, monitor, epochs=1)
    hidden = monitor.history["hidden"]
    into = ks.analysis.degrees(monitor.model.get_layer("hidden")).in_degrees
    np.testing.assert_array_equal(hidden["set_paper_p"], [ks.analysis.set_paper_p_value(into)])
    np.testing.assert_array_equal(hidden["power_law_p"], [ks.analysis.power_law(into, sets=2).p_value])


def test_summaries_can_be_read_back(problem, tmp_path):
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monitor = Monitor(tmp_path, picture=(3, 4))
    fit(network(), problem, ks.Rewire(ks.SET(0.3)), monitor, epochs=3)
    hidden = monitor.history["hidden"]
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()

    def read(tag):
        found = events.Tensors(f"hidden/{tag}")
        assert [event.step for event in found] == [0, 1, 2]
        plugin = events.SummaryMetadata(f"hidden/{tag}").plugin_data.plugin_name
        return plugin, [tf.make_ndarray(event.tensor_proto) for event in found]

    for name in ("turnover", "density", "explored", "connections"):
        plugin, values = read(name)
        assert plugin == "scalars"
        np.testing.assert_allclose(values, hidden[name], rtol=1e-6)
    plugin, buckets = read("ages")
    assert plugin == "histograms"
    np.testing.assert_allclose(buckets[-1], [[a - 0.5, a + 0.5, hidden["ages"][-1, a]] for a in range(3)])
    plugin, (_, _, (width, height, png, *_)) = read("input_map")
    assert plugin == "images"
    assert (int(width), int(height)) == (4, 3)
    drawn = tf.io.decode_png(png).numpy()[..., 0] / 255
    last = hidden["input_map"][-1]
    np.testing.assert_allclose(drawn, last / last.max(), atol=0.01)


def test_no_summaries_unless_asked(problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(network(), problem, Monitor(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_many_counts_become_wide_buckets(tmp_path):
    from keras_sparse.analysis.summaries import Writer

    writer, written = Writer(tmp_path), []
    writer._summary = type("Summary", (), {"record_if": lambda self, on: writer._writer.as_default()})()
    writer._summary.write = lambda tag, rows, **_: written.append(rows)
    writer.counts("x", np.arange(150), 0)
    assert len(written[0]) == 50
    assert written[0][:, 2].sum() == np.arange(150).sum()
    assert written[0][1].tolist() == [2.5, 5.5, 3 + 4 + 5]
    writer.close()


def test_errors(problem):
    for wrong, message in (({"every": 0}, "every"), ({"picture": (12,)}, "picture"), ({"power_law_sets": 0}, "sets")):
        with pytest.raises(ValueError, match=message):
            Monitor(**wrong)
    with pytest.raises(ValueError, match="after Rewire"):
        fit(network(), problem, Monitor(), ks.Rewire(ks.SET()))
    with pytest.raises(ValueError, match="25 pixels, but hidden has 12 inputs"):
        fit(network(), problem, Monitor(picture=(5, 5)))
    dense = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    dense.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="no sparse kernel to monitor"):
        fit(dense, problem, Monitor())


def test_memory_of_a_tracker_is_eight_bytes_per_connection():
    layer = ks.SparseDense(40_000, density=5e-4, use_bias=False, seed=1)  # 1.6e9 positions, 800,000 connections
    layer.build((None, 40_000))
    rewire = ks.Rewire(ks.SET(0.3)).attach(keras.Sequential([keras.Input((40_000,)), layer]))
    rewire.update()
    gc.collect()
    tracemalloc.start()
    tracker = Tracker(layer.kernel)
    rewire.update()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    turnover = tracker.look(1)
    ages = tracker.ages()
    peak = tracemalloc.get_traced_memory()[1] - before
    held = tracemalloc.get_traced_memory()[0]
    del tracker
    held -= tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.2 < turnover < 0.31
    assert ages.sum() == 800_000
    assert held < 8.5 * 800_000
    assert peak < 25 * 800_000


def test_heavy_packages_are_imported_where_they_are_used():
    for file in Path(ks.analysis.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        above = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in above if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in above if isinstance(node, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in names} & {"matplotlib", "powerlaw", "scipy", "tensorflow"}, file
        anywhere = any(isinstance(node, ast.Import) and node.names[0].name == "tensorflow" for node in ast.walk(tree))
        assert anywhere == (file.name == "summaries.py")
