"""Learn the preprocessing from the training part, and put it in front of the winner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from . import statistics
from .dataset import DataError, Dataset, Features, Task
from .forms import Form, example_shape, is_padded, real_steps

_BATCH = 4096


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Raw inputs -> float32 features of mean 0 and standard deviation 1, in stock Keras layers.

    Args:
        model: named "preprocess". Array data: one input "x" in the data's own shape and dtype. Tables: one scalar input
            per sanitised column (numbers in the column's dtype; text as string). Padded sequences: "x" and "length"
            [batch], int64. Output float32 [batch, *shape].
        task: "classification" or "regression".
        shape: of an example's features: (d,), (height, width, channels) or (time, d).
        n_outputs: number of classes, or 1.
        y_mean: mean of the training targets (regression; else 0), in the target's unit.
        y_std: their standard deviation (regression; else 1; 1 if they are constant).
        padded: whether sequences have padded steps; their features are `statistics.PADDING`.

    Note:
        Keras' `evaluate` and `predict` cast float64 arrays to float32 before a model sees them. Where that matters (a
        float64 feature with an offset of more than 100 deviations), hand Keras a `tf.data.Dataset`; `features` and a
        served model are exact.
    """

    model: keras.Model
    task: Task
    shape: tuple[int, ...]
    n_outputs: int
    y_mean: float = 0.0
    y_std: float = 1.0
    padded: bool = False

    @property
    def n_features(self) -> int:
        """Numbers that an example consists of."""
        return math.prod(self.shape)

    def features(self, x: Features) -> np.ndarray:
        """Preprocess raw inputs, in batches.

        Args:
            x: inputs as in the `Dataset`: [n, ...], a dict of columns [n], or {"x", "length"}.

        Returns:
            float32 [n, *shape].
        """
        n = len(next(iter(x.values()))) if isinstance(x, dict) else len(x)
        result = np.empty((n, *self.shape), dtype=np.float32)
        for start in range(0, n, _BATCH):
            rows = slice(start, start + _BATCH)
            batch = {name: _tensor(v[rows]) for name, v in x.items()} if isinstance(x, dict) else _tensor(x[rows])
            result[rows] = keras.ops.convert_to_numpy(self.model(batch, training=False))
        return result

    def target(self, y: np.ndarray) -> np.ndarray:
        """What the network is trained on: class indices unchanged, or standardised values.

        Args:
            y: [n], class indices or values in the target's unit.

        Returns:
            [n], int64 or float32.
        """
        if self.task == "classification":
            return y
        return ((y - self.y_mean) / self.y_std).astype(np.float32)

    def attach(self, network: keras.Model) -> keras.Model:
        """Build the model to serve: raw inputs -> layer "preprocess" -> layer "network" [-> layer "raw_units"].

        Args:
            network: features [batch, *shape] -> probabilities [batch, classes], or one standardised value
                [batch, 1]. Its layers and variables are shared, not copied.

        Returns:
            A functional model, compiled (SGD; cross-entropy and "accuracy", or "mse") so that
            `evaluate(x_test, y_test)` works, also after `load_model`. For regression it predicts in the target's unit.

        Raises:
            ValueError: the network's input or output does not fit the data.
        """
        if not getattr(network, "inputs", None):
            raise ValueError("The network must be a built functional or sequential model. Call it on data first.")
        output = network.output_shape
        if network.input_shape[1:] != self.shape or output[1:] != (self.n_outputs,):
            shape = ", ".join(map(str, self.shape))
            raise ValueError(
                f"The network must map [batch, {shape}] to [batch, {self.n_outputs}] for this data. "
                f"Received one from {network.input_shape} to {output}."
            )
        if network.name != "network":
            network = keras.Model(network.inputs, network.outputs[0], name="network")
        inputs: Any = _inputs_like(self.model)
        y = network(self.model(inputs))
        if self.task == "regression":
            # Far from zero, float32 has too few digits for the prediction.
            dtype = "float64" if abs(self.y_mean) > 100.0 * self.y_std else "float32"
            # Arrays, not floats, which Keras would round to float32 first.
            scale: Any = np.array(self.y_std)
            offset: Any = np.array(self.y_mean)
            y = keras.layers.Rescaling(scale, offset, dtype=dtype, name="raw_units")(y)
        model = keras.Model(inputs, y, name="served")
        # Plain SGD: it has no slots that would have to be saved or would be missed on load.
        if self.task == "classification":
            model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        else:
            model.compile("sgd", loss="mse", metrics=["mse"])
        return model


def fit(dataset: Dataset, form: Form = "features", *, shared: bool = False) -> Preprocessing:
    """Learn vocabulary, means and deviations from the training part only.

    Features are centred, divided by their standard deviation and clipped to ±10. Features that are constant in
    training become 0 whatever comes later; nearly constant pixels have a floor (see `statistics.from_array`). Text
    columns become one-hot with a first slot for unknown categories. The arithmetic is in float64 where float32 would
    lose the signal.

    Images and sequences keep their shape. All pixels of a channel have one mean and one deviation, and so have all
    steps of a feature; padded steps do not count.

    Args:
        dataset: the data; padded sequences as `forms.with_lengths` gives them.
        form: what the networks take: "features" (flattened, default), "images" or "sequences".
        shared: whether all features have one mean and one deviation, as suits pixels; of arrays only. Default: each
            feature has its own; of images every channel, of sequences every feature of a step.

    Raises:
        DataError: the examples cannot be seen in that form, or no feature varies in the training part.
        ValueError: lengths were given to a form that has no use for them.
    """
    if is_padded(dataset) and form != "sequences":
        raise ValueError(f'Lengths are for form="sequences", not {form!r}. Leave with_lengths out.')
    x, shape = dataset.x_train, example_shape(dataset, form)
    padded = is_padded(dataset)
    if isinstance(x, dict) and not padded:
        if shared:
            raise DataError(
                f"{dataset.name} is a table, whose columns share no unit: they cannot have one scale. Leave scaling at "
                "'each'."
            )
        model, stats = _table_model(x)
    else:
        model, stats = _array_model(x, shape, shared)
    if not np.any(stats.scale > 0):
        raise DataError(
            f"{dataset.name}: every feature is constant in the {len(dataset.y_train)} training rows, so there is "
            "nothing to learn from. Check the file."
        )
    y_mean, y_std = 0.0, 1.0
    if dataset.task == "regression":
        y_mean = float(np.mean(dataset.y_train))
        y_std = float(np.std(dataset.y_train)) or 1.0
    return Preprocessing(model, dataset.task, model.output_shape[1:], dataset.n_outputs, y_mean, y_std, padded)


def _array_model(x: Features, shape: tuple[int, ...], shared: bool) -> tuple[keras.Model, statistics.Statistics]:
    """Features of one shape: the last axis has a mean and a deviation for each place, or `shared` ones."""
    if isinstance(x, dict):
        values, length = x["x"], keras.Input((), dtype="int64", name="length")
        rows = real_steps(values, x["length"])
    else:
        values, length, rows = x, None, x
    stats = statistics.from_array(rows.reshape(-1, 1 if shared else shape[-1]))
    inputs = keras.Input(values.shape[1:], dtype=str(values.dtype), name="x")
    # Bare operations keep the dtype of what they get; a layer would cast floats to its own.
    shaped = inputs if values.shape[1:] == shape else keras.ops.reshape(inputs, (-1, *shape))
    features = _standardise(shaped, stats)
    if length is None:
        return keras.Model(inputs, features, name="preprocess"), stats
    real = keras.ops.less(np.arange(shape[0]), keras.ops.expand_dims(length, -1))
    features = keras.ops.where(keras.ops.expand_dims(real, -1), features, statistics.PADDING)
    return keras.Model({"x": inputs, "length": length}, features, name="preprocess"), stats


def _table_model(x: dict[str, np.ndarray]) -> tuple[keras.Model, statistics.Statistics]:
    """Features: all columns of numbers in order, then the one-hot codes of each text column."""
    numbers = {name: values for name, values in x.items() if values.dtype != object}
    texts = {name: values for name, values in x.items() if values.dtype == object}
    inputs: dict[str, Any] = {
        name: keras.Input((), dtype="string" if name in texts else str(values.dtype), name=name)
        for name, values in x.items()
    }
    stats = [statistics.from_column(values) for values in numbers.values()]
    vocabularies = {name: sorted(set(values)) for name, values in texts.items()}
    stats += [statistics.from_categories(texts[name], words) for name, words in vocabularies.items()]
    joined = statistics.concatenate(stats)
    dtype = "float64" if joined.needs_double else "float32"
    # One operation for all columns: a graph with several for each is slow to build when there are thousands.
    columns = [inputs[name] for name in numbers]
    columns = [column if column.dtype == dtype else keras.ops.cast(column, dtype) for column in columns]
    encoded = [keras.ops.stack(columns, axis=-1)] if columns else []
    for name, words in vocabularies.items():
        encoded.append(keras.ops.cast(_one_hot(name, words)(inputs[name]), dtype))
    features = keras.ops.concatenate(encoded, axis=-1) if encoded[1:] else encoded[0]
    return keras.Model(inputs, _standardise(features, joined), name="preprocess"), joined


def _one_hot(name: str, vocabulary: list[str]) -> keras.layers.Layer:
    # The "." keeps the layer's name apart from any column's.
    unknown = "[UNK]"
    while unknown in vocabulary:  # Keras refuses a vocabulary that holds its own token
        unknown += "_"
    return keras.layers.StringLookup(
        vocabulary=vocabulary, oov_token=unknown, output_mode="one_hot", name=f"{name}.one_hot"
    )


def _standardise(x: Any, stats: statistics.Statistics) -> Any:
    """Centre, scale and clip [batch, d]; first centre, then scale, as x · scale + offset would cancel digits."""
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "Preprocessing needs keras.config.image_data_format() == 'channels_last': with 'channels_first' Keras' "
            "Rescaling takes one scale per feature for one per channel. Set it before loading the data."
        )
    dtype = "float64" if stats.needs_double else "float32"
    # NumPy arrays: Keras would round Python floats to float32 first.
    offset: Any = -stats.mean
    x = keras.layers.Rescaling(1.0, offset, dtype=dtype, name="centre.features")(x)
    x = keras.layers.Rescaling(stats.scale, dtype=dtype, name="scale.features")(x)
    return keras.ops.clip(keras.ops.cast(x, "float32"), -statistics.CLIP, statistics.CLIP)


def _inputs_like(model: keras.Model) -> Any:
    """New inputs of the same structure, names, shapes and dtypes."""
    struct = model._inputs_struct if isinstance(model._inputs_struct, dict) else model.inputs[0]

    def copy(tensor: Any) -> Any:
        return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)

    return {name: copy(tensor) for name, tensor in struct.items()} if isinstance(struct, dict) else copy(struct)


def _tensor(values: np.ndarray) -> Any:
    """Make a tensor without the detour through float32 that Keras takes for float64 arrays."""
    if values.dtype == object:
        import tensorflow as tf

        return tf.constant(values.tolist(), dtype=tf.string)
    return keras.ops.convert_to_tensor(values)
