"""`RBM`: a restricted Boltzmann machine with a sparse kernel, trained by contrastive divergence."""

from __future__ import annotations

from typing import Any, cast

import keras
import numpy as np
from keras import ops

from ..compute import paths, recording
from ..layers.sparse_dense import SparseDense
from ..multiplier import Multiplier
from ..topology.densities import DensityRule
from ..topology.patterns import Pattern
from .annealing import softplus
from .binary_units import BinaryUnits, check_count, check_range
from .executions import several_at_once

Tensor = Any
# Arguments that are those of the hidden layer.
_OF_HIDDEN = (
    "density",
    "pattern",
    "capacity",
    "compute",
    "kernel_initializer",
    "kernel_regularizer",
    "kernel_constraint",
    "seed",
)


@keras.saving.register_keras_serializable("keras_sparse")
class RBM(BinaryUnits, keras.Model):
    """A restricted Boltzmann machine of binary units that stores only the connections that exist.

    E(v, h) = −v W h − b v − c h, with one `SparseKernel` W for both directions. `fit(x)` learns without labels, by
    contrastive divergence (Hinton 2002) or, with `persistent`, from chains that go on from step to step (Tieleman
    2008); with `ks.Rewire(ks.SET())` it is SET-RBM (Mocanu et al. 2018). Hidden units are sampled, visible ones are
    probabilities (in persistent chains they are sampled, too). Compile it with an optimizer only:

        rbm.compile(keras.optimizers.SGD(0.01, momentum=0.9))
        rbm.fit(x, epochs=20, callbacks=[ks.Rewire(ks.SET(0.3))])

    Reported are "reconstruction_error" (mean squared difference of x and its reconstruction: in training from a sample
    of the hidden units, in `evaluate` from their probabilities), "free_energy" (mean F of the data) and "loss": the
    mean energy of the data less that of the model's samples, whose gradient is that of contrastive divergence, and
    what regularizers add. None of them is the likelihood: see `log_probability`.

    Called, and in `predict`, it returns the probabilities of the hidden units. In a supervised network use the layer
    `hidden`, a `ks.SparseDense` that shares the weights; set its `trainable` to keep the features as they are:

        keras.Sequential([keras.Input((784,)), rbm.hidden, keras.layers.Dense(10, activation="softmax")])

    Args:
        hidden_units: number of hidden units, a positive integer.
        density: of the kernel, as in `SparseDense`; also `ks.ErdosRenyi(epsilon=11)`.
        pattern: where connections start, as in `SparseDense`.
        capacity: number of connections there is room for, as in `SparseDense`.
        compute: as in `SparseDense`.
        cd: Gibbs steps per training step, k in CD-k. Default 1.
        persistent: whether the model's samples are those of chains that are kept from step to step. Default False.
        chains: number of persistent chains. Default 100.
        kernel_initializer: as in `SparseDense`; default RandomNormal(stddev=0.05), the authors' choice for SET-RBM.
        visible_bias_initializer: default "zeros". The logits of the data's means make learning faster.
        hidden_bias_initializer: default "zeros".
        kernel_regularizer: weight decay, say: L2(l) adds l Σ w² to the loss.
        kernel_constraint: as in `SparseDense`.
        seed: of connections, initial values and samples; default drawn from Keras' global seed.
        **kwargs: `name`, `dtype`, `trainable`.

    Attributes:
        hidden: the layer from visible to hidden units, with `hidden.kernel` and `hidden.bias`.
        visible_bias: [n_in].

    Input shape:
        (batch, n_in), values in [0, 1]; with TensorFlow also a `tf.SparseTensor`.

    Output shape:
        (batch, hidden_units).

    Raises:
        ValueError: for arguments out of range; in `fit`, for data outside [0, 1], labels, a loss or metrics.

    Example:
        >>> import keras, keras_sparse as ks
        >>> rbm = ks.RBM(20, density=0.2, seed=1)
        >>> rbm.compile(keras.optimizers.SGD(0.1))
        >>> x = keras.ops.convert_to_numpy(keras.random.randint((64, 12), 0, 2, seed=1))
        >>> history = rbm.fit(x, verbose=0)
        >>> sorted(history.history), rbm.predict(x, verbose=0).shape
        (['free_energy', 'loss', 'reconstruction_error'], (64, 20))
    """

    def __init__(
        self,
        hidden_units: int,
        *,
        density: float | DensityRule | None = None,
        pattern: Pattern | None = None,
        capacity: int | None = None,
        compute: str = "auto",
        cd: int = 1,
        persistent: bool = False,
        chains: int = 100,
        kernel_initializer: Any = None,
        visible_bias_initializer: Any = "zeros",
        hidden_bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = check_count(hidden_units, "hidden_units")
        self.cd = check_count(cd, "cd")
        self.persistent = bool(persistent)
        self.chains = check_count(chains, "chains")
        self.hidden = SparseDense(
            hidden_units,
            density=density,
            pattern=pattern,
            capacity=capacity,
            compute=compute,
            activation="sigmoid",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.05)
            if kernel_initializer is None
            else kernel_initializer,
            bias_initializer=hidden_bias_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            seed=seed,
            dtype=self.dtype_policy,
            name=f"{self.name}_hidden",
        )
        self.visible_bias_initializer = keras.initializers.get(visible_bias_initializer)
        self.seed_generator = keras.random.SeedGenerator(None if seed is None else seed % 2**31)
        self._reconstruction = keras.metrics.Mean("reconstruction_error")
        self._free_energy = keras.metrics.Mean("free_energy")
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel, biases and persistent chains for inputs of `input_shape`."""
        if not self.hidden.built:
            self.hidden.build(input_shape)
        n_in = self.kernel.shape[0]
        self.visible_bias = self.add_weight(
            name="visible_bias", shape=(n_in,), initializer=self.visible_bias_initializer
        )
        if self.persistent:
            self._chains = self.add_weight(
                name="chains",
                shape=(self.chains, n_in),
                initializer=keras.initializers.RandomUniform(0, 1, seed=self.hidden._kernel_seed),
                trainable=False,
                aggregation="only_first_replica",  # all replicas draw the same
            )
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: n_in})
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return the probabilities of the hidden units given visible ones."""
        return self.hidden(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, hidden_units)."""
        return (*input_shape[:-1], self.hidden_units)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.fit` does, without labels.

        If x is an array and no callback has a hook for batches, up to 16 steps run at once: the same training, faster.
        """
        if isinstance(x, np.ndarray):
            check_range(x)
        if getattr(self, "loss", None) is not None or getattr(self, "_compile_metrics", None) is not None:
            raise ValueError(
                f"{self.name}: an RBM has its own loss and metrics. Compile it with an optimizer only: "
                'rbm.compile("sgd").'
            )
        with several_at_once(self, x, *args, **kwargs):
            return super().fit(x, *args, **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Return the mean energy of the data less that of the model's samples, and what regularizers add.

        Its gradient is that of contrastive divergence: ∂E/∂W is v hᵀ, so the kernel's is Σ v h at the connections.
        Sample weights weigh the data and the samples that come from them.
        """
        del y_pred  # not used, so compiled functions leave that product out
        if y is not None:
            raise ValueError(f"{self.name}: an RBM learns without labels; use fit(x), or a tf.data.Dataset of x alone.")
        visible: Tensor = ops.convert_to_tensor(x, self.statistics_dtype, sparse=False)  # its reconstruction is dense
        multiply = self.kernel.multiplier(repeated=True)
        plain = training and sample_weight is None and not self.persistent
        if plain and multiply.stored is not None and self.statistics_dtype == self.compute_dtype == "float32":
            return self._total(self._contrast(visible, *multiply.stored))
        logits = self.hidden_logits(visible, multiply)
        hidden = ops.sigmoid(logits)
        reconstruction = ops.sigmoid(self.visible_logits(self._bits(hidden) if training else hidden, multiply))
        weights = None if sample_weight is None else ops.cast(ops.reshape(sample_weight, [-1]), visible.dtype)
        self._reconstruction.update_state(ops.mean(ops.square(visible - reconstruction), axis=1), weights)
        self._free_energy.update_state(self._energy(visible, softplus(logits)), weights)

        share = ops.divide(1, ops.cast(ops.shape(visible)[0], visible.dtype))
        fantasy = self._fantasy(reconstruction, multiply) if training else reconstruction
        other, other_share = weights, share
        if training and self.persistent:
            other, other_share = None, (1.0 if weights is None else ops.sum(weights) * share) / self.chains
        data = self._statistics(visible, hidden, weights, -share)
        model = self._statistics(fantasy, ops.sigmoid(self.hidden_logits(fantasy, multiply)), other, other_share)
        return self._total([a + b for a, b in zip(data, model, strict=True)])

    def _contrast(self, visible: Tensor, values: Tensor, index: Any) -> list[Tensor]:
        """Return the statistics of the model less those of the data, per sample, from one native operation."""
        from ..compute.native.contrast import contrast

        biases = [ops.cast(paths.value(bias), "float32") for bias in (self.visible_bias, self.hidden.bias)]
        # A number below 2⁶⁴ from the two below 2³² that a seed is made of.
        seed: Any = ops.split(ops.cast(self.seed_generator.next(), "int64"), 2)
        high, low = seed
        found = contrast(visible, values, index, *biases, steps=self.cd, seed=high * 2**32 + low)
        self._reconstruction.update_state(found.error / visible.shape[1])
        self._free_energy.update_state(found.energy)
        share = ops.divide(-1, ops.cast(ops.shape(visible)[0], visible.dtype))
        return [share * part for part in (found.values, found.visible, found.hidden)]

    def _total(self, statistics: list[Tensor]) -> Tensor:
        losses = (self._linear(statistics), *self.losses)
        return ops.sum(ops.stack([self._aggregate_additional_loss(loss) for loss in losses]))

    def _fantasy(self, reconstruction: Tensor, multiply: Multiplier) -> Tensor:
        """Return the visible units of the model's samples."""
        if self.persistent:
            visible = ops.convert_to_tensor(self._chains)
            for _ in range(self.cd):
                visible = self._gibbs(visible, multiply)
            self._chains.assign(visible)
            return self._visible(visible)
        for _ in range(self.cd - 1):
            hidden = self._bits(ops.sigmoid(self.hidden_logits(reconstruction, multiply)))
            reconstruction = ops.sigmoid(self.visible_logits(hidden, multiply))
        return reconstruction

    def _statistics(self, visible: Tensor, hidden: Tensor, weights: Tensor | None, share: Any) -> list[Tensor]:
        """Return `share` times the weighted sums of v h at the connections, of v and of h."""
        if weights is not None:
            hidden = hidden * weights[:, None]
        recorder = recording.current()
        if recorder is not None:  # of a policy that grows by gradient
            recorder(self.kernel, visible, share * hidden)
        by_visible = ops.sum(visible, axis=0) if weights is None else ops.matmul(weights, visible)
        return [share * part for part in (self.kernel.outer(visible, hidden), by_visible, ops.sum(hidden, axis=0))]

    def _linear(self, statistics: list[Tensor]) -> Tensor:
        """Return the energy: it is linear in the weights, and the statistics are constants."""
        variables = (self.kernel.values, self.visible_bias, self.hidden.bias)
        total: Any = 0.0
        for variable, statistic in zip(variables, statistics, strict=True):
            constant = ops.stop_gradient(statistic)
            total += ops.sum(ops.cast(variable, constant.dtype) * constant)
        return total

    def get_build_config(self) -> dict[str, Any]:
        """Return the input shape and the kernel's storage layout."""
        config = cast(dict[str, Any], dict(super().get_build_config() or {}))
        return {**config, "layout": self.kernel.build_layout()} if self.built else config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build with the capacity that the saved kernel had."""
        rest = self.hidden.expect(config)
        if "input_shape" in rest:
            self.build(tuple(rest["input_shape"]))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        hidden = self.hidden.get_config()
        return {
            **super().get_config(),
            **{key: hidden[key] for key in _OF_HIDDEN},
            "hidden_units": self.hidden_units,
            "cd": self.cd,
            "persistent": self.persistent,
            "chains": self.chains,
            "visible_bias_initializer": keras.initializers.serialize(self.visible_bias_initializer),
            "hidden_bias_initializer": hidden["bias_initializer"],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RBM:
        """Return the model that `get_config` described."""
        config = dict(config)
        for key in ("density", "pattern"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(config[key], custom_objects)
        return cls(**config)
