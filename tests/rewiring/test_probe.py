"""Growth by the dense gradient inside `model.fit` and in custom loops."""

import keras
import numpy as np
import pytest

import keras_sparse as ks

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs the TensorFlow backend")


class Spy(ks.Policy):
    """Remembers what it is shown."""

    def __init__(self, watches=False):
        self.watches, self.needs_gradient = watches, not watches
        self.seen, self.steps = [], []

    def observe(self, kernels):
        self.seen.append([dense(kernel) for kernel in kernels])

    def update(self, kernels, *, step, **context):
        self.steps.append(step)
        if self.needs_gradient:
            self.observe(kernels)
        return [None] * len(kernels)


def dense(kernel):
    """Return the gradient as a matrix."""
    n_in, n_out = kernel.layout.shape
    found = np.zeros((n_in, n_out))
    for begin, gradient in kernel.gradient.outputs():
        found[:, begin : begin + gradient.shape[1]] = gradient
    return found


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(96, 10)).astype("float32"), rng.integers(0, 3, 96)


def network(make=None, **options):
    keras.utils.set_random_seed(3)
    make = make or (lambda units, **kw: ks.SparseDense(units, density=0.5, seed=units, **kw))
    model = keras.Sequential(
        [keras.Input((10,)), make(8, activation="relu", name="hidden"), make(3, activation="softmax", name="out")]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", **options)
    return model


def gradients(model, x, y):
    """Return the gradients of a dense network of the same weights, as TensorFlow takes them."""
    import tensorflow as tf

    twin = network(lambda units, **kw: keras.layers.Dense(units, **kw))
    for ours, theirs in zip(model.layers, twin.layers, strict=True):
        theirs.set_weights([ours.kernel.to_dense(), np.asarray(ours.bias)])
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, twin(x)))
    return [np.asarray(g) for g in tape.gradient(loss, [layer.kernel.value for layer in twin.layers])]


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"jit_compile": False}])
def test_a_policy_is_shown_the_dense_gradient_of_the_step(problem, options):
    x, y = problem
    model, spy = network(**options), Spy()
    model.fit(x[:32], y[:32], batch_size=32, verbose=0)
    wanted = gradients(model, x[32:64], y[32:64])
    before = [layer.get_weights() for layer in model.layers]
    model.fit(x[32:64], y[32:64], batch_size=32, shuffle=False, verbose=0, callbacks=[ks.Rewire(spy)])
    assert spy.steps == [1]
    for seen, want in zip(spy.seen[0], wanted, strict=True):
        assert np.allclose(seen, want, atol=1e-6)
    # The step of the update moved no weight.
    for layer, weights in zip(model.layers, before, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights()[:2], weights[:2], strict=True))
    assert int(model.optimizer.iterations) == 1


def test_penalties_do_not_reach_the_gradient(problem):
    x, y = problem
    spy = Spy()
    model = network(
        lambda units, **kw: ks.SparseDense(units, density=0.5, kernel_regularizer=keras.regularizers.L2(9.0), **kw)
    )
    model.fit(x[:32], y[:32], batch_size=32, verbose=0)
    wanted = gradients(model, x[:32], y[:32])
    model.fit(x[:32], y[:32], batch_size=32, verbose=0, callbacks=[ks.Rewire(spy)])
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(spy.seen[0], wanted, strict=True))


def test_updates_run_when_they_are_due_and_other_steps_train(problem):
    x, y = problem
    model, spy = network(), Spy()
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[ks.Rewire(spy, every=3)])
    # Twelve batches; those of the updates are not steps of the optimizer.
    assert spy.steps == [3, 6, 9]
    assert int(model.optimizer.iterations) == 9


def test_a_watching_policy_sees_every_step_and_the_steps_train(problem):
    x, y = problem
    plain = network()
    plain.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False)
    model, spy = network(), Spy(watches=True)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False, callbacks=[ks.Rewire(spy)])
    assert len(spy.seen) == 6
    for ours, theirs in zip(model.layers, plain.layers, strict=True):
        assert np.allclose(ours.kernel.to_dense(), theirs.kernel.to_dense(), atol=1e-5)


def test_after_training_the_model_has_its_own_step_again(problem):
    x, y = problem
    model = network()
    for policy in (Spy(), Spy(watches=True)):
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[ks.Rewire(policy, every=2)])
        assert not hasattr(model.train_function, "instead_of")
        assert "apply" not in vars(model.optimizer)


def test_an_interrupted_fit_leaves_nothing_behind(problem):
    x, y = problem

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    model, spy = network(), Spy(watches=True)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=16, verbose=0, callbacks=[ks.Rewire(spy), Stop()])
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[ks.Rewire(Spy(), every=2)])
    assert not hasattr(model.train_function, "instead_of")
    assert len(spy.seen) == 2
    assert not hasattr(model.train_function, "instead_of")


def test_a_kernel_that_gets_no_gradient_is_named():
    model = keras.Sequential([keras.Input((10,)), ks.SparseDense(4, density=0.5, name="idle")])
    rewire = ks.Rewire(ks.RigL()).attach(model)
    other = network().get_layer("out").kernel
    rewire.show_gradient(other, np.ones((1, 8)), np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"gradient of idle.*`layers=`"):
        rewire.update()


@pytest.mark.parametrize("policy", [ks.RigL(), ks.SNFS(), ks.DeepR(), ks.SRigL(), ks.GraNet(0.1)])
def test_several_steps_per_execution_are_refused(problem, policy):
    x, y = problem
    with pytest.raises(ValueError, match="steps_per_execution=1"):
        network(steps_per_execution=2).fit(x, y, verbose=0, callbacks=[ks.Rewire(policy, every=4)])


def test_a_custom_loop(problem):
    import tensorflow as tf

    x, y = problem
    model, spy = network(), Spy()
    rewire = ks.Rewire(spy).attach(model)
    wanted = gradients(model, x, y)
    with rewire.recording(), tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, model(x)))
        tape.gradient(loss, [v.value for v in model.trainable_variables])
    rewire.update()
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(spy.seen[0], wanted, strict=True))


def test_a_custom_loop_with_a_watching_policy(problem):
    import tensorflow as tf

    x, y = problem
    model, spy = network(), Spy(watches=True)
    rewire = ks.Rewire(spy).attach(model)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, model(x)))
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    for _ in range(3):
        with rewire.recording():
            step()
    assert len(spy.seen) == 3


@pytest.mark.parametrize("policy", [ks.RigL(), ks.SNFS(), ks.SoftDeepR(0.3, temperature=1e-6)], ids=repr)
def test_a_resumed_run_ends_as_an_uninterrupted_one(problem, policy, tmp_path):
    x, y = problem

    class Die(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError

    def run(*more):
        model = network()
        keras.utils.set_random_seed(1)
        rewire = ks.Rewire(policy, every="epoch")
        callbacks = [rewire, *more]
        model.fit(x, y, batch_size=32, epochs=4, verbose=0, callbacks=callbacks)
        return model

    whole = run()
    with pytest.raises(RuntimeError):
        run(Die(), ks.Backup(tmp_path))
    resumed = run(ks.Backup(tmp_path))
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_two_policies_that_grow_by_gradient_are_refused(problem):
    x, y = problem
    callbacks = [ks.Rewire(Spy(), layers=["hidden"]), ks.Rewire(Spy(watches=True), layers=["out"])]
    with pytest.raises(ValueError, match="only one can look at a step"):
        network().fit(x, y, verbose=0, callbacks=callbacks)


def test_a_model_that_its_first_step_builds_can_be_watched(problem):
    x, y = problem
    model = keras.Sequential([ks.SparseDense(8, density=0.5), ks.SparseDense(3, density=0.5)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    spy = Spy(watches=True)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[ks.Rewire(spy)])
    assert len(spy.seen) == 5  # all but the step that built it


def test_a_gradient_that_is_not_finite_rewires_nothing(problem):
    model = network()
    rewire = ks.Rewire(ks.RigL()).attach(model)
    before = [len(layer.kernel) for layer in model.layers]
    for layer in model.layers:
        rewire.show_gradient(
            layer.kernel, np.full((1, layer.kernel.shape[0]), np.inf), np.ones((1, layer.kernel.shape[1]))
        )
    assert rewire.update() == []
    assert [len(layer.kernel) for layer in model.layers] == before
    with pytest.raises(ValueError, match="each time"):
        rewire.update()


def test_nothing_of_a_trained_model_stays_in_memory(problem):
    import gc
    import weakref

    x, y = problem

    def train():
        model = network()
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[ks.Rewire(ks.RigL(), every=2)])
        return weakref.ref(model.get_layer("hidden").kernel)

    reference = train()
    keras.utils.clear_session()
    gc.collect()
    assert reference() is None


def test_an_optimizer_given_to_attach_is_kept_in_fit(problem):
    x, y = problem

    class Own(keras.Model):
        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, self(x)))
            weights = [v.value for v in self.trainable_variables]
            self.own.apply(tape.gradient(loss, weights), self.trainable_variables)
            return {"loss": loss}

    inner = network()
    model = Own(inner.inputs, inner.outputs)
    model.own = keras.optimizers.SGD(0.1)
    model.compile()
    rewire = ks.Rewire(ks.SET(0.3)).attach(model, model.own)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[rewire])
    assert len(rewire.history) == 4
