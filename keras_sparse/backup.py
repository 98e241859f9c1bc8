"""`Backup`: one atomic file per epoch, from which a killed run goes on as if nothing had happened."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from . import shuffling
from .callback_list import running
from .compute.exporting import read
from .files import atomic
from .junctions import junctions, layers
from .rewiring.rewire import Rewire

_log = logging.getLogger("keras_sparse")
_FORMAT = 1


class Backup(keras.callbacks.Callback):
    """Saves the whole state of training at the end of every epoch, and goes on from it after a crash.

    A file holds every variable of the model (weights, topologies, the seed generators of dropout), of the optimizer
    (slots, iterations, learning rate), the histories of `Rewire`, the epoch, and the global random numbers that `fit`
    shuffles arrays by. It is written under a temporary name and renamed, so a run killed at any moment and started
    again with the same command ends bit-identical to one that was never interrupted. Keras' `BackupAndRestore` writes
    weights and epoch in two places and leaves the seed generators out.

    What lies outside the model must be a function of the epoch too: `fit` with arrays and
    `keras.utils.set_random_seed` is, since Keras then gives all epochs one order; a `tf.data` pipeline that reshuffles
    in every iteration is not.

    Args:
        directory: folder for the file `epoch-NNNNNN.npz`; made if need be.
        include: other callbacks whose numbers belong to the run, such as EarlyStopping or ReduceLROnPlateau: their
            plain attributes (numbers, texts, arrays, lists of arrays) are kept as well.
        delete_at_end: whether the file goes when training ends normally, as with Keras' BackupAndRestore. Default True.

    Raises:
        ValueError: at the begin of training, when the model is not built, when a `Rewire` or an included callback is
            listed after it, and when the file belongs to another model or is damaged.

    Example:
        >>> import keras_sparse as ks
        >>> callbacks = [ks.Rewire(ks.SET()), ks.Backup("backup")]  # Backup last
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        include: Sequence[keras.callbacks.Callback] = (),
        delete_at_end: bool = True,
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        self.include = list(include)
        self.delete_at_end = delete_at_end
        self._rewires: list[Rewire] = []
        self._resumed: dict[str, Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the latest epoch, if there is one."""
        model: Any = self.model
        if not all(layer.built for layer in layers(model)):
            raise ValueError(
                "Backup needs a built model, to know its variables: begin it with keras.Input, or call it before fit."
            )
        self._find_others()
        for half in self.directory.glob(".epoch-*.tmp.npz"):  # of a run killed while it wrote
            half.unlink(missing_ok=True)
        files = self._files()
        if not files:
            return
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        epoch = self._restore(files[-1], model, optimizer)
        model._initial_epoch = epoch
        if self._resumed is not None and self._resumed["stopped"]:  # killed between the last epoch and the end
            model._initial_epoch = max(epoch, int((self.params or {}).get("epochs") or epoch))
        _log.info("Resuming after epoch %d from %s.", epoch, files[-1])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Forget the epoch to start from, or the next `fit` would start there as well."""
        self._forget()

    def _find_others(self) -> None:
        """Note the callbacks of this `fit` whose state belongs to a backup; all must have had their turn before it."""
        callbacks = running(self)
        self._rewires = [callback for callback in callbacks if isinstance(callback, Rewire)]
        later = callbacks[callbacks.index(self) + 1 :] if callbacks else []
        wrong = [type(c).__name__ for c in later if isinstance(c, Rewire) or any(c is other for other in self.include)]
        if wrong:
            raise ValueError(f"List Backup after {' and '.join(wrong)}: it saves what they did in the epoch.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write this epoch's file, then remove the ones before."""
        arrays, meta = self._state(self.model)
        meta["epoch"] = epoch + 1
        path = self.directory / f"epoch-{epoch + 1:06d}.npz"
        with atomic(path) as temporary:
            np.savez(temporary, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)
        for old in self._files():
            if old != path:
                old.unlink(missing_ok=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Remove the file: the run is complete."""
        self._forget()
        if self.delete_at_end:
            for file in self._files():
                file.unlink(missing_ok=True)

    def _forget(self) -> None:
        model: Any = self.model
        model._initial_epoch = None

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("epoch-[0-9]*.npz"))

    def _variables(self, model: Any) -> list[keras.Variable]:
        optimizer = getattr(model, "optimizer", None)
        return [*model.variables, *(optimizer.variables if optimizer is not None else [])]

    def _state(self, model: Any) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return (arrays by name, JSON data) of everything that is kept."""
        variables = self._variables(model)
        arrays = {f"variable_{i}": _plain(read(variable)) for i, variable in enumerate(variables)}
        states = [rewire.get_state() for rewire in self._rewires]
        for i, state in enumerate(states):
            arrays |= {f"rewire_{i}_{name}": array for name, array in state["arrays"].items()}
        included = [_callback_state(callback, f"callback_{i}", arrays) for i, callback in enumerate(self.include)]
        arrays |= shuffling.state()
        return arrays, {
            "format": _FORMAT,
            "variables": [_describe(variable) for variable in variables],
            "slots": [junction.kernel.slots_mark.fingerprint for junction in junctions(model)],
            "history": [state["history"] for state in states],
            "callbacks": included,
            "stopped": bool(model.stop_training),
        }

    def _restore(self, path: Path, model: Any, optimizer: Any) -> int:
        """Read `path` whole, check it against the model, then assign; return the epoch to go on with."""
        try:
            with np.load(path, allow_pickle=False) as file:
                if any(member.compress_size != member.file_size for member in file.zip.infolist()):
                    raise ValueError("it is compressed, and backups are not")
                meta = json.loads(str(file["meta"]))
                arrays = {name: file[name] for name in file.files if name != "meta"}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("a part of it is no array")
        except Exception as error:  # zip, JSON and NumPy raise many kinds for a damaged file
            raise ValueError(f"{path} cannot be read ({error}). Remove it to train from the beginning.") from error
        variables, found = self._variables(model), junctions(model)
        ours = [_describe(variable) for variable in variables]
        _check_kinds(meta, path)
        if meta.get("format") != _FORMAT or meta["variables"] != ours:
            different = next((pair for pair in zip(meta["variables"], ours, strict=False) if pair[0] != pair[1]), None)
            detail = (
                f"first difference: {different[0]} there, {different[1]} here"
                if different
                else "another number of them"
            )
            raise ValueError(
                f"{path} is a backup of another model: its variables differ ({detail}). Use another directory, or "
                "remove it to train from the beginning."
            )
        for i, variable in enumerate(variables):
            stored = arrays.get(f"variable_{i}")
            if stored is None or list(stored.shape) != ours[i][0] or stored.dtype != _plain(read(variable)).dtype:
                raise _damaged(path, f"no values for {variable.path}")
        if len(meta["slots"]) != len(found):
            raise _damaged(path, "another number of sparse kernels")
        for i, variable in enumerate(variables):
            variable.assign(_typed(arrays[f"variable_{i}"], variable))
        for junction, fingerprint in zip(found, meta["slots"], strict=True):
            assert junction.kernel.connectivity is not None  # raises ValueError for what is no topology
            junction.kernel.slots_mark.restore(fingerprint)
        try:
            self._restore_callbacks(meta, arrays)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"the state of a callback: {error}") from error
        try:
            shuffling.restore(arrays)
        except (KeyError, ValueError) as error:
            raise _damaged(path, f"how arrays are shuffled: {error}") from error
        self._resumed = meta
        return meta["epoch"]

    def _restore_callbacks(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        for i, (rewire, history) in enumerate(zip(self._rewires, meta["history"], strict=False)):
            prefix = f"rewire_{i}_"
            seen = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            rewire.set_state({"history": history, "arrays": seen})
        for i, (callback, state) in enumerate(zip(self.include, meta["callbacks"], strict=False)):
            _restore_callback(callback, state, f"callback_{i}", arrays)


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is damaged ({what}). Remove it to train from the beginning.")


def _check_kinds(meta: Any, path: Path) -> None:
    """Raise ValueError unless the JSON data of a backup is of the kinds that `_state` writes."""
    lists = ("variables", "slots", "history", "callbacks")
    if not isinstance(meta, dict) or not all(isinstance(meta.get(name), list) for name in lists):
        raise _damaged(path, "it does not say what it holds")
    epoch = meta.get("epoch")
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0 or not isinstance(meta.get("stopped"), bool):
        raise _damaged(path, "it does not say after which epoch it was written")
    if not all(isinstance(entry, int) for entry in meta["slots"]):
        raise _damaged(path, "what belongs to the optimizer's slots")


def _describe(variable: keras.Variable) -> list[Any]:
    return [list(map(int, variable.shape)), str(variable.dtype)]


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` in a dtype that NumPy's own files know (bfloat16 is not one of them)."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _typed(array: NDArray[Any], variable: keras.Variable) -> NDArray[Any]:
    dtype = read(variable).dtype
    return array if dtype.isbuiltin == 1 else array.view(dtype)


def _callback_state(callback: Any, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the plain attributes of `callback`; arrays go to `arrays` and leave how many there are.

    Attributes named like an argument of its constructor are settings, not state (Keras flips the sign of `min_delta`
    in every first epoch, for one).
    """
    settings = {name for part in type(callback).__mro__ for name in signature(part.__init__).parameters}
    state: dict[str, Any] = {}
    for name, value in vars(callback).items():
        if name in settings or name in ("params", "_model"):
            continue
        if value is None or isinstance(value, bool | int | float | str):
            state[name] = value
        elif isinstance(value, np.generic):
            state[name] = value.item()
        elif isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
            arrays |= {f"{prefix}_{name}_{i}": item for i, item in enumerate(value)}
            state[name] = {"arrays": len(value)}
    return state


def _restore_callback(callback: Any, state: dict[str, Any], prefix: str, arrays: dict[str, NDArray[Any]]) -> None:
    for name, value in state.items():
        if callable(getattr(type(callback), name, None)):  # state is data, and never takes a method's place
            raise ValueError(f"{name!r} is no state of a {type(callback).__name__}")
        if isinstance(value, dict):
            value = [arrays[f"{prefix}_{name}_{i}"] for i in range(value["arrays"])]
        setattr(callback, name, value)
