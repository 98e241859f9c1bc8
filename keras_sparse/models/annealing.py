"""Annealed importance sampling: how large the partition function of an RBM is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from ..compute.compiled import compiled

if TYPE_CHECKING:
    from .binary_units import BinaryUnits

Tensor = Any
Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure found by annealed importance sampling, in nats.

    Attributes:
        value: the estimate.
        standard_error: of the logarithm of the partition function, from the spread of the chains. Chains that all miss
            a mode make it too small: repeat with more temperatures.
    """

    value: float
    standard_error: float


def schedule(temperatures: int | Sequence[float]) -> Floats:
    """Return inverse temperatures from 0 to 1: evenly spaced ones for a number of steps, or those given, checked."""
    if isinstance(temperatures, int) and not isinstance(temperatures, bool):
        if temperatures < 1:
            raise ValueError(f"`temperatures` must be a positive number of steps; got {temperatures}.")
        return np.linspace(0, 1, temperatures + 1)
    betas = np.asarray(temperatures, np.float64)
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or np.any(np.diff(betas) <= 0):
        raise ValueError(
            "`temperatures` must be a number of steps, or inverse temperatures that rise from 0 to 1, such as "
            f"np.linspace(0, 1, 1001); got {temperatures!r}."
        )
    return betas


def base_logits(data: Any) -> Floats:
    """Return the biases [n_in] of independent units with the means of `data` [n, n_in], kept off 0 and 1."""
    data = np.asarray(data)
    means = (data.sum(0, dtype=np.float64) + 1) / (len(data) + 2)
    return np.log(means / (1 - means))


def log_partition(rbm: BinaryUnits, base: Floats, *, chains: int, betas: Floats, seed: int) -> Estimate:
    """Return log Z of an RBM (Salakhutdinov and Murray 2008, section 4.1.1).

    From the model of independent units with biases `base` to the RBM, through models whose hidden units have their
    weights and biases scaled by β and whose visible biases move from `base` to the RBM's.

    Args:
        rbm: a built RBM.
        base: visible biases of the model at β = 0, [n_in].
        chains: number of independent runs.
        betas: rising from 0 to 1.
        seed: of the random numbers.
    """
    n_in, n_out = rbm.kernel.shape
    generator = keras.random.SeedGenerator(seed)
    dtype = rbm.statistics_dtype
    start = ops.convert_to_tensor(base.astype(dtype))
    change = ops.subtract(ops.cast(ops.convert_to_tensor(rbm.visible_bias), dtype), start)
    visible = bernoulli(ops.broadcast_to(ops.sigmoid(start), (chains, n_in)), generator)
    weights = np.zeros(chains)  # logarithms

    def step(visible: Tensor, before: Tensor, beta: Tensor, rise: Tensor) -> tuple[Tensor, Tensor]:
        multiply = rbm.kernel.multiplier(repeated=True)
        logits = rbm.hidden_logits(visible, multiply)
        # One difference per unit: those of the sums would lose their digits.
        gains = ops.subtract(softplus(beta * logits), softplus(before * logits))
        hidden = bernoulli(ops.sigmoid(beta * logits), generator)
        after = bernoulli(ops.sigmoid((1 - beta) * start + beta * rbm.visible_logits(hidden, multiply)), generator)
        return rise * ops.matmul(visible, change) + ops.sum(gains, axis=1), after

    run = compiled(step)
    for before, beta in pairwise(betas.tolist()):
        gains, visible = run(visible, *(ops.convert_to_tensor(b, dtype) for b in (before, beta, beta - before)))
        weights += np.asarray(ops.convert_to_numpy(gains), np.float64)
    known = n_out * np.log(2) + np.logaddexp(0, base).sum()  # log Z at β = 0
    top = weights.max()
    relative = np.exp(weights - top)
    error = relative.std(ddof=1) / relative.mean() / np.sqrt(chains)
    return Estimate(float(known + top + np.log(relative.mean())), float(error))


def bernoulli(probabilities: Tensor, seed: Any) -> Tensor:
    """Return zeros and ones, one with the given probabilities."""
    dtype = probabilities.dtype
    drawn = keras.random.uniform(ops.shape(probabilities), dtype=dtype, seed=seed)
    return ops.cast(ops.less(drawn, probabilities), dtype)


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)) to float32's precision, not to be differentiated: at 0 its gradient is wrong.

    It is three times as fast as TensorFlow's own, and shares the logistic function with whoever samples.
    """
    p = ops.sigmoid(x)
    return ops.relu(x) - ops.log(ops.maximum(p, ops.subtract(1.0, p)))  # σ(|x|) is at least a half
