import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks


def mlp():
    return keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(16, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(8, kernel_regularizer="l2", name="second"),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_dense_layers_become_sparse_and_the_rest_stays():
    dense = mlp()
    dense.get_layer("norm").moving_mean.assign(np.arange(16.0))
    sparse = ks.sparsify(dense, density=0.25, rules=[("head", None)], seed=1)
    assert kinds(sparse) == ["SparseDense", "BatchNormalization", "SparseDense", "Dense"]
    assert [layer.name for layer in sparse.layers] == [layer.name for layer in dense.layers]
    assert len(sparse.get_layer("first").kernel) == 80
    assert sparse.get_layer("first").activation is keras.activations.relu
    assert isinstance(sparse.get_layer("second").kernel_regularizer, keras.regularizers.L2)
    np.testing.assert_array_equal(sparse.get_layer("norm").moving_mean, np.arange(16.0))
    np.testing.assert_array_equal(sparse.get_layer("head").kernel, dense.get_layer("head").kernel)
    assert kinds(dense) == ["Dense", "BatchNormalization", "Dense", "Dense"]


def test_the_report_says_what_was_left_dense_and_why(capsys):
    report = ks.sparsify(mlp(), rules=[("head", None)]).sparsify_report
    assert [(e.name, e.before, e.after) for e in report] == [
        ("first", "Dense", "SparseDense"),
        ("norm", "BatchNormalization", "BatchNormalization"),
        ("second", "Dense", "SparseDense"),
        ("head", "Dense", "Dense"),
    ]
    assert [e.reason for e in report if e.after == "SparseDense"] == ["", ""]
    assert "a rule says so" in report[-1].reason
    print(report)
    assert "left as it is because" in capsys.readouterr().out


def test_the_largest_weights_are_kept():
    dense = mlp()
    sparse = ks.sparsify(dense, density=0.25, keep_weights=True)
    matrix, kept = np.array(dense.get_layer("first").kernel), sparse.get_layer("first").kernel.to_dense()
    limit = np.sort(np.abs(matrix).ravel())[-80]
    np.testing.assert_array_equal(kept, np.where(np.abs(matrix) >= limit, matrix, 0))
    whole = ks.sparsify(dense, density=1.0, keep_weights=True)
    x = np.random.default_rng(0).normal(size=(5, 20)).astype("float32")
    np.testing.assert_allclose(whole(x), dense(x), atol=1e-6)


def test_rules_by_name_class_and_function():
    rules = [
        ("first", {"density": 0.5, "pattern": ks.Structured()}),
        (lambda layer: getattr(layer, "units", 0) == 3, 1.0),
        (layers.Dense, ks.ErdosRenyi(2)),
    ]
    sparse = ks.sparsify(mlp(), density=None, rules=rules)
    first, second, head = (sparse.get_layer(name) for name in ("first", "second", "head"))
    assert (len(first.kernel), len(second.kernel), len(head.kernel)) == (160, 2 * (16 + 8), 24)
    assert len(set(first.kernel.connectivity.in_degrees)) == 1


def test_shared_nested_and_wrapped_layers():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="inner_dense")], name="inner")
    shared = layers.Dense(6, name="shared")
    a, b = keras.Input((4, 6)), keras.Input((6,))
    steps = layers.TimeDistributed(layers.Dense(5, name="each"), name="steps")(a)
    joined = layers.Add()([shared(b), shared(inner(b)), layers.Dense(6, name="mix")(layers.Flatten()(steps))])
    model = keras.Model([a, b], joined)
    sparse = ks.sparsify(model, density=0.5, seed=3)
    assert {j.name for j in ks.inspect(sparse).junctions} == {"each", "inner_dense", "shared", "mix"}
    assert all(j.compute != "keras" for j in ks.inspect(sparse).junctions)
    assert len(sparse.get_layer("shared")._inbound_nodes) == 2
    x = [np.ones((2, 4, 6), "float32"), np.ones((2, 6), "float32")]
    same = ks.sparsify(model, density=1.0, keep_weights=True)
    np.testing.assert_allclose(same(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["MultiHeadAttention", "GroupQueryAttention"])
def test_attention_gets_sparse_projections(attention):
    x = keras.Input((7, 12))
    layer = (
        layers.MultiHeadAttention(3, 4, name="attend")
        if attention == "MultiHeadAttention"
        else layers.GroupQueryAttention(4, 4, 2, name="attend")
    )
    model = keras.Model(x, layer(x, x))
    whole = ks.sparsify(model, density=1.0, keep_weights=True)
    data = np.random.default_rng(0).normal(size=(2, 7, 12)).astype("float32")
    np.testing.assert_allclose(whole(data), model(data), atol=1e-5)
    sparse = ks.sparsify(model, density=0.25, seed=0)
    report = ks.inspect(sparse)
    assert report.connections == sum(round(0.25 * a * b) for a, b in (j.shape for j in report.junctions))
    assert len(report.junctions) == 4
    assert [e.after for e in sparse.sparsify_report] == [f"Sparse{attention}"]


def test_trains_is_rewired_and_comes_back_from_a_file(tmp_path):
    dense = mlp()
    dense.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    dense.save(tmp_path / "dense.h5")  # Keras takes the optimizer out of the compile configuration then
    sparse = ks.sparsify(dense, density=0.3, seed=0)
    assert isinstance(sparse.optimizer, keras.optimizers.Adam)
    x, y = np.random.default_rng(0).normal(size=(64, 20)), np.arange(64) % 3
    rewire = ks.Rewire(ks.SET(0.3))
    sparse.fit(x, y, epochs=3, verbose=0, callbacks=[rewire])
    assert {entry["layer"] for entry in rewire.history} == {"first", "second", "head"}
    sparse.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), sparse.predict(x, verbose=0), atol=1e-6)


def test_what_cannot_be_sparse_is_left_and_explained():
    @keras.saving.register_keras_serializable("tests")
    class Strange(layers.Dense):
        pass

    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(10, 6, name="table"),
            layers.Flatten(),
            Strange(6, name="strange"),
            layers.Dense(5, kernel_initializer="orthogonal", name="orthogonal"),
            layers.EinsumDense("ab,cb->ac", output_shape=5, name="turned"),
            layers.SpectralNormalization(layers.Dense(4, name="normalized")),
            layers.Dense(2, name="plain"),
        ]
    )
    report = {entry.name: entry for entry in ks.sparsify(model, 0.5).sparsify_report}
    assert "looked up" in report["table"].reason
    assert "subclass of Dense" in report["strange"].reason
    assert "rthogonal" in report["orthogonal"].reason
    assert "not one product" in report["turned"].reason
    assert report["normalized"].after == "Dense"
    assert "SpectralNormalization" in report["normalized"].reason
    assert report["plain"].after == "SparseDense"


def test_errors_say_what_to_do():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    own = Own()
    own(np.ones((1, 4)))
    with pytest.raises(ValueError, match="is not built"):
        ks.sparsify(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="in that code"):
        ks.sparsify(own)
    with pytest.raises(ValueError, match="must be a Keras model"):
        ks.sparsify(layers.Dense(3))
    with pytest.raises(ValueError, match="which fits no layer"):
        ks.sparsify(mlp(), rules=[("frist", 0.5)])
    with pytest.raises(ValueError, match="density"):
        ks.sparsify(mlp(), density=1.5)
    with pytest.raises(ValueError, match="A rule is a pair"):
        ks.sparsify(mlp(), rules=["first"])
    with pytest.raises(ValueError, match="became sparse"):
        ks.sparsify(mlp(), density=None)
    with pytest.raises(ValueError, match="densty"):
        ks.sparsify(mlp(), rules=[("first", {"densty": 0.1})])


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        (
            (7, 5),
            [
                lambda: layers.LSTM(6, return_sequences=True),
                lambda: layers.Bidirectional(layers.GRU(4, return_sequences=True)),
                lambda: layers.SimpleRNN(3),
            ],
        ),
        ((7, 5), [lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])]),
        (
            (12, 12, 3),
            [
                lambda: layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
                lambda: layers.DepthwiseConv2D(3),
                lambda: layers.Conv2D(4, 1, use_bias=False),
                layers.GlobalAveragePooling2D,
            ],
        ),
        ((12, 3), [lambda: layers.Conv1D(8, 3, padding="causal", dilation_rate=2), layers.Flatten]),
    ],
)
def test_every_kind_of_kernel_is_found_and_keeps_its_weights(shape, parts):
    model = keras.Sequential([keras.Input(shape), *(part() for part in parts), layers.Dense(2)])
    whole = ks.sparsify(model, 1.0, keep_weights=True)
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    np.testing.assert_allclose(whole(x), model(x), atol=1e-5)
    sparse = ks.sparsify(model, 0.3, keep_weights=True)
    left = [entry.before for entry in sparse.sparsify_report if entry.reason]
    assert left == (["DepthwiseConv2D"] if len(shape) == 3 else [])
    assert sparse(x).shape == (3, 2)


def test_operations_between_layers_of_the_same_name():
    """Keras has an `Add` layer and an `Add` operation; MobileNetV3 uses both."""
    x = keras.Input((6,))
    y = layers.Dense(6)(x)
    y = layers.Multiply()([layers.Add()([x, y]) + 3.0, y * 0.5])
    dense = keras.Model(x, layers.Dense(2)(y))
    data = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    full = ks.sparsify(dense, 1.0, keep_weights=True)
    np.testing.assert_allclose(full.predict(data, verbose=0), dense.predict(data, verbose=0), atol=1e-5)
    small = ks.resize(ks.sparsify(dense, 0.5), "fit")
    assert small(data).shape == (5, 2)


def test_a_network_of_keras_applications():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=10, alpha=0.35)
    sparse = ks.sparsify(model, 0.2, seed=0)
    kinds = {entry.before for entry in sparse.sparsify_report if entry.reason}
    assert kinds == {"BatchNormalization", "DepthwiseConv2D"}
    assert ks.inspect(sparse).connections < 0.25 * ks.inspect(model).connections
    assert sparse(np.ones((1, 32, 32, 3))).shape == (1, 10)
