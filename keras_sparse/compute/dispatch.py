"""Which compute path a kernel takes: a pure function, so that `ks.inspect` can say what will run and why."""

from __future__ import annotations

from dataclasses import dataclass

from .exporting import itemsize

DENSE_BYTES = 64 * 2**20  # invariant: no dense matrix above this, unless the kernel is at least half full
PATHS = ("auto", "native", "stock", "dense", "generic")
NATIVE_DTYPES = ("float32", "bfloat16", "float16")

# Measured on CPUs (benchmarks/RESULTS.md): from this density on, and for this many samples, building the matrix and
# multiplying with it beats the native kernels.
BUILD_DENSITY, BUILD_BATCH = 0.7, 96
# Measured on CPUs (benchmarks/RESULTS.md): below this density tf.sparse beats building the matrix, by positions.
_STOCK_BELOW = ((2**16, 0.0), (2**20, 0.015), (2**63, 0.04))
# Likewise on other backends (benchmarks/backends.py): torch.sparse on PyTorch, keras.ops on JAX.
_ELSEWHERE_BELOW = {"stock": 0.1, "generic": 0.025}


@dataclass(frozen=True)
class Choice:
    """A compute path and the reason for it.

    Attributes:
        path: its name.
        reason: why this one.
        module: the module of `keras_sparse.compute` that does it, if it is not called as the path is.
    """

    path: str
    reason: str
    module: str = ""


def dense_allowed(shape: tuple[int, int], connections: int, itemsize: int = 4) -> bool:
    """Return whether the `dense` path may build a matrix of `shape` for `connections` connections."""
    positions = shape[0] * shape[1]
    return positions * itemsize <= DENSE_BYTES or 2 * connections >= positions


def check_requested(requested: str) -> str:
    """Return `requested` if it names a path, else raise ValueError."""
    if requested not in PATHS:
        raise ValueError(f"`compute` must be one of {', '.join(map(repr, PATHS))}; got {requested!r}.")
    return requested


def choose(
    requested: str,
    *,
    backend: str,
    device: str,
    shape: tuple[int, int],
    connections: int,
    capacity: int | None = None,
    dtype: str = "float32",
    native: str | None = None,
    portable: bool = False,
) -> Choice:
    """Return the path of a kernel.

    Args:
        requested: the layer's `compute` argument, "auto" or the name of a path. "native" gives way, like "auto", where
            the native kernels cannot run, so that a model trains on any machine and backend.
        backend: the Keras backend, "tensorflow", "jax" or "torch".
        device: "cpu", "gpu" or another accelerator.
        shape: (n_in, n_out).
        connections: number of connections.
        capacity: number of connections there is room for; default `connections`.
        dtype: of the activations.
        native: instruction set of the native kernels; None where they are not installed.
        portable: whether the graph must run where Keras Sparse is not installed.

    Raises:
        ValueError: when the requested path cannot run here.
    """
    check_requested(requested)
    n_in, n_out = shape
    room = connections if capacity is None else capacity
    if requested == "dense":
        check_dense(shape, connections, dtype)
    if backend != "tensorflow":
        return _elsewhere(requested, backend, device, shape, connections, dtype)
    obstacle = native_obstacle(device, dtype, native, portable)
    if requested == "dense" and obstacle is None:
        return Choice("dense", "asked for", "native.dense")
    if requested not in ("auto", "native"):
        return Choice(requested, "asked for")
    if obstacle is None:
        if requested == "native":
            return Choice("native", f"asked for, {native}")
        if room >= BUILD_DENSITY * n_in * n_out:
            return Choice(
                "native",
                f"own kernels, {native}; a matrix from {BUILD_BATCH} samples and density {BUILD_DENSITY:g} on",
                "native.adaptive",
            )
        return Choice("native", f"own kernels, {native}")
    choice = _without_native(device, shape, connections, dtype)
    return Choice(choice.path, f"{choice.reason} ({obstacle})")


def repeated(choice: Choice, shape: tuple[int, int], connections: int, dtype: str = "float32") -> Choice:
    """Return how `choice` is carried out where one kernel is multiplied many times in a loop, as in a recurrent layer.

    What decides at every product whether to build the matrix would build, and keep, one for every step.
    """
    if choice.module != "native.adaptive":
        return choice
    module = "native.dense" if dense_allowed(shape, connections, itemsize(dtype)) else ""
    return Choice(choice.path if not module else "dense", choice.reason, module)


def check_dense(shape: tuple[int, int], connections: int, dtype: str) -> None:
    """Raise ValueError if the `dense` path would build too large a matrix."""
    if dense_allowed(shape, connections, itemsize(dtype)):
        return
    n_in, n_out = shape
    raise ValueError(
        f'compute="dense" would build a {n_in} x {n_out} matrix of {n_in * n_out * itemsize(dtype) / 2**20:,.0f} MiB '
        f"for a kernel of density {connections / (n_in * n_out):.3g}; allowed are {DENSE_BYTES // 2**20} MiB, or a "
        'density of 0.5. Use compute="auto", "native" or "stock".'
    )


def native_obstacle(device: str, dtype: str, native: str | None, portable: bool) -> str | None:
    """Return why the native kernels cannot be used; None if they can."""
    if portable:
        return "exported models use stock ops"
    if device != "cpu":
        return "the native kernels are for CPUs"
    if dtype not in NATIVE_DTYPES:
        return f"the native kernels do not compute in {dtype}"
    return "the native kernels are not installed" if native is None else None


def _elsewhere(
    requested: str, backend: str, device: str, shape: tuple[int, int], connections: int, dtype: str
) -> Choice:
    """Return the path on another backend than TensorFlow, which has no native kernels."""
    sparse = Choice("generic", f"keras.ops, for {backend}")
    if backend == "torch" and device in ("cpu", "gpu"):  # others have no torch.sparse
        sparse = Choice("stock", "torch.sparse", "torch_stock")
    if requested == "dense":
        return Choice("dense", "asked for", "generic_dense")
    if requested == "generic":
        return Choice("generic", "asked for")
    if requested == "stock":
        if sparse.path != "stock":
            raise ValueError(
                f'compute="stock" needs the TensorFlow backend, or PyTorch on a CPU or GPU, not {backend} on {device}; '
                'use compute="auto", "dense" or "generic".'
            )
        return Choice("stock", "asked for", sparse.module)
    positions = shape[0] * shape[1]
    if not dense_allowed(shape, connections, itemsize(dtype)) or positions >= 2**31:  # JAX counts with 32 bits
        return Choice(sparse.path, f"{sparse.reason}: a matrix would exceed {DENSE_BYTES // 2**20} MiB", sparse.module)
    if device != "cpu":
        return Choice("dense", f"the matrix is small for {backend} on {device}", "generic_dense")
    density, limit = connections / positions, _ELSEWHERE_BELOW[sparse.path]
    if positions <= _STOCK_BELOW[0][0] or density >= limit:
        return Choice("dense", f"a matrix is faster at {positions:,} positions, density {density:.3g}", "generic_dense")
    return Choice(sparse.path, f"{sparse.reason}: density {density:.3g} is below {limit:g}", sparse.module)


def _without_native(device: str, shape: tuple[int, int], connections: int, dtype: str) -> Choice:
    positions = shape[0] * shape[1]
    if not dense_allowed(shape, connections, itemsize(dtype)):
        return Choice("stock", f"a dense matrix would exceed {DENSE_BYTES // 2**20} MiB")
    if device == "gpu":
        # Not measured on a GPU yet: the path that needs the least memory.
        return Choice("stock", "tf.sparse on GPUs")
    density = connections / positions
    limit = next(below for most, below in _STOCK_BELOW if positions <= most)
    if density < limit:
        return Choice("stock", f"density {density:.3g} is below {limit:g}, where tf.sparse wins on CPUs")
    return Choice("dense", f"density {density:.3g} is too high for tf.sparse on CPUs, and the matrix is small")
