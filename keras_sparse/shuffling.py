"""The global random numbers by which `fit` shuffles arrays: NumPy's on JAX, PyTorch's on PyTorch.

TensorFlow's order is a function of the seed and the epoch; there is nothing to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

_KEYS = 624  # words of the Mersenne Twister, which NumPy's global numbers come from


def state() -> dict[str, NDArray[Any]]:
    """Return where the global random numbers are, as arrays by name."""
    found: dict[str, NDArray[Any]] = {}
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - what Keras shuffles by
    if kind == "MT19937":
        found = {"shuffle_keys": np.asarray(keys), "shuffle_place": np.array(rest, np.float64)}
    if keras.backend.backend() == "torch":
        import torch  # pyright: ignore[reportMissingImports]

        found["shuffle_torch"] = torch.get_rng_state().numpy()
    return found


def restore(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Go on with the random numbers where `state` found them; what is not in `arrays` stays as it is.

    Raises:
        ValueError: when they are no state of the generators.
    """
    if "shuffle_keys" in arrays:
        keys, place = arrays["shuffle_keys"], arrays["shuffle_place"]
        if keys.shape != (_KEYS,) or keys.dtype != np.uint32 or place.shape != (3,) or not 0 <= place[0] <= _KEYS:
            raise ValueError("no state of random numbers")
        np.random.set_state(("MT19937", keys, int(place[0]), int(place[1]), float(place[2])))  # noqa: NPY002
    if "shuffle_torch" in arrays and keras.backend.backend() == "torch":
        import torch  # pyright: ignore[reportMissingImports]

        try:
            torch.set_rng_state(torch.from_numpy(np.array(arrays["shuffle_torch"])))
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"no state of PyTorch's random numbers: {error}") from error
