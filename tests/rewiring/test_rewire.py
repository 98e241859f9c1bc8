import copy
import gc
import pickle
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_sparse as ks
from keras_sparse.rewiring import optimizer_state
from keras_sparse.rewiring.explored import Explored

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(optimizer="adam", density=0.3, **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((12,)),
            ks.SparseDense(16, density=density, activation="relu", seed=1, name="hidden"),
            keras.layers.Dropout(0.3, seed=5),
            ks.SparseDense(3, density=0.6, seed=2, name="out"),
        ]
    )
    model.compile(optimizer, LOSS, metrics=["accuracy"], **compile_arguments)
    return model


def snapshot(model):
    return [w.numpy().copy() for w in [*model.variables, *model.optimizer.variables]]


class ByPath(keras.optimizers.Optimizer):
    """Keeps its slots in a dict, as Muon did in Keras 3.12."""

    def build(self, variables):
        super().build(variables)
        self.speeds = {v.path: self.add_variable_from_reference(v, name="speed") for v in variables}

    def update_step(self, gradient, variable, learning_rate):
        speed = self.speeds[self._trainable_variables[self._get_variable_index(variable)].path]
        self.assign(speed, 0.9 * speed + gradient)
        self.assign_sub(variable, learning_rate * speed)


OPTIMIZERS = {
    "by path": lambda: ByPath(0.01),
    "sgd momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "adagrad": lambda: keras.optimizers.Adagrad(0.05, initial_accumulator_value=0.25),
    "adadelta": lambda: keras.optimizers.Adadelta(0.5),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.05, initial_accumulator_value=0.2),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "ema": lambda: keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.5),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}
if keras.__version__ >= "3.13":  # earlier ones fail on TensorFlow
    OPTIMIZERS["muon"] = lambda: keras.optimizers.Muon(0.01)
NUMBER_OF_SLOTS = {
    "by path": 1, "sgd momentum": 1, "nesterov": 1, "adam": 2, "amsgrad": 3, "adamw": 2, "rmsprop": 3, "nadam": 2,
    "adagrad": 1, "adadelta": 2, "adamax": 2, "ftrl": 2, "lion": 1, "lamb": 2, "adafactor": 1, "muon": 2, "ema": 2,
    "accumulation": 3, "loss scaling": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_follow_their_connections(name, problem):
    model = network(OPTIMIZERS[name]())
    model.fit(*problem, batch_size=32, epochs=2, verbose=0)
    kernel, optimizer = model.get_layer("hidden").kernel, model.optimizer
    slots = optimizer_state.slots(optimizer, kernel.values)
    assert len(slots) == NUMBER_OF_SLOTS[name]

    def by_position():
        c = kernel.connectivity
        rows = [
            dict(zip(c.keys.tolist(), v.tolist())) for v in [kernel.host_values(), *(s.variable.numpy() for s in slots)]
        ]
        return rows[0], rows[1:]

    old_values, old_slots = by_position()
    assert any(any(v != 0 for v in slot.values()) for slot in old_slots)
    values = kernel.host_values()
    kept = set(kernel.connectivity.keys[ks_survivors(values, 0.4)].tolist())
    ks.Rewire(ks.SET(0.4)).attach(model).update()
    new_values, new_slots = by_position()
    assert len(new_values) == len(old_values)
    assert kept <= set(new_values)
    for position, value in new_values.items():
        for slot, old, new in zip(slots, old_slots, new_slots):
            if position in kept:
                assert value == old_values[position]
                assert new[position] == old[position]
            elif slot.name == "model_variables_moving_average":
                assert new[position] == value
            elif name in ("adagrad", "ftrl") and slot.name == "accumulators":
                assert new[position] == pytest.approx(optimizer.initial_accumulator_value)
            else:
                assert new[position] == 0
    model.fit(*problem, batch_size=32, epochs=1, verbose=0)
    assert np.all(np.isfinite(kernel.host_values()))


@pytest.mark.parametrize(
    "name", ["adam", "adamax", "rmsprop", "adafactor", "sgd momentum", *(["muon"] if "muon" in OPTIMIZERS else [])]
)
def test_newcomers_may_start_at_the_mean_second_moment(name, problem):
    moments = {
        "adam": "velocities", "adamax": "u", "rmsprop": "velocities", "adafactor": "v", "muon": "adam_velocities",
    }.get(name)  # fmt: skip
    model = network(OPTIMIZERS[name]())
    model.fit(*problem, batch_size=32, epochs=2, verbose=0)
    kernel = model.get_layer("hidden").kernel
    slots = optimizer_state.slots(model.optimizer, kernel.values)
    assert moments is None or moments in [slot.name for slot in slots]
    before, old = kernel.connectivity.keys, {slot.name: slot.variable.numpy() for slot in slots}
    kept = ks_survivors(kernel.host_values(), 0.4)
    ks.Rewire(ks.SET(0.4), newcomers="mean").attach(model).update()
    stayed = np.isin(kernel.connectivity.keys, before[kept])
    assert 0 < stayed.sum() < len(stayed)
    for slot in slots:
        new = slot.variable.numpy()[: len(stayed)]
        wanted = old[slot.name][: len(before)][kept].mean() if slot.name == moments else 0.0
        # One that went may have come back, as a newcomer.
        np.testing.assert_allclose(new[~stayed], wanted, rtol=1e-5)
        assert slot.name != moments or wanted > 0


def test_newcomers_must_be_known():
    with pytest.raises(ValueError, match="`newcomers` must be one of initial, mean; got 'zero'"):
        ks.Rewire(ks.SET(), newcomers="zero")


def ks_survivors(values, zeta):
    from keras_sparse.rewiring.set import survivors

    return survivors(values, zeta)


@settings(deadline=None, max_examples=15)
@given(
    st.integers(2, 30), st.integers(2, 400), st.floats(0.01, 1), st.floats(0, 1), st.integers(0, 3), st.integers(0, 20)
)
def test_updates_keep_the_invariants(n_in, n_out, density, zeta, seed, spare):
    """Invariants 1 to 4: unique, exact, aligned, tail zero, reproducible."""
    connections = max(1, round(density * (n_in * n_out)))
    results = []
    for _ in range(2):
        layer = ks.SparseDense(
            n_out, density=density, capacity=min(n_in * n_out, connections + spare), seed=seed, use_bias=False
        )
        model = keras.Sequential([keras.Input((n_in,)), layer])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "mse")
        optimizer.build(model.trainable_variables)
        rewire = ks.Rewire(ks.SET(zeta)).attach(model)
        for step in range(3):
            optimizer.iterations.assign(step + 1)
            before = dict(zip(layer.kernel.connectivity.keys.tolist(), layer.kernel.host_values().tolist()))
            [entry] = rewire.update()
            c = layer.kernel.connectivity
            assert len(c) == connections == len(np.unique(c.keys))
            assert layer.kernel.layout.order(c) is None
            assert not np.any(layer.kernel.values.numpy()[connections:])
            survivors = connections - entry["removed"]
            same = sum(before.get(k) == v for k, v in zip(c.keys.tolist(), layer.kernel.host_values().tolist()))
            assert same >= survivors
            assert layer.kernel.fingerprint() == layer.kernel.state().fingerprint
        results.append([w.numpy() for w in model.weights])
    assert all(np.array_equal(a, b) for a, b in zip(*results))


class TestWhen:
    def steps(self, rewire):
        return [h["step"] for h in rewire.history if h["layer"] == "hidden"]

    def test_epoch_updates_run_at_the_begin_of_every_epoch_but_the_first(self, problem):
        rewire = ks.Rewire(ks.SET(0.3))
        network().fit(*problem, batch_size=32, epochs=4, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [5, 10, 15]
        assert [h["epoch"] for h in rewire.history[::2]] == [1, 2, 3]

    def test_fit_called_epoch_by_epoch_rewires_just_as_often(self, problem):
        together, apart = network(), network()
        together.fit(*problem, batch_size=32, epochs=4, verbose=0, shuffle=False, callbacks=[ks.Rewire(ks.SET(0.3))])
        rewire = ks.Rewire(ks.SET(0.3))
        for _ in range(4):
            apart.fit(*problem, batch_size=32, epochs=1, verbose=0, shuffle=False, callbacks=[rewire])
        assert self.steps(rewire) == [5, 10, 15]
        for a, b in zip(snapshot(together), snapshot(apart)):
            assert np.array_equal(a, b)

    def test_a_second_epoch_begin_without_a_step_does_nothing(self, problem):
        model = network()
        rewire = ks.Rewire(ks.SET(0.3))
        model.fit(*problem, batch_size=32, epochs=2, verbose=0, callbacks=[rewire])
        count = len(rewire.history)
        rewire.on_epoch_begin(2)
        rewire.on_epoch_begin(2)
        assert len(rewire.history) == count + 2

    def test_every_n_steps_updates_run_before_the_step(self, problem):
        rewire = ks.Rewire(ks.SET(0.3), every=4)
        network().fit(*problem, batch_size=32, epochs=2, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [4, 8]

    def test_steps_count_from_the_optimizers_zero(self, problem):
        model = network()
        model.fit(*problem, batch_size=32, epochs=1, verbose=0)  # 5 steps without rewiring
        rewire = ks.Rewire(ks.SET(0.3), every=4)
        model.fit(*problem, batch_size=32, epochs=2, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [8, 12]
        late = ks.Rewire(ks.SET(0.3), every=4, start=0.5)
        network().fit(*problem, batch_size=16, epochs=2, verbose=0, callbacks=[late])  # 20 steps
        assert self.steps(late) == [12, 16]

    def test_every_single_step(self, problem):
        rewire = ks.Rewire(ks.SET(0.3), every=1)
        network().fit(*problem, batch_size=32, epochs=1, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [1, 2, 3, 4]

    def test_steps_per_execution(self, problem):
        rewire = ks.Rewire(ks.SET(0.3), every=4)
        network(steps_per_execution=2).fit(*problem, batch_size=16, epochs=1, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [4, 8]
        with pytest.raises(ValueError, match=r"cannot be rewired every 3 steps\. Use `every=2`"):
            network(steps_per_execution=2).fit(*problem, verbose=0, callbacks=[ks.Rewire(ks.SET(), every=3)])

    def test_gradient_accumulation_counts_real_steps(self, problem):
        rewire = ks.Rewire(ks.SET(0.3), every=2)
        model = network(keras.optimizers.Adam(0.01, gradient_accumulation_steps=2))
        model.fit(*problem, batch_size=16, epochs=1, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [2, 4]

    def test_start_and_stop_are_shares_of_the_training(self, problem):
        rewire = ks.Rewire(ks.SET(0.3), start=0.5, stop=0.75)
        network().fit(*problem, batch_size=32, epochs=8, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [20, 25, 30]

    def test_after_step_policies_run_after_every_step(self, problem):
        class After(ks.SET):
            when = "after_step"

        rewire = ks.Rewire(After(0.3))
        network().fit(*problem, batch_size=32, epochs=2, verbose=0, callbacks=[rewire])
        entries = [h for h in rewire.history if h["layer"] == "hidden"]
        assert [(h["epoch"], h["step"], h["updates"]) for h in entries] == [(0, 5, 5), (1, 10, 5)]
        assert all(h["removed"] == h["added"] > 5 for h in entries)  # sums over the epoch

    def test_after_step_policies_report_every_fit_for_itself(self, problem):
        model, rewire = network(), ks.Rewire(ks.DeepR())
        for _ in range(2):
            model.fit(*problem, batch_size=32, epochs=1, verbose=0, callbacks=[rewire])
        entries = [h for h in rewire.history if h["layer"] == "hidden"]
        assert [(h["step"], h["updates"]) for h in entries] == [(5, 5), (10, 5)]

    def test_steps_without_an_update_look_at_nothing(self, problem, monkeypatch):
        from keras_sparse.rewiring import optimizer_state

        looks = []
        look = optimizer_state.iterations
        monkeypatch.setattr(optimizer_state, "iterations", lambda optimizer: looks.append(1) or look(optimizer))
        rewire = ks.Rewire(ks.SET(0.3))
        network().fit(*problem, batch_size=32, epochs=2, verbose=0, callbacks=[rewire])
        assert len(looks) <= 4  # when training begins and at epochs; ten steps look for nothing

    def test_chosen_layers_only(self, problem):
        model = network()
        rewire = ks.Rewire(ks.SET(0.3), layers=["out"])
        model.fit(*problem, epochs=3, verbose=0, callbacks=[rewire])
        assert {h["layer"] for h in rewire.history} == {"out"}
        rewire = ks.Rewire(ks.SET(0.3), layers=[model.get_layer("hidden")])
        model.fit(*problem, epochs=2, verbose=0, callbacks=[rewire])
        assert {h["layer"] for h in rewire.history} == {"hidden"}

    def test_final_removal_happens_at_the_end_and_is_reported(self, problem):
        model = network()
        rewire = ks.Rewire(ks.SET(0.3, final_removal=True))
        model.fit(*problem, epochs=2, verbose=0, callbacks=[rewire])
        last = rewire.history[-2:]
        assert all(h["final"] and h["added"] == 0 and h["removed"] > 0 for h in last)
        assert not any(h["final"] for h in rewire.history[:-2])
        assert len(model.get_layer("hidden").kernel) == last[0]["connections"] < 58
        x, y = problem
        np.testing.assert_allclose(
            model.get_layer("hidden")(x),
            np.maximum(0, x @ model.get_layer("hidden").kernel.to_dense() + model.get_layer("hidden").bias.numpy()),
            atol=1e-5,
        )
        assert np.isfinite(model.evaluate(x, y, verbose=0)[0])

    def test_a_new_optimizer_starts_counting_anew(self, problem):
        model = network()
        model.fit(*problem, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
        model.compile("sgd", LOSS)
        rewire = ks.Rewire(ks.SET(0.3))
        model.fit(*problem, batch_size=32, epochs=2, verbose=0, callbacks=[rewire])
        assert self.steps(rewire) == [5]


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"policy": "SET"}, "ks.Policy"),
            ({"policy": ks.SET(), "every": "step"}, "positive number of optimizer steps"),
            ({"policy": ks.SET(), "every": 0}, "positive number of optimizer steps"),
            ({"policy": ks.SET(), "layers": "hidden"}, "list of layers"),
            ({"policy": ks.SET(), "layers": []}, "list of layers"),
            ({"policy": ks.SET(), "seed": "a"}, "`seed` must be an integer"),
            ({"policy": ks.SET(), "start": 0.8, "stop": 0.2}, "0 <= start <= stop <= 1"),
        ],
    )
    def test_wrong_ones_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ks.Rewire(**arguments)

    def test_models_without_sparse_layers(self, problem):
        model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
        model.compile("sgd", LOSS)
        with pytest.raises(ValueError, match="no sparse kernel to rewire"):
            model.fit(*problem, verbose=0, callbacks=[ks.Rewire(ks.SET())])

    def test_unknown_layers(self, problem):
        with pytest.raises(ValueError, match=r"'hiden', which has no sparse kernel.*hidden, out"):
            network().fit(*problem, verbose=0, callbacks=[ks.Rewire(ks.SET(), layers=["hiden"])])

    def test_update_needs_attach(self):
        with pytest.raises(ValueError, match="attach"):
            ks.Rewire(ks.SET()).update()

    def test_a_gradient_must_be_recorded_first(self):
        with pytest.raises(ValueError, match=r"rewire.recording\(\)"):
            ks.Rewire(ks.RigL()).attach(network()).update()


def copy_of(layer):
    return type(layer).from_config(layer.get_config())


class TestModels:
    @pytest.mark.parametrize("every", ["epoch", 5])
    def test_a_model_without_input_is_attached_once_it_is_built(self, problem, every):
        lazy = keras.Sequential([ks.SparseDense(16, density=0.3, seed=1), ks.SparseDense(3, density=0.6, seed=2)])
        ready = keras.Sequential([keras.Input((12,)), *map(copy_of, lazy.layers)])
        rewires = [ks.Rewire(ks.SET(0.3), every=every) for _ in range(2)]
        for model, rewire in zip((lazy, ready), rewires):
            model.compile("adam", LOSS)
            model.fit(*problem, batch_size=32, epochs=4, verbose=0, shuffle=False, callbacks=[rewire])
        assert [h["step"] for h in rewires[0].history] == [5, 5, 10, 10, 15, 15]
        assert rewires[0].history[0]["explored"] == rewires[1].history[0]["explored"]
        for a, b in zip(lazy.weights, ready.weights):
            assert np.array_equal(a, b)

    @pytest.mark.parametrize("policy", [ks.SET(0.3), ks.RigL(), ks.SNFS(), ks.DeepR()])
    def test_a_copy_does_the_same(self, policy, problem):
        """KerasTuner copies the callbacks of a search for every training."""
        first = ks.Rewire(policy, every=4)
        models, rewires = [network(), network()], [first, copy.deepcopy(first)]
        for model, rewire in zip(models, rewires):
            model.fit(*problem, epochs=2, shuffle=False, verbose=0, callbacks=[rewire])
        assert rewires[0].history
        assert rewires[0].history == rewires[1].history
        assert all(np.array_equal(a, b) for a, b in zip(*map(snapshot, models), strict=True))
        assert pickle.loads(pickle.dumps(ks.Rewire(policy))).history == []

    def test_models_are_forgotten(self, problem):
        references = []
        for _ in range(3):
            model = network()
            model.fit(*problem, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
            references.append(weakref.ref(model))
            del model
        keras.utils.clear_session()
        gc.collect()
        assert [reference() for reference in references] == [None] * 3

    def test_two_models_share_a_layer(self, problem, caplog):
        """Each has an optimizer, whose slots must not stay behind when the other's rewiring moves connections."""
        x, y = problem
        inputs = keras.Input((12,))
        shared = ks.SparseDense(16, density=0.3, seed=1, name="shared")
        hidden = shared(inputs)
        models = [keras.Model(inputs, keras.layers.Dense(3)(hidden)) for _ in range(2)]
        for model in models:
            model.compile(keras.optimizers.Adam(0.01), LOSS)

        def fit(model, epochs):
            caplog.clear()
            model.fit(x, y, epochs=epochs, verbose=0, callbacks=[ks.Rewire(ks.SET(0.5))])
            return "another optimizer" in caplog.text

        def moments(model):
            return [s.variable.numpy() for s in optimizer_state.slots(model.optimizer, shared.kernel.values)]

        one, other = models
        assert not fit(one, 1)
        assert not fit(other, 1)  # its slots are new, and nothing has moved
        assert not fit(one, 3)
        assert any(slot.any() for slot in moments(other))
        ks.Rewire(ks.SET(0.0)).attach(other)
        assert not any(slot.any() for slot in moments(other))
        assert not fit(other, 2)
        assert fit(one, 1)
        assert not fit(one, 1)

    def test_frozen_layers_are_left_alone_unless_named(self, problem):
        model = network()
        model.get_layer("hidden").trainable = False
        model.compile("adam", LOSS)
        rewire = ks.Rewire(ks.SET(0.3))
        model.fit(*problem, epochs=3, verbose=0, callbacks=[rewire])
        assert {h["layer"] for h in rewire.history} == {"out"}
        named = ks.Rewire(ks.SET(0.3), layers=["hidden"])
        model.fit(*problem, epochs=2, verbose=0, callbacks=[named])
        assert {h["layer"] for h in named.history} == {"hidden"}

    def test_several_callbacks_each_on_its_own_layers(self, problem):
        first, second = ks.Rewire(ks.SET(0.3), layers=["hidden"], every=4), ks.Rewire(ks.SET(0.3), layers=["out"])
        network().fit(*problem, batch_size=32, epochs=3, verbose=0, callbacks=[first, second])
        assert [h["step"] for h in first.history] == [4, 8, 12]
        assert [h["step"] for h in second.history] == [5, 10]
        with pytest.raises(ValueError, match="would rewire out: give each its own"):
            network().fit(*problem, verbose=0, callbacks=[ks.Rewire(ks.SET()), second])

    def test_all_connections_removed_and_trained_on(self, problem):
        for path in ("stock", "dense", "generic"):
            layer = ks.SparseDense(3, density=0.5, compute=path)
            model = keras.Sequential([keras.Input((12,)), layer])
            model.compile("adam", LOSS)
            rewire = ks.Rewire(ks.SET(1.0, final_removal=True))
            model.fit(*problem, epochs=2, verbose=0, callbacks=[rewire])
            assert len(layer.kernel) == 0
            model.fit(*problem, epochs=2, verbose=0)
            assert np.allclose(model.predict(problem[0], verbose=0), layer.bias)


def test_updates_at_one_step_draw_different_numbers():
    layer = ks.SparseDense(500, density=0.01, seed=3)
    layer.build((None, 500))
    model = keras.Sequential([keras.Input((500,)), layer])
    rewire = ks.Rewire(ks.SET(1.0)).attach(model)
    seen = [layer.kernel.connectivity.keys]
    for _ in range(3):
        rewire.update()
        seen.append(layer.kernel.connectivity.keys)
    for i, a in enumerate(seen):
        for b in seen[:i]:
            assert len(np.intersect1d(a, b)) < 0.05 * len(a)  # one per cent by chance


def test_a_broken_policy_leaves_every_kernel_as_it_was(problem):
    class HalfBroken(ks.SET):
        def update(self, kernels, **context):
            good, bad = super().update(kernels, **context)
            return [good, ks.Change(bad.keep[:-1], bad.inputs, bad.outputs)]

    model = network()
    model.fit(*problem, epochs=1, verbose=0)
    before = snapshot(model)
    rewire = ks.Rewire(HalfBroken(0.3)).attach(model)
    with pytest.raises(ValueError, match="HalfBroken on out: `keep` must be bool"):
        rewire.update()
    assert all(np.array_equal(a, b) for a, b in zip(before, snapshot(model)))
    assert rewire.history == []


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 30), st.integers(2, 400), st.floats(0.01, 1), st.integers(0, 3))
def test_candidates_and_copies_of_them_are_merged_alike(n_in, n_out, density, seed):
    """The candidates as drawn are trusted; the same positions from elsewhere, in any order, are checked and sorted."""

    class Copies(ks.SET):
        def update(self, kernels, **context):
            changes = super().update(kernels, **context)
            return [ks.Change(c.keep, c.inputs[::-1].copy(), c.outputs[::-1].copy()) for c in changes]

    kernels = []
    for policy in (ks.SET(0.4), Copies(0.4)):
        layer = ks.SparseDense(n_out, density=density, seed=seed, use_bias=False)
        model = keras.Sequential([keras.Input((n_in,)), layer])
        ks.Rewire(policy).attach(model, keras.optimizers.SGD(0.1, momentum=0.9)).update()
        kernels.append(layer.kernel)
    for a, b in zip(*(k.index() for k in kernels)):
        assert np.array_equal(a, b)
    assert np.array_equal(*(k.host_values() for k in kernels))


def test_candidates_drawn_for_other_survivors_are_checked():
    class Changes(ks.SET):
        def update(self, kernels, **context):
            [change] = super().update(kernels, **context)
            change.keep[:] = True
            return [change]

    layer = ks.SparseDense(40, density=0.5, capacity=1600, seed=1)
    model = keras.Sequential([keras.Input((40,)), layer])
    rewire = ks.Rewire(Changes(0.9)).attach(model)
    with pytest.raises(ValueError, match="where a kept one already is"):
        rewire.update()


def test_an_update_refuses_a_topology_that_is_none(problem):
    model = network()
    rewire = ks.Rewire(ks.SET(0.3)).attach(model)
    rewire.update()
    ids = model.get_layer("hidden").kernel.index_variables[0]
    ids.assign(np.full(ids.shape, -1))
    before = snapshot(model)
    with pytest.raises(ValueError, match="hold no valid topology"):
        rewire.update()
    assert all(np.array_equal(a, b) for a, b in zip(before, snapshot(model)))


def test_connections_set_from_outside_count_as_explored(problem):
    model = network()
    rewire = ks.Rewire(ks.SET(0.3), layers=["hidden"]).attach(model)
    rewire.update()
    kernel = model.get_layer("hidden").kernel
    share = rewire.history[-1]["explored"]
    seen = rewire.get_state()["arrays"]["explored/0"]
    tried = set(np.flatnonzero(np.unpackbits(seen, bitorder="little")).tolist())
    kernel.assign(ks.Random().sample(kernel.shape, 58, seed=9), np.ones(58, "float32"))
    there = set(kernel.connectivity.keys.tolist())
    [entry] = rewire.update()
    there |= set(kernel.connectivity.keys.tolist())
    assert share == len(tried) / 192
    assert entry["explored"] == len(tried | there) / 192


def test_history_says_what_happened(problem):
    model = network()
    rewire = ks.Rewire(ks.SET(0.5))
    model.fit(*problem, epochs=6, verbose=0, callbacks=[rewire])
    entries = [h for h in rewire.history if h["layer"] == "hidden"]
    assert all(h["removed"] == h["added"] > 0 and h["connections"] == 58 for h in entries)
    assert entries[0]["density"] == 58 / (12 * 16)
    shares = [h["explored"] for h in entries]
    assert shares == sorted(shares)
    assert shares[0] > 58 / 192
    assert shares[-1] > 0.7
    assert all(h["explored_exact"] for h in entries)
    assert entries[-1]["in_degree"][1] == 58 / 16
    assert entries[-1]["in_degree"][0] <= 58 / 16 <= entries[-1]["in_degree"][2]


class TestExplored:
    def test_exact_counts_the_union(self):
        explored, union = Explored((30, 20)), set()
        for seed in range(8):
            c = ks.Random().sample((30, 20), 50, seed=seed)
            explored.add(c.inputs, c.outputs)
            union |= set(c.keys.tolist())
            assert explored.share == len(union) / 600

    def test_estimate_is_close_and_labelled_and_constant_in_size(self):
        shape = (20000, 20000)
        explored, union = Explored(shape), np.empty(0, np.int64)
        for seed in range(5):
            c = ks.Random().sample(shape, 50000, seed=seed)
            explored.add(c.inputs, c.outputs)
            union = np.union1d(union, c.keys)
        assert not explored.exact
        assert explored.share == pytest.approx(len(union) / 4e8, rel=0.05)
        assert explored.state.nbytes <= 2**17
        again = Explored(shape)
        again.restore(explored.state)
        assert again.share == explored.share


def test_custom_training_loop(problem):
    x, y = problem
    layer = ks.SparseDense(16, density=0.3, activation="relu", seed=1)
    model = keras.Sequential([keras.Input((12,)), layer, ks.SparseDense(3, density=0.8, seed=2)])
    optimizer = keras.optimizers.Adam(0.02)
    rewire = ks.Rewire(ks.SET(0.3)).attach(model, optimizer)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x, training=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    losses = []
    for i in range(60):
        if i and i % 10 == 0 and i <= 40:
            entries = rewire.update(progress=i / 60)
            assert [e["removed"] > 0 for e in entries] == [True, True]
        losses.append(float(step()))
    assert losses[-1] < 0.5 * losses[0]
    assert len(rewire.history) == 8


class TestTogetherWithCallbacks:
    def test_the_saved_best_model_has_the_logged_metric(self, problem, tmp_path):
        x, y = problem
        model = network(keras.optimizers.Adam(0.05))
        save = keras.callbacks.ModelCheckpoint(
            str(tmp_path / "best.keras"), monitor="val_accuracy", save_best_only=True, mode="max"
        )
        history = model.fit(
            x[:100], y[:100], validation_data=(x[100:], y[100:]), epochs=10, verbose=0,
            callbacks=[ks.Rewire(ks.SET(0.6)), save],
        )  # fmt: skip
        best = max(history.history["val_accuracy"])
        again = keras.models.load_model(tmp_path / "best.keras")
        assert again.evaluate(x[100:], y[100:], verbose=0)[1] == pytest.approx(best)
        again.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])

    def test_early_stopping_restores_weights_and_topology_together(self, problem, caplog):
        x, y = problem
        model = network(keras.optimizers.Adam(0.05))
        stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
        history = model.fit(
            x[:40], y[:40], validation_data=(x[100:], y[100:]), epochs=60, verbose=0,
            callbacks=[ks.Rewire(ks.SET(0.6)), stop],
        )  # fmt: skip
        assert len(history.history["val_loss"]) < 60
        loss = model.evaluate(x[100:], y[100:], verbose=0)[0]
        assert loss == pytest.approx(min(history.history["val_loss"]), rel=1e-5)
        kernel = model.get_layer("hidden").kernel
        assert not kernel.slots_aligned()
        assert any(np.any(s.variable.numpy()) for s in optimizer_state.slots(model.optimizer, kernel.values))
        assert set(ks.realign(model)) == {"hidden", "out"}
        assert not any(np.any(s.variable.numpy()) for s in optimizer_state.slots(model.optimizer, kernel.values))
        assert "start anew" in caplog.text
        assert ks.realign(model) == []
        assert set(ks.realign(model, force=True)) == {"hidden", "out"}

    def test_the_next_fit_realigns_by_itself(self, problem):
        model = network()
        model.fit(*problem, epochs=1, verbose=0)
        weights = model.get_weights()
        model.fit(*problem, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.6))])
        model.set_weights(weights)
        kernel = model.get_layer("hidden").kernel
        assert not kernel.slots_aligned()
        model.fit(*problem, epochs=1, verbose=0, callbacks=[ks.Rewire(ks.SET(0.6), start=1.0)])
        assert kernel.slots_aligned()

    def test_slots_that_no_step_has_touched_are_no_reason_to_warn(self, problem, caplog):
        model = network()
        kernel = model.get_layer("hidden").kernel
        kernel.assign(ks.Random().sample(kernel.shape, len(kernel), seed=9), kernel.host_values())
        model.optimizer.build(model.trainable_variables)
        assert not kernel.slots_aligned()
        model.fit(*problem, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.6))])
        assert kernel.slots_aligned()
        assert not caplog.text

    @pytest.mark.parametrize("how", ["counted anew", "accumulating"])
    def test_slots_count_whatever_the_optimizer_counts(self, problem, how, caplog):
        """A warm restart sets the step to 0, accumulated gradients are no step yet."""
        model = network()
        steps = {"gradient_accumulation_steps": 9} if how == "accumulating" else {}
        model.compile(keras.optimizers.Adam(0.01, **steps), "sparse_categorical_crossentropy")
        model.fit(*problem, epochs=1, verbose=0, batch_size=80)
        if how == "counted anew":
            model.optimizer.iterations.assign(0)
        assert model.optimizer.iterations == 0
        kernel = model.get_layer("hidden").kernel
        kernel.assign(ks.Random().sample(kernel.shape, len(kernel), seed=9), kernel.host_values())
        assert ks.realign(model) == ["hidden"]
        assert "start anew" in caplog.text

    def test_keras_backup_and_restore_goes_on_with_the_same_topology(self, problem, tmp_path):
        class Crash(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 3:
                    raise RuntimeError("crash")

        def run(crash):
            model = network()
            model.layers[1].rate = 0.0  # BackupAndRestore does not keep dropout's state
            backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), delete_checkpoint=False)
            rewire = ks.Rewire(ks.SET(0.4))
            callbacks = [rewire, backup, *([Crash()] if crash else [])]
            model.fit(*problem, epochs=5, verbose=0, shuffle=False, callbacks=callbacks)
            return model, rewire

        with pytest.raises(RuntimeError, match="crash"):
            run(crash=True)
        resumed, rewire = run(crash=False)
        assert [h["epoch"] for h in rewire.history[::2]] == [3, 4]
        whole = network()
        whole.layers[1].rate = 0.0
        whole.fit(*problem, epochs=5, verbose=0, shuffle=False, callbacks=[ks.Rewire(ks.SET(0.4))])
        for a, b in zip(whole.weights, resumed.weights):
            assert np.array_equal(a, b), a.path


class TestAssign:
    def test_with_the_optimizer_slots_follow(self, problem):
        model = network()
        model.fit(*problem, epochs=1, verbose=0)
        kernel = model.get_layer("hidden").kernel
        old = kernel.connectivity
        [slot, *_] = optimizer_state.slots(model.optimizer, kernel.values)
        state = dict(zip(old.keys.tolist(), slot.variable.numpy().tolist()))
        new = ks.Random().sample(old.shape, 40, seed=8)
        values = np.arange(40, dtype="float32")
        order = np.random.default_rng(0).permutation(40)
        shuffled = ks.Connectivity(new.inputs[order], new.outputs[order], shape=new.shape)
        kernel.assign(shuffled, values[order], model.optimizer)
        assert kernel.connectivity == new
        assert kernel.to_dense()[new.inputs, new.outputs].tolist() == values.tolist()
        for key, moved in zip(kernel.connectivity.keys.tolist(), slot.variable.numpy().tolist()):
            assert moved == state.get(key, 0.0)
        assert kernel.slots_aligned()

    @pytest.mark.parametrize(
        ("connectivity", "count", "message"),
        [
            (ks.Random().sample((12, 15), 5, seed=0), 5, r"shape \(12, 16\)"),
            (ks.Random().sample((12, 16), 5, seed=0), 6, "expected 5 values"),
            (ks.Random().sample((12, 16), 100, seed=0), 100, "exceed the capacity of 58"),
        ],
    )
    def test_what_does_not_fit_changes_nothing(self, connectivity, count, message):
        model = network()
        before = [w.numpy() for w in model.weights]
        with pytest.raises(ValueError, match=message):
            model.get_layer("hidden").kernel.assign(connectivity, np.zeros(count))
        assert all(np.array_equal(a, b) for a, b in zip(before, model.weights))
