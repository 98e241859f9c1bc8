import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import keras_sparse as ks


class Conformance(TestCase):
    """Keras' own harness: shapes, dtypes, serialization, training, mixed precision."""

    def test_with_bias(self):
        for path in ("auto", "stock", "dense", "generic"):
            self.run_layer_test(
                ks.SparseDense,
                init_kwargs={
                    "units": 4,
                    "density": 0.5,
                    "compute": path,
                    "activation": "relu",
                    "kernel_initializer": "random_uniform",
                    "bias_initializer": "ones",
                    "kernel_regularizer": "l2",
                    "kernel_constraint": "non_neg",
                },
                input_shape=(2, 3),
                expected_output_shape=(2, 4),
                expected_num_trainable_weights=2,
                expected_num_non_trainable_weights=3,
                expected_num_seed_generators=0,
                expected_num_losses=1,
                supports_masking=True,
            )

    def test_without_bias_at_higher_rank(self):
        self.run_layer_test(
            ks.SparseDense,
            init_kwargs={"units": 5, "density": ks.ErdosRenyi(1), "use_bias": False, "seed": 3},
            input_shape=(2, 3, 4, 6),
            expected_output_shape=(2, 3, 4, 5),
            expected_num_trainable_weights=1,
            expected_num_non_trainable_weights=3,
            expected_num_seed_generators=0,
            expected_num_losses=0,
            supports_masking=True,
        )


def layer_and_matrix(**kwargs):
    layer = ks.SparseDense(30, seed=1, **kwargs)
    layer.build((None, 50))
    return layer, layer.kernel.to_dense()


def test_is_a_dense_layer_with_the_sparse_matrix():
    layer, matrix = layer_and_matrix(density=0.2, activation="tanh")
    layer.bias.assign(np.linspace(-1, 1, 30))
    dense = keras.layers.Dense(30, activation="tanh")
    dense.build((None, 50))
    dense.set_weights([matrix, layer.bias.numpy()])
    for shape in ((7, 50), (2, 3, 50), (0, 50), (2, 1, 3, 50)):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)
        assert layer.compute_output_shape(shape) == (*shape[:-1], 30)


def test_trains_exactly_like_a_masked_dense_layer(problem):
    x, y = problem
    sparse = keras.Sequential([keras.Input((12,)), ks.SparseDense(3, density=0.4, seed=1)])
    mask = sparse.layers[0].kernel.connectivity.to_mask()
    dense = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    dense.set_weights([sparse.layers[0].kernel.to_dense(), np.zeros(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for model in (sparse, dense):
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    masked = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: dense.layers[0].kernel.assign(dense.layers[0].kernel * mask)
    )
    sparse.fit(x, y, epochs=3, shuffle=False, verbose=0)
    dense.fit(x, y, epochs=3, shuffle=False, verbose=0, callbacks=[masked])
    np.testing.assert_allclose(sparse.layers[0].kernel.to_dense(), dense.layers[0].kernel.numpy(), atol=1e-5)


@pytest.mark.parametrize("path", ["stock", "dense"])
def test_regularizers_mean_what_they_mean_on_a_matrix(path):
    layer, matrix = layer_and_matrix(density=0.2, compute=path, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.01))
    np.testing.assert_allclose(layer.losses[0], 0.1 * np.abs(matrix).sum() + 0.01 * (matrix**2).sum(), rtol=1e-5)


class TestInitializers:
    def many(self, initializer, density=0.25):
        layer = ks.SparseDense(400, density=density, kernel_initializer=initializer, seed=2)
        layer.build((None, 600))
        return layer.kernel

    @pytest.mark.parametrize("name", ["he_normal", "he_uniform"])
    def test_fan_in_is_the_in_degree_of_each_output(self, name):
        kernel = self.many(name)
        c, values = kernel.connectivity, kernel.values.numpy()
        scaled = values * np.sqrt(c.in_degrees[c.outputs] / 2)
        assert scaled.std() == pytest.approx(1, abs=0.02)
        # A constant fan-in would make units of high in-degree too large.
        few = c.in_degrees[c.outputs] < np.quantile(c.in_degrees, 0.1)
        assert scaled[few].std() == pytest.approx(1, abs=0.05)

    def test_glorot_averages_in_and_out_degree(self):
        kernel = self.many("glorot_normal")
        c = kernel.connectivity
        fan = (c.in_degrees[c.outputs] + c.out_degrees[c.inputs]) / 2
        assert (kernel.values.numpy() * np.sqrt(fan)).std() == pytest.approx(1, abs=0.02)

    def test_activations_keep_their_scale_at_any_density(self):
        x = np.random.default_rng(0).normal(size=(100, 600)).astype("float32")
        for density in (0.02, 0.1, 0.9):
            layer = ks.SparseDense(400, density=density, kernel_initializer="lecun_normal", seed=2)
            assert np.std(layer(x)) == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize(
        ("initializer", "mean", "std"),
        [
            (keras.initializers.RandomNormal(1.0, 0.5), 1.0, 0.5),
            (keras.initializers.RandomUniform(-1, 3), 1.0, 4 / np.sqrt(12)),
            (keras.initializers.TruncatedNormal(0.0, 1.0), 0.0, 0.88),
            (keras.initializers.Constant(0.3), 0.3, 0.0),
            ("zeros", 0.0, 0.0),
            (lambda shape, dtype: keras.ops.full(shape, 7.0), 7.0, 0.0),
        ],
    )
    def test_other_initializers(self, initializer, mean, std):
        values = self.many(initializer).values.numpy()
        assert values.mean() == pytest.approx(mean, abs=0.02)
        assert values.std() == pytest.approx(std, abs=0.02)

    @pytest.mark.parametrize("name", ["orthogonal", "identity"])
    def test_those_that_fill_a_matrix_are_refused(self, name):
        with pytest.raises(ValueError, match="initializes a whole matrix"):
            ks.SparseDense(4, kernel_initializer=name)

    def test_a_wrong_shape_is_named(self):
        with pytest.raises(ValueError, match="one value per connection"):
            self.many(lambda shape, dtype: keras.ops.zeros((2, 2)))


class TestConstraints:
    def trained(self, constraint, x, y):
        layer = ks.SparseDense(20, density=0.4, kernel_constraint=constraint, activation="relu", seed=0)
        model = keras.Sequential([keras.Input((12,)), layer, keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss)
        return layer, model

    def norms(self, layer):
        return np.linalg.norm(layer.kernel.to_dense(), axis=0)

    def test_norms_act_per_output_unit_over_its_connections(self, problem):
        for constraint, check in (
            (keras.constraints.MaxNorm(0.7), lambda n: np.all(n <= 0.7 + 1e-4) and np.any(n > 0.69)),
            (keras.constraints.UnitNorm(), lambda n: np.all((np.abs(n - 1) < 1e-4) | (n == 0))),
            (keras.constraints.MinMaxNorm(0.5, 0.8), lambda n: np.all((n == 0) | ((n > 0.499) & (n < 0.801)))),
        ):
            layer, model = self.trained(constraint, *problem)
            model.fit(*problem, epochs=2, verbose=0)
            assert check(self.norms(layer)), (constraint, self.norms(layer))

    def test_the_same_as_keras_on_the_matrix(self):
        for rule in (
            keras.constraints.MaxNorm(0.3),
            keras.constraints.MinMaxNorm(0.4, 0.5, rate=0.3),
            keras.constraints.UnitNorm(),
        ):
            layer, matrix = layer_and_matrix(density=0.2, kernel_constraint=rule)
            layer.kernel.values.assign(layer.kernel.values.constraint(layer.kernel.values))
            np.testing.assert_allclose(layer.kernel.to_dense(), rule(matrix), atol=1e-5)

    def test_elementwise_ones_act_on_the_values(self, problem):
        for constraint, low, high in (
            (keras.constraints.NonNeg(), 0, np.inf),
            (lambda w: keras.ops.clip(w, -0.05, 0.1), -0.05, 0.1),
        ):
            layer, model = self.trained(constraint, *problem)
            rewire = ks.Rewire(ks.SET(0.3))
            model.fit(*problem, epochs=3, verbose=0, callbacks=[rewire])
            values = layer.kernel.values.numpy()
            assert values.min() >= np.float32(low)
            assert values.max() <= np.float32(high)

    @pytest.mark.parametrize(
        "constraint",
        [
            keras.constraints.MaxNorm(1, axis=1),
            keras.constraints.UnitNorm(axis=[0, 1]),
            lambda w: w / (1 + keras.ops.sum(w * w)),
            lambda w: keras.ops.softmax(w, axis=0),
            lambda w: keras.ops.transpose(w, (1, 0)),
        ],
    )
    def test_those_that_need_a_matrix_are_refused(self, constraint):
        with pytest.raises(ValueError, match="axis=0"):
            ks.SparseDense(4, kernel_constraint=constraint)

    def test_newcomers_satisfy_the_constraint_and_survivors_keep_their_values(self, problem):
        for constraint in (keras.constraints.MaxNorm(0.5), keras.constraints.UnitNorm()):
            layer, model = self.trained(constraint, *problem)
            model.fit(*problem, epochs=1, verbose=0)
            before = layer.kernel.to_dense()
            rewire = ks.Rewire(ks.SET(0.3)).attach(model)
            rewire.update()
            after = layer.kernel.to_dense()
            limit = 0.5 if isinstance(constraint, keras.constraints.MaxNorm) else 1.0
            assert np.all(self.norms(layer) <= limit + 1e-4)
            kept = (before == after) & (before != 0)
            assert kept.sum() >= rewire.history[0]["connections"] - rewire.history[0]["removed"]


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"units": 0}, "positive integer"),
            ({"units": 2.5}, "positive integer"),
            ({"units": 3, "density": 0}, r"fraction in \(0, 1\]"),
            ({"units": 3, "pattern": "random"}, "ks.Random"),
            ({"units": 3, "seed": -1}, "integer in"),
            ({"units": 3, "compute": "gpu"}, "must be one of"),
            ({"units": 3, "kernel_regularizer": keras.regularizers.OrthogonalRegularizer()}, "needs a matrix"),
        ],
    )
    def test_wrong_ones_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ks.SparseDense(**arguments)

    def test_density_of_a_wrong_capacity(self):
        with pytest.raises(ValueError, match="`capacity` must lie between the number of connections, 10, and the 20"):
            ks.SparseDense(4, density=0.5, capacity=5).build((None, 5))

    def test_inputs_that_do_not_fit(self):
        with pytest.raises(ValueError, match="last dimension"):
            ks.SparseDense(4).build((None, None))
        with pytest.raises(ValueError, match="min_ndim=2"):
            ks.SparseDense(4)(np.zeros(3))
        layer = ks.SparseDense(4)
        layer(np.zeros((1, 3)))
        with pytest.raises(ValueError, match="expected axis -1"):
            layer(np.zeros((1, 5)))

    def test_the_same_seed_gives_the_same_layer(self):
        a, b, c = (layer_and_matrix(density=0.1)[1] for _ in range(3))
        assert np.array_equal(a, b)
        assert np.array_equal(b, c)
        keras.utils.set_random_seed(1)
        first = ks.SparseDense(9)
        first.build((None, 9))
        keras.utils.set_random_seed(1)
        second = ks.SparseDense(9)
        second.build((None, 9))
        assert first.kernel.connectivity == second.kernel.connectivity

    def test_config_round_trip(self):
        layer = ks.SparseDense(
            7,
            density=ks.ERK(2.5),
            pattern=ks.Random(),
            capacity=60,
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(seed=3),
            kernel_constraint=keras.constraints.MaxNorm(2),
            kernel_regularizer="l1",
            seed=4,
            name="hidden",
        )
        config = json.loads(json.dumps(layer.get_config()))
        again = ks.SparseDense.from_config(config)
        assert again.get_config() == layer.get_config()
        for built in (layer, again):
            built.build((None, 9))
        assert again.kernel.connectivity == layer.kernel.connectivity
        assert np.array_equal(again.kernel.to_dense(), layer.kernel.to_dense())


class TestSaving:
    def model(self, **kwargs):
        return keras.Sequential(
            [
                keras.Input((12,)),
                ks.SparseDense(20, density=0.2, activation="relu", name="hidden", **kwargs),
                ks.SparseDense(3, density=ks.ErdosRenyi(1), name="out"),
            ]
        )

    def trained(self, problem, optimizer="adam", **kwargs):
        model = self.model(**kwargs)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(*problem, epochs=3, verbose=0, callbacks=[ks.Rewire(ks.SET(0.4))])
        return model

    @pytest.mark.parametrize("spare", [None, 60])
    def test_model_topology_and_optimizer_come_back(self, problem, tmp_path, spare):
        model = self.trained(problem, capacity=spare)
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
        for a, b in zip(model.variables + model.optimizer.variables, again.variables + again.optimizer.variables):
            assert np.array_equal(a, b), a.path
        x, y = problem
        np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
        assert ks.realign(again) == []
        for m in (model, again):
            keras.utils.set_random_seed(0)
            m.fit(x, y, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.SET(0.4))])
        for a, b in zip(model.weights, again.weights):
            assert np.array_equal(a, b), a.path

    def test_weights_file_round_trip_and_size(self, problem, tmp_path):
        model = self.trained(problem)
        model.save_weights(tmp_path / "m.weights.h5")
        other = self.model()
        other.load_weights(tmp_path / "m.weights.h5")
        assert other.get_layer("hidden").kernel.connectivity == model.get_layer("hidden").kernel.connectivity
        with h5py.File(tmp_path / "m.weights.h5") as file:
            stored = {name: file["layers/sparse_dense/vars"][name].dtype for name in file["layers/sparse_dense/vars"]}
        assert stored["kernel_ids"] == np.uint16

    def test_clone_model_has_the_same_form_and_its_own_connections(self, problem):
        model = self.trained(problem)
        clone = keras.models.clone_model(model)
        assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
        assert len(clone.get_layer("hidden").kernel) == 48
        clone.set_weights(model.get_weights())
        x, _ = problem
        np.testing.assert_array_equal(model.predict(x, verbose=0), clone.predict(x, verbose=0))

    def damage(self, path, change):
        """Rewrite the weights inside a .keras file."""
        with zipfile.ZipFile(path) as file:
            parts = {name: file.read(name) for name in file.namelist()}
        weights = path.with_suffix(".h5")
        weights.write_bytes(parts["model.weights.h5"])
        with h5py.File(weights, "r+") as file:
            change(file["layers/sparse_dense/vars"])
        parts["model.weights.h5"] = weights.read_bytes()
        with zipfile.ZipFile(path, "w") as file:
            for name, data in parts.items():
                file.writestr(name, data)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda v: v["kernel_ids"].__setitem__(0, 60000), "outside its block"),
            (lambda v: v["kernel_ids"].__setitem__(slice(None), 1), "duplicated or not sorted"),
            (lambda v: v["kernel_rows"].__setitem__(-1, 10**12), "at most"),
            (lambda v: v["kernel_rows"].__setitem__(3, -5), "rise from 0"),
            (lambda v: v["kernel_state"].__setitem__(7, 1), "fingerprint"),
            (lambda v: v["kernel_state"].__setitem__(1, 9), "layout"),
            (lambda v: v.__delitem__("kernel_ids"), "'kernel_ids' is absent"),
            (lambda v: v.__delitem__("bias"), "no bias"),
        ],
    )
    def test_a_damaged_file_is_refused_and_changes_nothing(self, problem, tmp_path, change, message):
        model = self.trained(problem)
        path = tmp_path / "m.keras"
        model.save(path)
        self.damage(path, change)
        with pytest.raises(ValueError, match=message):
            keras.models.load_model(path)

    def test_nothing_is_assigned_before_everything_is_checked(self):
        layer, _ = layer_and_matrix(density=0.2)
        other, _ = layer_and_matrix(density=0.3)
        store, before = {}, [w.numpy() for w in layer.weights]
        other.save_own_variables(store)
        with pytest.raises(ValueError, match=r"layout.*capacity=450"):
            layer.load_own_variables(store)
        assert all(np.array_equal(a, b) for a, b in zip(before, layer.weights))

    def test_index_variables_overwritten_with_nonsense_are_named(self):
        layer, _ = layer_and_matrix(density=0.2)
        layer.kernel.index_variables[0].assign(np.full(layer.kernel.index_variables[0].shape, -1))
        with pytest.raises(ValueError, match="hold no valid topology"):
            _ = layer.kernel.connectivity


class TestTraining:
    def compiled(self, **compile_arguments):
        model = keras.Sequential(
            [
                keras.Input((12,)),
                ks.SparseDense(16, density=0.3, activation="relu", seed=1),
                ks.SparseDense(3, density=0.8, seed=2),
            ]
        )
        model.compile(
            keras.optimizers.Adam(0.02),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            **compile_arguments,
        )
        return model

    def test_tf_data_and_steps_per_execution_give_the_same_network(self, problem):
        data = tf.data.Dataset.from_tensor_slices(problem).batch(32)
        results = []
        for steps in (1, 5):
            model = self.compiled(steps_per_execution=steps)
            model.fit(data, epochs=4, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3))])
            results.append(model.get_weights())
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, atol=1e-6)

    def test_mirrored_strategy_keeps_replicas_equal_and_learns(self, problem, two_devices):
        with two_devices.scope():
            model = self.compiled()
        rewire = ks.Rewire(ks.SET(0.3), stop=0.5)  # accuracy falls with every update: judge it some epochs later
        x, y = problem
        history = model.fit(x, y, epochs=12, batch_size=32, verbose=0, callbacks=[rewire])
        assert history.history["accuracy"][-1] > 0.7
        assert len(rewire.history) == 12
        for variable in [*model.weights, *model.optimizer.variables]:
            first, second = two_devices.experimental_local_results(variable.value)
            assert np.array_equal(first.numpy(), second.numpy()), variable.path
        single = self.compiled()
        single.fit(x, y, epochs=12, batch_size=32, verbose=0, callbacks=[ks.Rewire(ks.SET(0.3), stop=0.5)])
        assert np.mean(model.predict(x, verbose=0).argmax(1) == single.predict(x, verbose=0).argmax(1)) > 0.8

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
    def test_dtype_policies(self, problem, policy):
        keras.config.set_dtype_policy(policy)
        try:
            model = self.compiled()
            rewire = ks.Rewire(ks.SET(0.3))
            history = model.fit(*problem, epochs=10, verbose=0, callbacks=[rewire])
        finally:
            keras.config.set_dtype_policy("float32")
        assert history.history["accuracy"][-1] > 0.6
        assert len(rewire.history) == 18
        assert all(h["removed"] for h in rewire.history if h["layer"] == "sparse_dense")

    def test_frozen_layers_stay_as_they_are(self, problem):
        model = self.compiled()
        model.layers[0].trainable = False
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        before = model.layers[0].kernel.to_dense()
        model.fit(*problem, epochs=2, verbose=0)
        assert np.array_equal(before, model.layers[0].kernel.to_dense())

    def test_one_layer_used_twice(self):
        layer = ks.SparseDense(8, density=0.4, seed=0)
        inputs = keras.Input((8,))
        model = keras.Model(inputs, layer(layer(inputs)))
        x = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
        w = layer.kernel.to_dense()
        np.testing.assert_allclose(model(x), x @ w @ w, atol=1e-5)
        assert ks.inspect(model).connections == len(layer.kernel)
