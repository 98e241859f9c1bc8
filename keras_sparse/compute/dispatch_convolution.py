"""Which compute path a convolution takes: a pure function, as `dispatch` is for matrix products."""

from __future__ import annotations

from .dispatch import Choice, check_dense, check_requested, dense_allowed, native_obstacle
from .exporting import itemsize
from .geometry import Geometry

# Measured on CPUs (benchmarks/RESULTS.md): from this density on TensorFlow's convolution with the whole kernel beats
# the native one.
BUILD_DENSITY = 0.6
# Images that the native kernels work on together: with fewer they take as long.
LANES = {"avx512": 16, "avx2": 8}
_OTHER_LANES = 4


def choose(
    requested: str,
    *,
    backend: str,
    device: str,
    geometry: Geometry,
    connections: int,
    dtype: str = "float32",
    native: str | None = None,
    portable: bool = False,
    batch: int | None = None,
) -> Choice:
    """Return the path of a convolution.

    Args:
        requested: the layer's `compute` argument, "auto" or the name of a path. "native" gives way, like "auto", where
            the native kernels cannot run.
        backend: the Keras backend, "tensorflow", "jax" or "torch".
        device: "cpu" or "gpu".
        geometry: the shape of the convolution.
        connections: number of connections.
        dtype: of the images.
        native: instruction set of the native kernels; None where they are not installed.
        portable: whether the graph must run where Keras Sparse is not installed.
        batch: number of images; None if it is unknown, and then taken for large.

    Raises:
        ValueError: when the requested path cannot run here.
    """
    check_requested(requested)
    if requested == "dense":
        check_dense(geometry.shape, connections, dtype)
    if backend != "tensorflow" and requested == "stock":
        raise ValueError(
            f'A convolution with compute="stock" needs the TensorFlow backend, not {backend}; use compute="auto", '
            '"dense" or "generic".'
        )
    density = connections / (geometry.shape[0] * geometry.shape[1])
    if backend == "tensorflow":
        obstacle = native_obstacle(device, dtype, native, portable)
    else:
        obstacle = f"the {backend} backend has no kernels for sparse convolutions"
    matrix = "generic_dense" if backend != "tensorflow" else "native.dense" if obstacle is None else ""
    if requested == "dense":
        return Choice("dense", "asked for", matrix)
    if requested in ("stock", "generic"):
        return Choice(requested, "asked for")
    allowed = dense_allowed(geometry.shape, connections, itemsize(dtype))
    if obstacle is None:
        if requested == "native":
            return Choice("native", f"asked for, {native}")
        limit = BUILD_DENSITY * _filled(batch, LANES.get(native or "", _OTHER_LANES))
        if density >= limit and allowed:
            few = "" if limit == BUILD_DENSITY else f" at a batch of {batch}"
            return Choice("dense", f"density {density:.3g} is not below {limit:.3g}{few}", matrix)
        return Choice("native", f"own kernels, {native}")
    if allowed:
        return Choice("dense", f"the backend's convolution with the whole kernel ({obstacle})", matrix)
    path = "stock" if backend == "tensorflow" else "generic"
    return Choice(path, f"the whole kernel would be too large ({obstacle})")


def _filled(batch: int | None, lanes: int) -> float:
    """Return the share of the vectors that a batch fills."""
    return batch / (-(-batch // lanes) * lanes) if batch else 1.0
