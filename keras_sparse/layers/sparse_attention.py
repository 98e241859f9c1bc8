"""Attention layers whose projections are sparse."""

from __future__ import annotations

from typing import Any

import keras

from ..topology.densities import DensityRule, check_density
from .sparse_dense import DENSE_ONLY
from .sparse_einsum_dense import SparseEinsumDense


class _SparseProjections(keras.layers.Layer):
    """Makes the projections of a Keras attention layer sparse, as the layer makes them.

    Keras' attention layers create `EinsumDense` layers when they are built; each is exchanged before it has weights.
    """

    def __init__(
        self,
        *args: Any,
        density: float | DensityRule = 0.1,
        compute: str = "auto",
        kernel_seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.density = check_density(density)
        self.compute = compute
        self.kernel_seed = kernel_seed

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, keras.layers.EinsumDense) and not value.built:
            value = self._sparse(value)
        super().__setattr__(name, value)

    def _sparse(self, dense: keras.layers.EinsumDense) -> SparseEinsumDense:
        seed = self.kernel_seed
        if seed is not None:  # another one for each projection
            seed += sum(isinstance(layer, SparseEinsumDense) for layer in self._layers)
        own = {key: value for key, value in dense.get_config().items() if key not in DENSE_ONLY}
        return SparseEinsumDense.from_config({**own, "density": self.density, "compute": self.compute, "seed": seed})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        saved = keras.saving.serialize_keras_object
        density = saved(self.density) if isinstance(self.density, DensityRule) else self.density
        more = {"density": density, "compute": self.compute, "kernel_seed": self.kernel_seed}
        return {**super().get_config(), **more}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return the layer that `get_config` described."""
        config = dict(config)
        if isinstance(config.get("density"), dict):
            config["density"] = keras.saving.deserialize_keras_object(config["density"])
        return super().from_config(config)


@keras.saving.register_keras_serializable("keras_sparse")
class SparseMultiHeadAttention(_SparseProjections, keras.layers.MultiHeadAttention):
    """keras.layers.MultiHeadAttention whose query, key, value and output projections are sparse.

    Args:
        *args: `num_heads` and `key_dim`, as in keras.layers.MultiHeadAttention.
        density: of each projection, see `ks.SparseDense`. Default 0.1.
        compute: see `ks.SparseDense`.
        kernel_seed: of connections and initial values; each projection has its own, counted from this one. Default
            drawn from Keras' global seed. (`seed` is that of the dropout.)
        **kwargs: everything else that keras.layers.MultiHeadAttention takes.

    Raises:
        ValueError: where `ks.SparseDense` does.

    Example:
        >>> import keras, keras_sparse as ks
        >>> layer = ks.SparseMultiHeadAttention(4, 16, density=0.2)
        >>> x = keras.ops.ones((2, 5, 64))
        >>> layer(x, x).shape, layer.query_dense.kernel.shape
        (TensorShape([2, 5, 64]), (64, 64))
    """


@keras.saving.register_keras_serializable("keras_sparse")
class SparseGroupQueryAttention(_SparseProjections, keras.layers.GroupQueryAttention):
    """keras.layers.GroupQueryAttention whose projections are sparse; arguments as in `SparseMultiHeadAttention`.

    Args:
        *args: `head_dim`, `num_query_heads` and `num_key_value_heads`.
        density: of each projection. Default 0.1.
        compute: see `ks.SparseDense`.
        kernel_seed: see `SparseMultiHeadAttention`.
        **kwargs: everything else that keras.layers.GroupQueryAttention takes.
    """
