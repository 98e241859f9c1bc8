"""What an RBM says about its units: probabilities, energies, samples, likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..compute import paths
from ..compute.compiled import compiled
from ..kernel import SparseKernel
from ..layers.sparse_dense import SparseDense
from ..multiplier import Multiplier
from . import annealing
from .annealing import Estimate, bernoulli

Tensor = Any
_ROWS = 1000  # samples looked at together


class BinaryUnits:
    """The distribution of binary units v and h with p(v, h) = exp(v W h + b v + c h) / Z.

    Attributes:
        hidden: layer from visible to hidden units: W is its kernel, c its bias.
        visible_bias: b, [n_in].
        seed_generator: of samples.
    """

    name: str
    built: bool
    variable_dtype: Any
    hidden: SparseDense
    visible_bias: Any
    seed_generator: keras.random.SeedGenerator

    @property
    def kernel(self) -> SparseKernel:
        """The weights between visible and hidden units, [n_in, hidden_units]."""
        return self.hidden.kernel

    @property
    def statistics_dtype(self) -> str:
        """Of probabilities and energies: that of the variables, but at least float32."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def hidden_logits(self, visible: Tensor, multiply: Multiplier | None = None) -> Tensor:
        """Return c + v W, [n, hidden_units], for visible units [n, n_in].

        Args:
            visible: [n, n_in]; with TensorFlow also a `tf.SparseTensor`.
            multiply: the kernel's multiplier, where several products share what it prepared.
        """
        if multiply is None or paths.sparse(visible):
            product = self.kernel.matmul(visible, bias=self.hidden.bias)
        else:
            product = multiply(visible, bias=self.hidden.bias)
        return ops.cast(product, self.statistics_dtype)

    def visible_logits(self, hidden: Tensor, multiply: Multiplier | None = None) -> Tensor:
        """Return b + h Wᵀ, [n, n_in], for hidden units [n, hidden_units]; for `multiply` see `hidden_logits`."""
        product = (multiply or self.kernel.matmul)(hidden, transpose=True)
        return ops.cast(product, self.statistics_dtype) + ops.cast(self.visible_bias, self.statistics_dtype)

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return F(v) = −b v − Σⱼ log(1 + exp(cⱼ + (v W)ⱼ)), [n], so that p(v) = exp(−F(v)) / Z.

        Args:
            visible: [n, n_in]; values between 0 and 1 count as they stand.
        """
        visible = self._visible(visible)
        return self._energy(visible, ops.softplus(self.hidden_logits(visible)))

    def reconstruct(self, visible: Tensor, *, sample: bool = False) -> Tensor:
        """Return the probabilities of the visible units, [n, n_in], given the hidden ones given `visible`.

        Args:
            visible: [n, n_in].
            sample: whether to sample the hidden units; by default their probabilities are used.
        """
        multiply = self.kernel.multiplier(repeated=True)
        hidden = ops.sigmoid(self.hidden_logits(self._visible(visible), multiply))
        return ops.sigmoid(self.visible_logits(self._bits(hidden) if sample else hidden, multiply))

    def sample(self, count: int, *, steps: int = 1000, start: Any = None) -> NDArray[Any]:
        """Return samples of the visible units, zeros and ones [count, n_in], each from a Gibbs chain of its own.

        Args:
            count: number of samples.
            steps: of Gibbs sampling.
            start: visible units the chains start from, [count, n_in]; by default random bits.

        Raises:
            ValueError: for wrong counts or a start of another shape.
        """
        shape = (check_count(count, "count"), self._inputs())
        visible = self._visible(np.full(shape, 0.5) if start is None else start)
        if tuple(visible.shape) != shape:
            raise ValueError(f"`start` must have shape {shape}, one row per sample; got {tuple(visible.shape)}.")
        step = compiled(self._gibbs)
        for _ in range(check_count(steps, "steps")):
            visible = step(visible)
        return np.asarray(ops.convert_to_numpy(visible))

    def log_partition(
        self,
        data: Any = None,
        *,
        chains: int = 100,
        temperatures: int | Sequence[float] = 1000,
        seed: int = 0,
    ) -> Estimate:
        """Estimate log Z by annealed importance sampling (Salakhutdinov and Murray 2008).

        Args:
            data: binary samples [n, n_in], the training data, say, whose means make the distribution that annealing
                starts from; by default all means are a half, which takes more temperatures.
            chains: number of runs, at least 2.
            temperatures: number of steps, or inverse temperatures that rise from 0 to 1.
            seed: of the random numbers; training does not notice the estimate.

        Returns:
            (value, standard_error) in nats.

        Raises:
            ValueError: before the model is built; for arguments out of range.
        """
        base = np.zeros(self._inputs()) if data is None else annealing.base_logits(self._check_data(data))
        if check_count(chains, "chains") < 2:
            raise ValueError("A standard error takes two chains at least; got `chains=1`.")
        betas = annealing.schedule(temperatures)
        return annealing.log_partition(self, base, chains=chains, betas=betas, seed=seed)

    def log_probability(
        self,
        x: Any,
        data: Any = None,
        *,
        chains: int = 100,
        temperatures: int | Sequence[float] = 1000,
        seed: int = 0,
    ) -> Estimate:
        """Return the mean log p(x) per sample, with log Z estimated by annealed importance sampling.

        Args:
            x: binary samples, [n, n_in]; values between 0 and 1 count as in `free_energy`, and what comes out is no
                probability then.
            data: see `log_partition`; default `x`.
            chains: see `log_partition`.
            temperatures: see `log_partition`.
            seed: see `log_partition`.

        Returns:
            (value, standard_error) in nats; the error is that of log Z.

        Raises:
            ValueError: before the model is built; for arguments out of range.
        """
        x = self._check_data(x)
        parts = (self.free_energy(x[i : i + _ROWS]) for i in range(0, len(x), _ROWS))
        energies = [np.asarray(ops.convert_to_numpy(part)) for part in parts]
        partition = self.log_partition(x if data is None else data, chains=chains, temperatures=temperatures, seed=seed)
        mean = float(np.concatenate(energies).mean(dtype=np.float64))
        return Estimate(-mean - partition.value, partition.standard_error)

    def _gibbs(self, visible: Tensor, multiply: Multiplier | None = None) -> Tensor:
        multiply = multiply or self.kernel.multiplier(repeated=True)
        hidden = self._bits(ops.sigmoid(self.hidden_logits(visible, multiply)))
        return self._bits(ops.sigmoid(self.visible_logits(hidden, multiply)))

    def _bits(self, probabilities: Tensor) -> Tensor:
        return bernoulli(probabilities, self.seed_generator)

    def _visible(self, x: Any) -> Tensor:
        return ops.cast(x, self.statistics_dtype)

    def _energy(self, visible: Tensor, softplus: Tensor) -> Tensor:
        """Return the free energy, given the softplus of the hidden units' logits."""
        bias = ops.cast(self.visible_bias, visible.dtype)
        return -ops.matmul(visible, bias) - ops.sum(softplus, axis=1)

    def _inputs(self) -> int:
        if not self.built:
            raise ValueError(f"{self.name} has no weights yet: fit it, or call it once.")
        return self.kernel.shape[0]

    def _check_data(self, data: Any) -> NDArray[Any]:
        data = np.asarray(data)
        if data.ndim != 2 or data.shape[1] != self._inputs() or not len(data):
            raise ValueError(f"{self.name}: expected samples of shape (n, {self._inputs()}), n > 0; got {data.shape}.")
        check_range(data)
        return data


def check_count(count: Any, name: str) -> int:
    """Return `count` if it is a positive integer, else raise ValueError."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`{name}` must be a positive integer; got {count!r}.")
    return count


def check_range(x: NDArray[Any]) -> None:
    """Raise ValueError unless all of `x` lies in [0, 1]."""
    if x.size and not (np.min(x) >= 0 and np.max(x) <= 1):
        raise ValueError(
            f"The units of an RBM are binary: x must lie in [0, 1], and goes from {np.min(x)} to {np.max(x)}. Scale it."
        )
