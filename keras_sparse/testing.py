"""Checks that anyone can run on a rewiring policy of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from .compute.exporting import read
from .kernel import SparseKernel
from .layers.sparse_dense import SparseDense
from .rewiring import optimizer_state
from .rewiring.policy import Policy
from .rewiring.rewire import Rewire

# (n_in, n_out, density): ordinary, one connection, one output, full, hypersparse, several storage blocks.
_KERNELS = ((20, 12, 0.25), (6, 5, 0.01), (9, 1, 0.6), (4, 4, 1.0), (3000, 2000, 0.0002), (30, 600, 0.2))
_STEPS = (1, 2, 50, 1000)  # optimizer steps done before each update


def check_policy(policy: Policy, *, seed: int = 0) -> None:
    """Run `policy` on kernels of many shapes and check the invariants of rewiring after every update.

    No connection is duplicated or out of range; the number of connections is exactly what it was (where the policy
    has `keeps_count`), and never above the capacity; survivors keep their values (unless the policy gives new ones) and
    their optimizer slots, newcomers start with the optimizer's initial slot value; what the policy is shown stays
    unchanged; the same seed gives the same result whatever the state of the global random generators.

    Args:
        policy: the policy to check.
        seed: of kernels and updates.

    Raises:
        AssertionError: naming the broken invariant, the kernel and the update.

    Example:
        >>> import keras_sparse as ks
        >>> ks.testing.check_policy(ks.SET(zeta=0.3))
    """
    first = _run(policy, seed, global_seed=1)
    second = _run(policy, seed, global_seed=2)
    for (name, ours), (_, theirs) in zip(first, second, strict=True):
        if not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
            raise AssertionError(
                f"Not reproducible: two runs with seed {seed} differ on {name}. Draw random numbers from `rng` or the "
                "view, never from a global generator."
            )


def _run(policy: Policy, seed: int, *, global_seed: int) -> list[tuple[str, tuple[NDArray[Any], ...]]]:
    """Run a few updates, checking each; return what every kernel ends with."""
    np.random.seed(global_seed)  # noqa: NPY002 - the generator a policy must not use
    layers = [SparseDense(n_out, density=density, seed=seed + i) for i, (_, n_out, density) in enumerate(_KERNELS)]
    layers[0].capacity = 80  # room to spare, which a policy must not take unless it says so
    inputs = [keras.Input((n_in,)) for n_in, _, _ in _KERNELS]
    model = keras.Model(inputs, [layer(x) for layer, x in zip(layers, inputs, strict=True)])
    optimizer: Any = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    rewire = Rewire(policy, seed=seed).attach(model, optimizer)
    kernels = [layer.kernel for layer in layers]
    rng = np.random.default_rng(seed)
    for number, step in enumerate(_STEPS):
        for kernel in kernels:
            _set_weights(kernel, rng, ties=number == 1)
            _mark_slots(kernel, optimizer)
        optimizer.iterations.assign(step)
        before = [(kernel.connectivity, kernel.host_values().copy()) for kernel in kernels]
        entries = _answer(f"Update {number}", rewire.update, progress=number / len(_STEPS))
        reported = {entry["layer"]: entry for entry in entries}
        for layer, kernel, (connectivity, values) in zip(layers, kernels, before, strict=True):
            where = f"on a {kernel.shape[0]} x {kernel.shape[1]} kernel, update {number}"
            _check(policy, kernel, optimizer, connectivity, values, reported.get(layer.name), where)
    _answer("The end of training", rewire.finish)
    for kernel in kernels:
        assert len(np.unique(kernel.connectivity.keys)) == len(kernel) <= kernel.capacity, "finish broke the topology"
    return [(layer.name, (k.connectivity.keys, k.host_values())) for layer, k in zip(layers, kernels, strict=True)]


def _answer(when: str, function: Callable[..., list[dict[str, Any]]], **arguments: float) -> list[dict[str, Any]]:
    try:
        return function(**arguments)
    except Exception as error:
        raise AssertionError(f"{when} raised {type(error).__name__}: {error}") from error


def _set_weights(kernel: SparseKernel, rng: np.random.Generator, *, ties: bool) -> None:
    values = rng.normal(size=len(kernel))
    values = np.round(values) if ties else values  # many zeros and equal magnitudes
    kernel.replace(kernel.connectivity, values.astype("float32"))


def _mark(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a number that tells positions apart, never 0."""
    return (keys % 8191 + 1).astype(np.float32)


def _mark_slots(kernel: SparseKernel, optimizer: Any) -> None:
    for slot in optimizer_state.slots(optimizer, kernel.values):
        marked = np.zeros(kernel.capacity, np.float32)
        marked[: len(kernel)] = _mark(kernel.connectivity.keys)
        slot.variable.assign(marked)


def _check(
    policy: Policy,
    kernel: SparseKernel,
    optimizer: Any,
    before: Any,
    values: NDArray[Any],
    entry: dict[str, Any] | None,
    where: str,
) -> None:
    after = kernel.connectivity
    keys = after.keys
    if len(np.unique(keys)) != len(keys):
        raise AssertionError(f"Duplicate connections {where}.")
    if policy.keeps_count and len(after) != len(before):
        raise AssertionError(f"The count is not kept {where}: {len(before)} connections before, {len(after)} after.")
    if len(after) > kernel.capacity:
        raise AssertionError(f"The capacity is exceeded {where}: {len(after)} connections, room for {kernel.capacity}.")
    if entry is not None and len(before) - entry["removed"] + entry["added"] != len(after):
        raise AssertionError(f"Removed and added do not add up {where}: {entry}.")
    place = kernel.layout.match(before, after)
    common = place >= 0
    now = kernel.host_values()
    if not np.all(np.isfinite(now)):
        raise AssertionError(f"Values are not finite {where}.")
    tail = read(kernel.values)[len(after) :]
    if np.any(tail):
        raise AssertionError(f"The unused tail of the values is not zero {where}.")
    same = now[common] == values[place[common]]
    for slot in optimizer_state.slots(optimizer, kernel.values):
        state = read(slot.variable)[: len(after)]
        followed = state[common] == _mark(keys[common])
        # A connection that was removed and drawn again is a newcomer: its slots start anew.
        anew = state == 0
        if not np.all(followed | anew[common]) or not np.all(anew[~common]):
            raise AssertionError(f"The optimizer's slots did not follow the connections {where}.")
        survived = entry is None or len(before) - entry["removed"] <= np.count_nonzero(followed)
        if not survived:
            raise AssertionError(f"Survivors lost their optimizer slots {where}.")
        if not policy.changes_kept_values and not np.all(same[followed]):
            raise AssertionError(f"Survivors changed their values {where}.")
