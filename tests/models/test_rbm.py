import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks
from keras_sparse.compute import recording


def states(count):
    """Return all rows of `count` bits."""
    return ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype("float64")


def parameters(rbm):
    return (a.astype("float64") for a in (rbm.kernel.to_dense(), rbm.visible_bias.numpy(), rbm.hidden.bias.numpy()))


def exact_log_partition(rbm):
    """Sum over all states of the hidden units."""
    w, b, c = parameters(rbm)
    h = states(rbm.hidden_units)
    return np.logaddexp.reduce(h @ c + np.logaddexp(0, b + h @ w.T).sum(1))


def exact_free_energy(rbm, v):
    """Sum exp(−E(v, h)) over all h."""
    w, b, c = parameters(rbm)
    h = states(rbm.hidden_units)
    return -np.logaddexp.reduce(v @ w @ h.T + (v @ b)[:, None] + h @ c, axis=1)


def exact_log_probability(rbm, x):
    return float(np.mean(-exact_free_energy(rbm, x.astype("float64"))) - exact_log_partition(rbm))


def bars(count, noise=0.1):
    """Pictures of 3 x 4 pixels whose rows are on or off, with some pixels flipped."""
    rng = np.random.default_rng(0)
    clean = np.repeat(rng.integers(0, 2, (count, 3)), 4, axis=1)
    return np.where(rng.random(clean.shape) < noise, 1 - clean, clean).astype("float32")


def made(n_in=12, hidden=8, density=0.5, **options):
    """Return a built RBM with weights that matter."""
    rbm = ks.RBM(hidden, density=density, seed=1, **options)
    rbm.build((None, n_in))
    rng = np.random.default_rng(2)
    rbm.kernel.assign(rbm.kernel.connectivity, rng.normal(0, 1, len(rbm.kernel)))
    rbm.visible_bias.assign(rng.normal(0, 0.5, n_in))
    rbm.hidden.bias.assign(rng.normal(0, 0.5, hidden))
    return rbm


class Conformance(TestCase):
    """Keras' own harness: shapes, dtypes, serialization, training, mixed precision."""

    def test_as_a_layer(self):
        for options, states in (({}, 0), ({"persistent": True, "chains": 5, "cd": 2}, 1)):
            self.run_layer_test(
                ks.RBM,
                init_kwargs={"hidden_units": 4, "density": 0.5, "kernel_regularizer": "l2", **options},
                input_shape=(2, 6),
                expected_output_shape=(2, 4),
                expected_num_trainable_weights=3,
                expected_num_non_trainable_weights=3 + states,
                expected_num_seed_generators=1,
                expected_num_losses=1,
                supports_masking=False,
            )


class TestDistribution:
    def test_probabilities_are_those_of_the_matrix(self):
        rbm = made()
        w, b, c = parameters(rbm)
        v, h = np.random.default_rng(0).random((5, 12)), np.random.default_rng(0).random((5, 8))
        np.testing.assert_allclose(rbm(v), 1 / (1 + np.exp(-c - v @ w)), atol=1e-5)
        np.testing.assert_allclose(rbm.visible_logits(h), b + h @ w.T, atol=1e-5)
        hidden = 1 / (1 + np.exp(-c - v @ w))
        np.testing.assert_allclose(rbm.reconstruct(v), 1 / (1 + np.exp(-b - hidden @ w.T)), atol=1e-5)
        assert np.any(rbm.reconstruct(v, sample=True) != rbm.reconstruct(v))

    def test_free_energy_sums_over_the_hidden_units(self):
        rbm = made()
        v = states(12)[::7]
        np.testing.assert_allclose(rbm.free_energy(v), exact_free_energy(rbm, v), rtol=1e-5, atol=1e-5)

    def test_free_energy_of_large_weights_is_finite(self):
        rbm = made()
        rbm.kernel.assign(rbm.kernel.connectivity, np.full(len(rbm.kernel), 1e4))
        energies = np.asarray(rbm.free_energy(states(12)[-3:]))
        assert np.all(np.isfinite(energies))
        assert np.all(energies < -1e4)

    def test_samples_have_the_moments_of_the_model(self):
        rbm = made()
        v = states(12)
        p = np.exp(-exact_free_energy(rbm, v) - exact_log_partition(rbm))
        assert p.sum() == pytest.approx(1)
        samples = rbm.sample(4000, steps=100)
        assert set(np.unique(samples)) == {0, 1}
        np.testing.assert_allclose(samples.mean(0), p @ v, atol=0.05)
        np.testing.assert_allclose(samples.T @ samples / 4000, (v * p[:, None]).T @ v, atol=0.05)
        start = np.ones((3, 12))
        assert rbm.sample(3, steps=1, start=start).shape == (3, 12)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda rbm: rbm.sample(0), "`count` must be a positive integer"),
            (lambda rbm: rbm.sample(2, steps=0), "`steps`"),
            (lambda rbm: rbm.sample(2, start=np.ones((3, 12))), r"shape \(2, 12\)"),
            (lambda rbm: rbm.log_partition(chains=1), "two chains"),
            (lambda rbm: rbm.log_partition(temperatures=0), "positive number of steps"),
            (lambda rbm: rbm.log_partition(temperatures=[0, 0.5, 0.5, 1]), "rise from 0 to 1"),
            (lambda rbm: rbm.log_probability(np.ones((2, 11))), r"shape \(n, 12\)"),
            (lambda rbm: rbm.log_probability(np.full((2, 12), 255)), r"must lie in \[0, 1\]"),
            (lambda rbm: ks.RBM(8).sample(2), "no weights yet"),
        ],
    )
    def test_wrong_arguments_are_refused(self, call, message):
        with pytest.raises(ValueError, match=message):
            call(made())


class TestAnnealing:
    @pytest.mark.parametrize("density", [0.3, 1.0])
    def test_log_partition_is_the_exact_one(self, density):
        rbm = made(density=density)
        exact = exact_log_partition(rbm)
        for data in (None, bars(50)):
            found = rbm.log_partition(data, chains=200, temperatures=1000)
            assert abs(found.value - exact) < 0.05
            assert abs(found.value - exact) < 4 * found.standard_error + 1e-3
            assert 0 < found.standard_error < 0.05
        assert rbm.log_partition(seed=3, temperatures=20) == rbm.log_partition(seed=3, temperatures=20)
        assert rbm.log_partition(seed=3, temperatures=20) != rbm.log_partition(seed=4, temperatures=20)

    def test_log_probability_of_a_trained_model(self):
        x = bars(200)
        rbm = ks.RBM(8, density=0.5, seed=1)
        rbm.compile(keras.optimizers.SGD(0.1, momentum=0.9))
        rbm.fit(x, batch_size=10, epochs=20, verbose=0)
        before = [variable.numpy() for variable in rbm.variables]
        found = rbm.log_probability(x, temperatures=np.linspace(0, 1, 2000) ** 1.5)
        assert abs(found.value - exact_log_probability(rbm, x)) < 0.05
        assert all(np.array_equal(a, b) for a, b in zip(before, rbm.variables))  # training does not notice
        half = rbm.log_probability(x[:100], data=x)
        assert abs(half.value - exact_log_probability(rbm, x[:100])) < 0.05

    def test_the_standard_error_is_honest(self):
        rbm = made(density=1.0)
        exact = exact_log_partition(rbm)
        found = [rbm.log_partition(temperatures=50, chains=50, seed=seed) for seed in range(20)]
        scores = [(estimate.value - exact) / estimate.standard_error for estimate in found]
        assert 0.5 < np.std(scores) < 2


class TestTraining:
    def trained(self, x, epochs=30, rewire=None, rate=0.1, **options):
        rbm = ks.RBM(8, density=0.5, seed=1, **options)
        rbm.compile(keras.optimizers.SGD(rate, momentum=0.5))
        callbacks = [] if rewire is None else [rewire]
        history = rbm.fit(x, batch_size=10, epochs=epochs, verbose=0, callbacks=callbacks)
        return rbm, history.history

    @pytest.mark.parametrize(
        "options", [{}, {"cd": 3}, {"cd": 10}, {"persistent": True}, {"compute": "stock"}, {"density": 1.0}]
    )
    def test_likelihood_rises(self, options):
        x = bars(200)
        options = {"density": 0.5, **options}
        rbm = ks.RBM(8, seed=1, **options)
        rbm.build((None, 12))
        before = exact_log_probability(rbm, x)
        rbm.compile(keras.optimizers.SGD(0.1, momentum=0.5))
        rbm.fit(x, batch_size=10, epochs=30, verbose=0)
        assert before < -8
        assert exact_log_probability(rbm, x) > -6.7

    def test_set_rewires_and_the_likelihood_rises(self):
        x = bars(200)
        rewire = ks.Rewire(ks.SET(0.3, final_removal=True), stop=0.7)
        rbm, history = self.trained(x, rewire=rewire)
        assert [entry["added"] > 0 for entry in rewire.history] == [True] * (len(rewire.history) - 1) + [False]
        assert len(rbm.kernel) < 48
        assert exact_log_probability(rbm, x) > -7
        assert history["reconstruction_error"][-1] < history["reconstruction_error"][0]
        assert set(history) == {"loss", "reconstruction_error", "free_energy"}
        rewire = ks.Rewire(ks.SET(0.3), every=5)
        rbm.fit(x, batch_size=10, epochs=2, verbose=0, callbacks=[rewire])
        assert len(rewire.history) == 8

    @pytest.mark.parametrize("options", [{}, {"cd": 3}, {"persistent": True, "chains": 6}])
    def test_the_gradient_is_that_of_contrastive_divergence(self, options):
        rbm = made(capacity=60, **options)
        x = bars(7)
        seed = rbm.seed_generator.state.numpy()
        chains = rbm._chains.numpy() if rbm.persistent else None
        seen = []
        with recording.recording(lambda kernel, left, right: seen.append((left.numpy(), right.numpy()))):
            with tf.GradientTape() as tape:
                loss = rbm.compute_loss(x)
            gradients = tape.gradient(loss, [v.value for v in rbm.trainable_variables])
        rbm.seed_generator.state.assign(seed)
        w, b, c = parameters(rbm)

        def hidden(v):
            return 1 / (1 + np.exp(-c - v @ w))

        def visible(h):
            return 1 / (1 + np.exp(-b - h @ w.T))

        def bits(p):
            return (keras.random.uniform(p.shape, seed=rbm.seed_generator) < p).numpy().astype("float64")

        v = visible(bits(hidden(x)))
        if rbm.persistent:
            v = bits(visible(bits(hidden(chains))))
            np.testing.assert_array_equal(rbm._chains, v)
        for _ in range(rbm.cd - 1):
            v = visible(bits(hidden(v)))
        by_matrix = v.T @ hidden(v) / len(v) - x.T @ hidden(x) / len(x)
        connectivity = rbm.kernel.connectivity
        expected = {
            "kernel": by_matrix[connectivity.inputs, connectivity.outputs],
            "bias": hidden(v).mean(0) - hidden(x).mean(0),
            "visible_bias": v.mean(0) - x.mean(0),
        }
        for variable, gradient in zip(rbm.trainable_variables, gradients):
            wanted = expected[variable.name]
            np.testing.assert_allclose(gradient[: len(wanted)], wanted, atol=1e-5)
            assert not np.any(gradient[len(wanted) :])
        energy = [-np.mean(np.sum(a @ w * hidden(a), 1) + a @ b + hidden(a) @ c) for a in (x, v)]
        assert float(loss) == pytest.approx(energy[0] - energy[1], abs=1e-4)
        np.testing.assert_allclose(sum(a.T @ b for a, b in seen), by_matrix, atol=1e-5)  # what RigL sees

    def test_policies_that_grow_by_gradient(self):
        for policy in (ks.RigL(alpha=0.3), ks.SNFS()):
            rewire = ks.Rewire(policy, every=10)
            rbm, _ = self.trained(bars(200), rewire=rewire, epochs=5)
            assert rewire.history
            assert len(rbm.kernel) == 48

    @pytest.mark.parametrize("options", [{"density": 1.0}, {"compute": "dense"}])
    @pytest.mark.parametrize("persistent", [False, True])
    def test_a_matrix_is_built_once_per_step(self, options, persistent):
        rbm = made(cd=3, persistent=persistent, **options)
        graph = tf.function(lambda: rbm.compute_loss(bars(100))).get_concrete_function().graph
        built = [op.type for op in graph.get_operations() if op.type.endswith("ToDense") or op.type == "ScatterNd"]
        assert len(built) == 1

    def test_sample_weights(self):
        rbm, x = made(), bars(6)
        seed = rbm.seed_generator.state.numpy()

        def gradient(x, weights):
            rbm.seed_generator.state.assign(seed)
            with tf.GradientTape() as tape:
                loss = rbm.compute_loss(x, sample_weight=np.array(weights))
            return np.concatenate(tape.gradient(loss, [v.value for v in rbm.trainable_variables]))

        np.testing.assert_allclose(gradient(x, [2.0] * 6), 2 * gradient(x, [1.0] * 6), atol=1e-6)
        other = x.copy()
        other[3:] = 1 - other[3:]
        np.testing.assert_allclose(gradient(x, [1, 1, 1, 0, 0, 0]), gradient(other, [1, 1, 1, 0, 0, 0]), atol=1e-6)
        rbm.compile("sgd")
        rbm.fit(x, sample_weight=np.arange(6.0), verbose=0)

    def test_regularizers_and_constraints(self):
        x = bars(40)
        rbm = ks.RBM(8, density=0.5, seed=1, kernel_regularizer=keras.regularizers.L2(0.3))
        rbm.compile(keras.optimizers.SGD(0.0))
        history = rbm.fit(x, verbose=0, batch_size=40).history
        plain = ks.RBM(8, density=0.5, seed=1)
        plain.compile(keras.optimizers.SGD(0.0))
        difference = history["loss"][0] - plain.fit(x, verbose=0, batch_size=40).history["loss"][0]
        assert difference == pytest.approx(0.3 * np.sum(rbm.kernel.values.numpy() ** 2), rel=1e-3)
        rbm, _ = self.trained(x, kernel_constraint=keras.constraints.MaxNorm(0.2), rate=0.5)
        norms = np.linalg.norm(rbm.kernel.to_dense(), axis=0)
        assert norms.max() == pytest.approx(0.2, abs=1e-3)

    def test_tf_data_and_steps_per_execution_give_the_same_network(self):
        data = tf.data.Dataset.from_tensor_slices(bars(100)).batch(10)
        results = []
        for steps in (1, 5):
            rbm = ks.RBM(8, density=0.5, seed=1, persistent=True)
            rbm.compile(keras.optimizers.Adam(0.01), steps_per_execution=steps)
            rbm.fit(data, epochs=3, verbose=0, validation_data=data, callbacks=[ks.Rewire(ks.SET(0.3))])
            results.append(rbm.get_weights())
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, atol=1e-6)

    def test_evaluate_is_deterministic(self):
        rbm, x = made(), bars(30)
        rbm.compile("sgd")
        first = rbm.evaluate(x, verbose=0, return_dict=True)
        assert first == rbm.evaluate(x, verbose=0, return_dict=True)
        error = np.mean((x - np.asarray(rbm.reconstruct(x))) ** 2)
        assert first["reconstruction_error"] == pytest.approx(error, rel=1e-4)
        assert first["free_energy"] == pytest.approx(exact_free_energy(rbm, x.astype("float64")).mean(), rel=1e-4)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
    def test_dtype_policies(self, policy):
        x = bars(200)
        rewire = ks.Rewire(ks.SET(0.3), stop=0.5)
        rbm, _ = self.trained(x, rewire=rewire, dtype=policy)
        assert exact_log_probability(rbm, x) > -7
        assert rewire.history
        found = rbm.log_probability(x)
        assert abs(found.value - exact_log_probability(rbm, x)) < (0.05 if policy == "float64" else 0.5)

    @pytest.mark.parametrize("persistent", [False, True])
    def test_mirrored_strategy_does_what_one_device_does(self, persistent, two_devices):
        x, strategy = bars(40), two_devices

        def stepped():
            rbm = ks.RBM(8, density=0.5, seed=1, persistent=persistent)
            rbm.build((None, 12))
            # Hidden units that are sure of themselves: replicas draw the same numbers for different samples.
            rbm.hidden.bias.assign(np.where(np.arange(8) % 2, 50.0, -50.0))
            rbm.compile(keras.optimizers.SGD(0.1, momentum=0.5))
            return rbm

        with strategy.scope():
            rbm = stepped()
        alone = stepped()
        for model in (rbm, alone):
            rewire = ks.Rewire(ks.SET(0.3))
            model.fit(x, batch_size=20, epochs=3, shuffle=False, verbose=0, callbacks=[rewire])
            assert len(rewire.history) == 2
        for variable, other in zip(
            [*rbm.weights, *rbm.optimizer.variables], [*alone.weights, *alone.optimizer.variables]
        ):
            first, second = strategy.experimental_local_results(variable.value)
            assert np.array_equal(first.numpy(), second.numpy()), variable.path
            np.testing.assert_allclose(first, other, atol=1e-5, err_msg=variable.path)

    @pytest.mark.parametrize("persistent", [False, True])
    def test_sparse_inputs_are_the_same_data(self, persistent):
        x = bars(40)
        results = []
        for data in (x, tf.sparse.from_dense(x)):
            rbm = made(persistent=persistent)
            rbm.compile("sgd")
            losses = rbm.fit(data, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
            given = [rbm.reconstruct(data), rbm.free_energy(data), rbm.sample(40, steps=2, start=data)]
            results.append([losses, rbm.kernel.to_dense(), *map(np.asarray, given)])
        for dense, sparse in zip(*results, strict=True):
            np.testing.assert_allclose(sparse, dense, atol=1e-5)

    def test_frozen_weights_stay(self):
        rbm = made()
        rbm.hidden.trainable = False
        rbm.compile(keras.optimizers.SGD(0.5))
        before = rbm.kernel.to_dense()
        rbm.fit(bars(50), verbose=0)
        assert np.array_equal(before, rbm.kernel.to_dense())

    def test_nothing_dense_is_made(self):
        rbm = ks.RBM(100_000, density=1e-6, seed=1)
        rbm.compile("sgd")
        rbm.fit(np.ones((4, 100_000), "uint8"), batch_size=2, verbose=0)
        assert len(rbm.kernel) == 10_000

    @pytest.mark.parametrize(
        ("fit", "message"),
        [
            (lambda rbm, x: rbm.fit(x * 255), r"must lie in \[0, 1\].*255"),
            (lambda rbm, x: rbm.fit(x / 0.0), r"must lie in \[0, 1\]"),
            (lambda rbm, x: rbm.fit(x, x), "without labels"),
            (lambda rbm, x: rbm.fit(tf.data.Dataset.from_tensors((x, x))), "without labels"),
            (lambda rbm, x: rbm.compile("sgd", "mse") or rbm.fit(x), "optimizer only"),
            (lambda rbm, x: rbm.compile("sgd", metrics=["mse"]) or rbm.fit(x), "optimizer only"),
            (lambda rbm, x: rbm.fit(x[:, None]), "ndim=2"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
    def test_what_is_no_data_for_an_rbm_is_refused(self, fit, message):
        rbm = ks.RBM(8, density=0.5)
        rbm.compile("sgd")
        with pytest.raises(ValueError, match=message):
            fit(rbm, bars(10))


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"hidden_units": 0}, "`hidden_units` must be a positive integer"),
            ({"hidden_units": 3, "cd": 0}, "`cd` must be"),
            ({"hidden_units": 3, "chains": 2.5}, "`chains` must be"),
            ({"hidden_units": 3, "density": 2.0}, r"\(0, 1\]"),
            ({"hidden_units": 3, "kernel_initializer": "orthogonal"}, "initializes a whole matrix"),
            ({"hidden_units": 3, "seed": -1}, "integer in"),
        ],
    )
    def test_wrong_ones_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ks.RBM(**arguments)

    def test_config_round_trip(self):
        rbm = ks.RBM(
            7,
            density=ks.ErdosRenyi(2),
            pattern=ks.Random(),
            capacity=60,
            cd=3,
            persistent=True,
            chains=9,
            kernel_regularizer="l1",
            kernel_constraint=keras.constraints.MaxNorm(2),
            visible_bias_initializer=keras.initializers.Constant(-1.0),
            hidden_bias_initializer="ones",
            seed=4,
            name="features",
        )
        again = ks.RBM.from_config(json.loads(json.dumps(rbm.get_config())))
        assert again.get_config() == rbm.get_config()
        for built in (rbm, again):
            built.build((None, 9))
        assert all(np.array_equal(a, b) for a, b in zip(rbm.variables, again.variables))
        assert np.all(rbm.visible_bias == -1.0)
        assert np.all(rbm.hidden.bias == 1.0)


class TestSaving:
    def trained(self, x, **options):
        rbm = ks.RBM(8, density=0.5, capacity=60, persistent=True, chains=20, seed=1, **options)
        rbm.compile(keras.optimizers.SGD(0.1, momentum=0.9))
        rbm.fit(x, batch_size=10, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
        return rbm

    def test_everything_comes_back(self, tmp_path):
        x = bars(100)
        rbm = self.trained(x)
        rbm.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
        for a, b in zip(rbm.weights + rbm.optimizer.variables, again.weights + again.optimizer.variables):
            assert np.array_equal(a, b), a.path
        again.seed_generator.state.assign(rbm.seed_generator.state)  # Keras keeps no seeds in files
        assert again.kernel.capacity == 60
        assert ks.realign(again) == []
        for m in (rbm, again):
            m.fit(x, epochs=2, verbose=0, shuffle=False, callbacks=[ks.Rewire(ks.SET(0.3))])
        for a, b in zip(rbm.weights, again.weights):
            assert np.array_equal(a, b), a.path
        rbm.save_weights(tmp_path / "m.weights.h5")
        other = ks.RBM(8, density=0.5, capacity=60, persistent=True, chains=20)
        other.build((None, 12))
        other.load_weights(tmp_path / "m.weights.h5")
        assert other.kernel.connectivity == rbm.kernel.connectivity
        np.testing.assert_array_equal(other.predict(x, verbose=0), rbm.predict(x, verbose=0))

    @pytest.mark.parametrize("persistent", [False, True])
    def test_an_interrupted_fit_goes_on_where_it_was(self, persistent, tmp_path):
        x = bars(60)

        class Interrupt(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 1:
                    raise KeyboardInterrupt

        def fit(folder, *more):
            keras.utils.set_random_seed(3)
            rbm = ks.RBM(8, density=0.3, seed=1, persistent=persistent)
            rbm.build((None, 12))
            rbm.compile(keras.optimizers.SGD(0.05, momentum=0.9))
            callbacks = [ks.Rewire(ks.SET(0.3)), ks.Backup(tmp_path / folder), *more]
            rbm.fit(x, epochs=4, batch_size=20, verbose=0, callbacks=callbacks)
            return rbm

        whole = fit("whole")
        with pytest.raises(KeyboardInterrupt):
            fit("cut", Interrupt())
        resumed = fit("cut")
        assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))

    def test_clone_and_resize(self):
        x = bars(100)
        rbm = self.trained(x)
        clone = keras.models.clone_model(rbm)
        assert [w.shape for w in clone.weights] == [w.shape for w in rbm.weights]
        clone.set_weights(rbm.get_weights())
        np.testing.assert_array_equal(clone.predict(x, verbose=0), rbm.predict(x, verbose=0))
        smaller = ks.resize(rbm)
        assert smaller.kernel.capacity == 48
        for m in (rbm, smaller):
            m.fit(x, epochs=2, verbose=0, shuffle=False)
        np.testing.assert_allclose(smaller.kernel.to_dense(), rbm.kernel.to_dense(), atol=1e-6)

    def test_inspect(self):
        report = ks.inspect(made())
        assert (report.connections, report.density, report.parameters) == (48, 0.5, 48 + 12 + 8)

    def test_export_holds_stock_ops(self, tmp_path):
        x = bars(20)
        rbm = self.trained(x)
        rbm.export(str(tmp_path / "served"), verbose=False)
        code = (
            "import sys, numpy as np, tensorflow as tf; model = tf.saved_model.load(sys.argv[1]); "
            "np.save(sys.argv[3], model.serve(np.load(sys.argv[2]))); assert 'keras_sparse' not in sys.modules"
        )
        np.save(tmp_path / "x.npy", x)
        files = [str(tmp_path / name) for name in ("served", "x.npy", "y.npy")]
        run = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        np.testing.assert_allclose(np.load(files[2]), rbm.predict(x, verbose=0), atol=1e-5)


class TestFeatures:
    """Hidden units as inputs of a supervised network."""

    def data(self):
        clean = bars(300, noise=0.0)
        return bars(300), (clean[:, 0] + 2 * clean[:, 4]).astype(int)

    def pretrained(self, x):
        rbm = ks.RBM(20, density=0.4, seed=1)
        rbm.compile(keras.optimizers.SGD(0.1, momentum=0.5))
        rbm.fit(x, batch_size=10, epochs=20, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3), stop=0.5)])
        return rbm

    @pytest.mark.parametrize("trainable", [False, True])
    def test_the_hidden_layer_in_a_network(self, trainable, tmp_path):
        x, y = self.data()
        rbm = self.pretrained(x)
        features = rbm.predict(x, verbose=0)
        rbm.hidden.trainable = trainable
        model = keras.Sequential([keras.Input((12,)), rbm.hidden, keras.layers.Dense(4, activation="softmax")])
        model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
        callbacks = [ks.Rewire(ks.SET(0.1), stop=0.3)] if trainable else []
        history = model.fit(x, y, epochs=30, verbose=0, callbacks=callbacks).history
        assert history["accuracy"][-1] > 0.85
        assert np.array_equal(rbm.predict(x, verbose=0), features) is not trainable
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)

    @pytest.mark.filterwarnings("ignore:Gradients do not exist")
    def test_the_whole_rbm_in_a_network(self, tmp_path):
        x, y = self.data()
        rbm = self.pretrained(x)
        inputs = keras.Input((12,))
        model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(rbm(inputs)))
        model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
        assert model.fit(x, y, epochs=30, verbose=0).history["accuracy"][-1] > 0.85
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
        assert ks.inspect(model).junctions[0].connections == 96

    def test_two_rbms_on_top_of_each_other(self):
        x, _ = self.data()
        first = self.pretrained(x)
        second = ks.RBM(6, density=0.5, seed=2)
        second.compile(keras.optimizers.SGD(0.1))
        second.fit(first.predict(x, verbose=0), verbose=0)
        assert second(first(x)).shape == (300, 6)


@pytest.mark.slow
def test_trains_under_jax():
    pytest.importorskip("jax")
    code = """
import numpy as np, keras, keras_sparse as ks
rng = np.random.default_rng(0)
x = np.repeat(rng.integers(0, 2, (200, 3)), 4, axis=1)
x = np.where(rng.random(x.shape) < 0.1, 1 - x, x).astype("float32")
for persistent in (False, True):
    rbm = ks.RBM(8, density=0.5, seed=1, persistent=persistent)
    rbm.compile(keras.optimizers.SGD(0.1, momentum=0.5))
    rewire = ks.Rewire(ks.SET(0.3), stop=0.5)
    errors = rbm.fit(x, batch_size=10, epochs=30, verbose=0, callbacks=[rewire]).history["reconstruction_error"]
    assert rewire.history and errors[-1] < 0.6 * errors[0], errors
    print(rbm.log_probability(x, temperatures=3).value)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert all(np.isfinite(float(value)) for value in run.stdout.split()[-2:])
