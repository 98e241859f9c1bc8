"""Which compute path a kernel takes: a pure function, so that `ks.inspect` can say what will run and why."""

from __future__ import annotations

from dataclasses import dataclass

DENSE_BYTES = 64 * 2**20  # invariant: no dense matrix above this, unless the kernel is at least half full
PATHS = ("auto", "stock", "dense", "generic")

# Measured on CPUs (benchmarks/RESULTS.md): below this density tf.sparse beats building the matrix, by positions.
_STOCK_BELOW = ((2**16, 0.0), (2**20, 0.015), (2**63, 0.04))


@dataclass(frozen=True)
class Choice:
    """A compute path and the reason for it."""

    path: str
    reason: str


def dense_allowed(shape: tuple[int, int], connections: int, itemsize: int = 4) -> bool:
    """Return whether the `dense` path may build a matrix of `shape` for `connections` connections."""
    positions = shape[0] * shape[1]
    return positions * itemsize <= DENSE_BYTES or 2 * connections >= positions


def check_requested(requested: str) -> str:
    """Return `requested` if it names a path of this version, else raise ValueError."""
    if requested == "native":
        raise ValueError('compute="native" is not part of this version; use compute="auto".')
    if requested not in PATHS:
        raise ValueError(f"`compute` must be one of {', '.join(map(repr, PATHS))}; got {requested!r}.")
    return requested


def choose(
    requested: str, *, backend: str, device: str, shape: tuple[int, int], connections: int, itemsize: int = 4
) -> Choice:
    """Return the path of a kernel.

    Args:
        requested: the layer's `compute` argument, "auto" or the name of a path.
        backend: the Keras backend, "tensorflow", "jax" or "torch".
        device: "cpu" or "gpu".
        shape: (n_in, n_out).
        connections: number of connections.
        itemsize: bytes of a weight in the product.

    Raises:
        ValueError: when the requested path cannot run here.
    """
    check_requested(requested)
    n_in, n_out = shape
    density = connections / (n_in * n_out)
    if backend != "tensorflow":
        if requested in ("stock", "dense"):
            raise ValueError(
                f'compute="{requested}" needs the TensorFlow backend, not {backend}; use compute="auto" or "generic".'
            )
        return Choice("generic", f"the {backend} backend has the generic path only")
    if requested == "dense" and not dense_allowed(shape, connections, itemsize):
        raise ValueError(
            f'compute="dense" would build a {n_in} x {n_out} matrix of {n_in * n_out * itemsize / 2**20:,.0f} MiB for '
            f"a kernel of density {density:.3g}; it is allowed up to {DENSE_BYTES // 2**20} MiB or from density 0.5. "
            'Use compute="auto" or "stock".'
        )
    if requested != "auto":
        return Choice(requested, "asked for")
    if not dense_allowed(shape, connections, itemsize):
        return Choice("stock", f"a dense matrix would exceed {DENSE_BYTES // 2**20} MiB")
    if device == "gpu":
        # Not measured on a GPU yet: the path that needs the least memory.
        return Choice("stock", "tf.sparse on GPUs")
    limit = next(below for positions, below in _STOCK_BELOW if n_in * n_out <= positions)
    if density < limit:
        return Choice("stock", f"density {density:.3g} is below {limit:g}, where tf.sparse wins on CPUs")
    return Choice("dense", f"density {density:.3g} is too high for tf.sparse on CPUs, and the matrix is small")
