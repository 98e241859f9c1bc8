"""The data of the experiments, as float32 arrays; nothing is downloaded that TFDS does not have."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Data(NamedTuple):
    """Inputs [n, features], float32, and class indices [n], int64."""

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1


@lru_cache(maxsize=2)
def images(name: str, data_dir: Path | None) -> Data:
    """Return a TFDS data set of pictures, flattened, in [0, 1]; its whole training and test parts."""
    x_train, y_train, x_test, y_test = _load(name, data_dir)
    return Data(_flat(x_train) / 255, y_train, _flat(x_test) / 255, y_test)


@lru_cache(maxsize=1)
def pictures(name: str, data_dir: Path | None) -> Data:
    """Return a data set of pictures [n, height, width, channels], in [0, 1]; its whole training and test parts.

    It is NAME.npz in `data_dir` (x_train, y_train, x_test and y_test, 0 to 255) if that is there, else one of TFDS.
    """
    path = None if data_dir is None else data_dir / f"{name}.npz"
    x_train, y_train, x_test, y_test = _load(name if path is None or not path.is_file() else str(path), data_dir)
    if x_train.ndim != 4:
        raise ValueError(f"{name} must hold pictures [n, height, width, channels]; its shape is {x_train.shape}.")
    return Data(_unit(x_train), y_train, _unit(x_test), y_test)


def archive(name: str, data_dir: Path | None) -> dict[str, NDArray[Any]]:
    """Return the arrays of NAME.npz in `data_dir`.

    Raises:
        ValueError: when the file is not there.
    """
    path = None if data_dir is None else data_dir / f"{name}.npz"
    if path is None or not path.is_file():
        raise ValueError(f"{name}.npz is not in {data_dir}: name the folder that holds it with --data-dir.")
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def counts(name: str, data_dir: Path | None) -> Data:
    """Return an archive of word counts c with its own test part, as log(1 + c)."""
    file = archive(name, data_dir)
    x_train, x_test = (np.log1p(file[key].astype("float32")) for key in ("x_train", "x_test"))
    return Data(x_train, file["y_train"].astype(np.int64), x_test, file["y_test"].astype(np.int64))


def folds(name: str, data_dir: Path | None, *, number: int, seed: int) -> list[Data]:
    """Return the folds of a stratified cross-validation; features are standardised on each training part."""
    from sklearn.model_selection import StratifiedKFold

    file = archive(name, data_dir)
    x, (_, y) = file["x"].astype("float32"), np.unique(file["y"], return_inverse=True)
    result = []
    for train, test in StratifiedKFold(number, shuffle=True, random_state=seed).split(x, y):
        mean, deviation = x[train].mean(0), x[train].std(0)
        scaled = (x - mean) / np.where(deviation > 0, deviation, 1)
        result.append(Data(scaled[train], y[train], scaled[test], y[test]))
    return result


def halves(x: NDArray[Any], share: float, *, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a random `share` of the rows of `x`, and the others, as float32."""
    order = np.random.default_rng(seed).permutation(len(x))
    first = int(len(x) * share)
    return x[order[:first]].astype("float32"), x[order[first:]].astype("float32")


def binary(name: str, data_dir: Path | None, *, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return binary (x_train, x_test), float32, of an archive, or of MNIST with pixels drawn by their intensities."""
    if name == "mnist":
        pictures, rng = images(name, data_dir), np.random.default_rng(seed)
        x_train, x_test = (
            (rng.random(x.shape, np.float32) < x).astype("float32") for x in (pictures.x_train, pictures.x_test)
        )
        return x_train, x_test
    file = archive(name, data_dir)
    if "x_train" in file:
        return file["x_train"].astype("float32"), file["x_test"].astype("float32")
    order = np.random.default_rng(0).permutation(len(file["x"]))  # CalTech: the usual sizes, and one split for all
    return file["x"][order[:4100]].astype("float32"), file["x"][order[-2307:]].astype("float32")


def informative(data: Data, count: int, *, levels: int = 8) -> Data:
    """Return `data` with its `count` features of most mutual information with the class, in their order.

    The information is that of the training part, of values rounded down to so many equal levels of [0, 1].
    """
    from sklearn.metrics import mutual_info_score

    level = np.minimum((data.x_train * levels).astype(np.int64), levels - 1)
    information = np.array([mutual_info_score(data.y_train, feature) for feature in level.T])
    kept = np.sort(np.argsort(-information, kind="stable")[:count])
    return data._replace(x_train=data.x_train[:, kept], x_test=data.x_test[:, kept])


def tfds_folder(data_dir: Path | None) -> Path | None:
    """Return the folder of TFDS data sets: `data_dir`, or tfds in it."""
    inside = None if data_dir is None else data_dir / "tfds"
    return inside if inside is not None and inside.is_dir() else data_dir


def _load(data: str, data_dir: Path | None) -> Data:
    """Return a data set as it is stored."""
    from keras_sparse.search.data.load import load

    where = tfds_folder(data_dir)
    # The loader always holds a validation part out; here it belongs to the training part.
    found = load(data, data_dir=None if where is None else str(where), validation_fraction=0.1)
    x_train = np.concatenate([_array(found.x_train), _array(found.x_val)])
    return Data(x_train, np.concatenate([found.y_train, found.y_val]), _array(found.x_test), found.y_test)


def _unit(x: NDArray[Any]) -> NDArray[Any]:
    return x.astype("float32") / np.float32(255)


def _array(x: Any) -> NDArray[Any]:
    assert isinstance(x, np.ndarray)
    return x


def _flat(x: NDArray[Any]) -> NDArray[Any]:
    return x.reshape(len(x), -1).astype("float32")
