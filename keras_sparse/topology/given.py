"""Connections that are known in advance: a mask, or the entries of a sparse matrix."""

from __future__ import annotations

import base64
import zlib
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .connectivity import Connectivity


class _Given:
    """A pattern that is one connectivity; its config holds it in O(K)."""

    def __init__(self, connectivity: Connectivity) -> None:
        if not len(connectivity):
            raise ValueError(f"{type(self).__name__} needs at least one connection; this one has none.")
        self.connectivity = connectivity

    def count(self, shape: tuple[int, int]) -> int:
        """Return the number of connections, whatever the density.

        Raises:
            ValueError: when `shape` is not the pattern's own.
        """
        if tuple(shape) != self.connectivity.shape:
            theirs = "{} x {}".format(*self.connectivity.shape)
            raise ValueError(
                f"{type(self).__name__} is {theirs}, but the junction is {shape[0]} x {shape[1]} (inputs x outputs). "
                f"{'Transpose it.' if tuple(shape) == self.connectivity.shape[::-1] else 'Give one of that shape.'}"
            )
        return len(self.connectivity)

    def sample(self, shape: tuple[int, int], count: int, *, seed: int) -> Connectivity:
        """Return the connections; nothing is drawn, so the seed does not matter.

        Raises:
            ValueError: when `shape` or `count` is not the pattern's own.
        """
        del seed
        if count != self.count(shape):
            raise ValueError(f"{self!r} cannot have {count} connections.")
        return self.connectivity

    def get_config(self) -> dict[str, Any]:
        """Return shape, count and positions (sorted, as differences, compressed)."""
        steps = np.diff(np.sort(self.connectivity.keys), prepend=0).astype("<i8")
        return {
            "shape": list(self.connectivity.shape),
            "count": len(steps),
            "steps": base64.b64encode(zlib.compress(steps.tobytes())).decode("ascii"),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the pattern that `get_config` described.

        Raises:
            ValueError: when `config` describes no connections.
        """
        n_in, n_out = config["shape"]
        size = 8 * int(config["count"])
        try:
            unpacked = zlib.decompressobj().decompress(base64.b64decode(config["steps"], validate=True), size + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"The config of {cls.__name__} is damaged: {error}.") from None
        if len(unpacked) != size:
            raise ValueError(f"The config of {cls.__name__} is damaged: it does not hold {config['count']} positions.")
        pattern = cls.__new__(cls)
        keys = np.cumsum(np.frombuffer(unpacked, "<i8").astype(np.int64))
        _Given.__init__(pattern, Connectivity.from_keys(keys, shape=(n_in, n_out)))
        return pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Given) and type(other) is type(self) and self.connectivity == other.connectivity

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.connectivity))

    def __repr__(self) -> str:
        n_in, n_out = self.connectivity.shape
        return f"{type(self).__name__}({n_in} x {n_out}, {len(self.connectivity)} connections)"


class FromMask(_Given):
    """Connections where a mask is true; leave the layer's `density` out.

    Only the connections are kept, not the mask.

    Args:
        mask: booleans (or zeros and ones), [n_in, n_out].

    Raises:
        ValueError: for an array of another kind, and for a mask without a connection.

    Example:
        >>> import numpy as np, keras_sparse as ks
        >>> layer = ks.SparseDense(3, pattern=ks.FromMask(np.eye(3, dtype=bool)), use_bias=False)
        >>> layer(np.ones((1, 3))).shape, len(layer.kernel)
        (TensorShape([1, 3]), 3)
    """

    def __init__(self, mask: ArrayLike) -> None:
        array = np.asarray(mask)
        if array.dtype != bool and not (array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all()):
            raise ValueError(
                f"A mask holds booleans, True where a connection exists; got {array.dtype} with other values than "
                "zeros and ones. Compare first, for example `weights != 0`."
            )
        super().__init__(Connectivity.from_mask(array))


class FromSciPy(_Given):
    """Connections where a SciPy sparse matrix has entries other than zero; leave the layer's `density` out.

    For prior knowledge, such as which gene belongs to which pathway. The entries' values are not used.

    Args:
        matrix: any `scipy.sparse` matrix or array, [n_in, n_out]; entries stored twice are summed.

    Raises:
        ValueError: for something else than a sparse matrix of two dimensions, and for one without an entry.

    Example:
        >>> import scipy.sparse, keras_sparse as ks
        >>> genes_in_pathways = scipy.sparse.coo_array(([1, 1, 1], ([0, 1, 2], [0, 0, 1])), shape=(3, 2))
        >>> ks.FromSciPy(genes_in_pathways)
        FromSciPy(3 x 2, 3 connections)
    """

    def __init__(self, matrix: Any) -> None:
        import scipy.sparse  # not needed otherwise, and slow to import

        if not scipy.sparse.issparse(matrix) or len(matrix.shape) != 2:
            raise ValueError(
                f"FromSciPy takes a scipy.sparse matrix [n_in, n_out]; got {type(matrix).__name__}. "
                "For a NumPy array there is ks.FromMask."
            )
        csr = scipy.sparse.csr_array(matrix, copy=True)
        csr.sum_duplicates()
        coo = csr.tocoo()
        there = coo.data != 0
        super().__init__(Connectivity(coo.row[there], coo.col[there], shape=matrix.shape))
