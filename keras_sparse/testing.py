"""Checks that anyone can run on a rewiring policy of their own."""

from __future__ import annotations

import tracemalloc
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
_LARGE = (10_000, 8_000, 2.5e-5)  # an array of all its positions takes 80 MB at least
_MOST_BYTES = 60 << 20  # that an update may take at once, unless the policy says that it takes memory for all positions
_BATCH = 4  # of the gradients a policy is shown
_STEPS = (1, 2, 50, 1000)  # optimizer steps done before each update


def check_policy(policy: Policy, *, seed: int = 0) -> None:
    """Run `policy` on kernels of many shapes and check the invariants of rewiring after every update.

    No connection is duplicated or out of range; the number of connections is exactly what it was (where the policy
    has `keeps_count`), in all kernels together (where it has `keeps_total`), and never above the capacity; survivors
    keep their values (unless the policy gives new ones) and their optimizer slots, newcomers start with the optimizer's
    initial slot value; what the policy is shown stays unchanged; no update takes memory for every position of a large
    kernel (unless the policy has `memory="dense"`); the same seed gives the same result whatever the state of the
    global random generators. A policy that needs gradients is shown random ones.

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
    sizes = _KERNELS if policy.memory == "dense" else (*_KERNELS, _LARGE)
    layers = [SparseDense(n_out, density=density, seed=seed + i) for i, (_, n_out, density) in enumerate(sizes)]
    layers[0].capacity = 80  # room to spare, which a policy must not take unless it says so
    inputs = [keras.Input((n_in,)) for n_in, _, _ in sizes]
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
        entries = _update(rewire, kernels, rng, number)
        reported = {entry["layer"]: entry for entry in entries}
        for layer, kernel, (connectivity, values) in zip(layers, kernels, before, strict=True):
            where = f"on a {kernel.shape[0]} x {kernel.shape[1]} kernel, update {number}"
            _check(policy, kernel, optimizer, connectivity, values, reported.get(layer.name), where)
        had, has = sum(len(connectivity) for connectivity, _ in before), sum(len(kernel) for kernel in kernels)
        if policy.keeps_total and had != has:
            raise AssertionError(f"The total is not kept, update {number}: {had} connections before, {has} after.")
    _answer("The end of training", rewire.finish)
    for kernel in kernels:
        assert len(np.unique(kernel.connectivity.keys)) == len(kernel) <= kernel.capacity, "finish broke the topology"
    return [(layer.name, (k.connectivity.keys, k.host_values())) for layer, k in zip(layers, kernels, strict=True)]


def _update(rewire: Rewire, kernels: list[SparseKernel], rng: np.random.Generator, number: int) -> list[dict[str, Any]]:
    """Let the policy update, as it would in training, and look at the memory it takes."""
    policy = rewire.policy
    gradients = [[rng.normal(size=(_BATCH, units)).astype("float32") for units in kernel.shape] for kernel in kernels]
    for kernel, (x, dy) in zip(kernels, gradients, strict=True):
        rewire.show_gradient(kernel, x, dy)
    if policy.watches:
        _answer(f"Step {number}", rewire.observe)
    tracemalloc.start()
    try:
        entries = _answer(f"Update {number}", rewire.update, progress=number / len(_STEPS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if policy.memory != "dense" and peak > _MOST_BYTES:
        raise AssertionError(
            f"Update {number} took {peak / 2**20:.0f} MB at once, for a kernel of {_LARGE[0]} x {_LARGE[1]} with 2,000 "
            'connections: memory for every position. If it must, say `memory = "dense"`.'
        )
    return entries


def _answer(when: str, function: Callable[..., Any], **arguments: float) -> Any:
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
