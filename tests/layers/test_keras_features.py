"""What else of Keras must work with sparse layers, or be refused with a reason."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sparse as ks

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def small(head=None):
    head = keras.layers.Dense(3) if head is None else head
    return keras.Sequential([keras.Input((12,)), ks.SparseDense(16, density=0.3, activation="relu", seed=1), head])


def test_quantize_leaves_sparse_layers_alone_and_says_why(problem):
    x, _ = problem
    model = small()
    before, values = model.predict(x, verbose=0), np.array(model.layers[0].kernel.values)
    with pytest.warns(UserWarning, match="SparseDense cannot be quantized.*ksparse export"):
        model.quantize("int8")
    assert model.layers[1].dtype_policy.quantization_mode == "int8"
    np.testing.assert_array_equal(np.array(model.layers[0].kernel.values), values)
    assert np.abs(model.predict(x, verbose=0) - before).max() < 0.1


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ks.SparseDense(4), (2, 8)),
        (ks.SparseConv2D(4, 3), (2, 8, 8, 3)),
        (ks.SparseEinsumDense("abc,cd->abd", output_shape=(None, 4)), (2, 5, 8)),
        (ks.SparseLSTMCell(4), (2, 8)),
    ],
)
def test_every_sparse_layer_refuses_to_be_quantized(layer, shape):
    layer.build(shape)
    with pytest.raises(NotImplementedError, match="cannot be quantized"):
        layer.quantize("int8")
    assert layer.quantization_mode is None


def test_a_quantized_dtype_policy_is_refused():
    with pytest.raises(ValueError, match=r"cannot be quantized.*mixed_bfloat16"):
        ks.SparseDense(3, dtype="int8_from_float32").build((None, 4))


def test_lora_on_a_dense_layer_trains_beside_rewiring(problem):
    x, y = problem
    model = small()
    model.compile("adam", LOSS)
    model.fit(x, y, epochs=1, verbose=0)
    model.layers[1].enable_lora(2)
    dense = np.array(model.layers[1]._kernel)
    model.compile("adam", LOSS)
    connections = len(model.layers[0].kernel)
    rewire = ks.Rewire(ks.SET(0.3))
    model.fit(x, y, epochs=3, verbose=0, callbacks=[rewire])
    assert sum(entry["removed"] for entry in rewire.history) > 0
    assert len(model.layers[0].kernel) == connections
    np.testing.assert_array_equal(np.array(model.layers[1]._kernel), dense)  # frozen; the two small factors train
    assert np.abs(np.array(model.layers[1].lora_kernel_b)).max() > 0


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = ks.SparseDense(16, density=0.3, activation="relu", seed=1)
        self.head = ks.SparseDense(3, density=0.5, seed=2)

    def call(self, x):
        return self.head(self.hidden(x))


def functional():
    inputs = keras.Input((12,))
    hidden = ks.SparseDense(16, density=0.3, activation="relu", seed=1)(inputs)
    return keras.Model(inputs, ks.SparseDense(3, density=0.5, seed=2)(hidden))


@pytest.mark.parametrize("make", [Subclassed, functional, lambda: small(ks.SparseDense(3, density=0.5))])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_every_kind_of_model_learns_while_rewired(make, policy, problem):
    x, y = problem
    keras.config.set_dtype_policy(policy)
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    history = model.fit(x, y, epochs=12, verbose=0, callbacks=[ks.Rewire(ks.SET(0.1))]).history
    assert history["accuracy"][-1] > max(0.6, history["accuracy"][0])


def test_a_loop_of_ones_own_with_gradient_tape(problem):
    x, y = problem
    model, optimizer = Subclassed(), keras.optimizers.Adam(0.02)
    model(x)
    optimizer.build(model.trainable_variables)
    rewire = ks.Rewire(ks.SET(0.1)).attach(model, optimizer)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = LOSS(y, model(x))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    losses = []
    for number in range(60):
        losses.append(float(step()))
        if number % 20 == 10:
            assert rewire.update()
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("interactive", [True, False])
def test_either_way_of_logging(interactive, problem, capsys):
    x, y = problem
    was = keras.config.is_interactive_logging_enabled()
    (keras.config.enable_interactive_logging if interactive else keras.config.disable_interactive_logging)()
    try:
        model = small()
        model.compile("adam", LOSS)
        model.fit(x, y, epochs=2, callbacks=[ks.Rewire(ks.SET(0.3))])
    finally:
        (keras.config.enable_interactive_logging if was else keras.config.disable_interactive_logging)()
    assert "Epoch 2/2" in capsys.readouterr().out or not interactive
