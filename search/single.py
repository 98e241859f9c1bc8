"""Training one sparse network, without a search."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

import keras_sparse as ks
from keras_sparse.files import atomic
from keras_sparse.rewiring.named import WITHOUT_ZETA, named, rhythm
from keras_sparse.topology.densities import DensityRule, connection_count

from . import data as data_module
from . import directory as names
from . import feeding
from .best_epoch import BestEpoch
from .data import Dataset, Preprocessing, export_with_signatures
from .directory import claim
from .errors import OutputDirectoryError
from .networks import Junction, build_mlp, compiled, steps_per_execution
from .objective import Objective, reference_size
from .records import write_json

_EVALUATION_BATCH = 1024


def train_network(
    data: Dataset,
    *,
    layers: Sequence[int],
    density: float | DensityRule,
    output: str | os.PathLike[str],
    policy: str = "set",
    zeta: float = 0.3,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 0.003,
    seed: int = 0,
    overwrite: bool = False,
    on_epoch: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Trains one sparse network and writes it, as it was at its best epoch, into a directory.

    The directory then holds `best.keras` and `saved_model/` (on raw inputs) and `results.json`.

    Args:
        data: What `keras_sparse.search.data.load` returns. The test part is only reported.
        layers: Widths of the hidden layers.
        density: Of every junction, or a rule such as `ks.ErdosRenyi(20)`.
        output: The directory.
        policy: Name of the rewiring policy, see `keras_sparse.rewiring.named.NAMES`.
        zeta: Fraction of its connections the policy replaces per epoch (at a step of "continuous-set").
        epochs: Epochs to train.
        batch_size: In examples.
        learning_rate: Adam's.
        seed: Of connections, initial values and rewiring.
        overwrite: Replace an earlier result in the directory.
        on_epoch: Called with a line of text after every epoch.

    Returns:
        What is said of the winner of a search: "metric", "val_metric", "test_metric", "density", "connections", ….

    Raises:
        OutputDirectoryError: `output` cannot be used as asked.
        TrialDivergedError: A loss became NaN or infinite.
        ValueError: An argument is out of range.
    """
    rewiring = named(policy, zeta)
    if not overwrite and Path(output).is_dir() and any(Path(output).iterdir()):
        raise OutputDirectoryError(f"{output} is not empty. Overwrite it, or choose another directory.")
    with claim(output, resume=False, overwrite=overwrite) as directory:
        preprocessing = data_module.fit(data)
        keras.utils.set_random_seed(seed % 2**32)
        every = rhythm(rewiring)
        one_by_one = rewiring.single_steps or every == 1
        junctions = _junctions(preprocessing.n_features, layers, preprocessing.n_outputs, density)
        model: Any = compiled(
            build_mlp(junctions, n_in=preprocessing.n_features, task=data.task),
            task=data.task,
            learning_rate=learning_rate,
            steps_per_execution=1 if one_by_one else steps_per_execution(len(data.y_train), batch_size),
        )
        best = _best_epoch(data, preprocessing, layers, epochs, on_epoch)
        callbacks = [best] if policy == "static" else [ks.Rewire(rewiring, every=every), best]
        train, validation = (
            (preprocessing.features(x), preprocessing.target(y))
            for x, y in ((data.x_train, data.y_train), (data.x_val, data.y_val))
        )
        feeding.fit(
            model,
            *train,
            validation_data=validation,
            validation_batch_size=_EVALUATION_BATCH,
            epochs=epochs,
            batch_size=batch_size,
            callbacks=callbacks,
            verbose=0,
        )
        score = best.restore()
        size = ks.inspect(model)
        served: Any = preprocessing.attach(model)
        logs = served.evaluate(data.x_test, data.y_test, batch_size=_EVALUATION_BATCH, verbose=0, return_dict=True)
        metric = best.objective.metric
        result = {
            "status": "completed",
            "objective": score.objective,
            "complexity": score.f_c,
            "metric": metric,
            "val_metric": best.metric,
            "val_accuracy": best.metric if metric == "accuracy" else None,
            "test_metric": float(logs[metric]),
            "density": size.density,
            "connections": size.connections,
            "parameters": size.parameters,
            "hyperparameters": _settings(junctions, policy, zeta, learning_rate, batch_size, best.epoch),
            "classes": None if data.classes is None else list(data.classes),
            "model": str(directory / names.BEST),
            "saved_model": str(directory / names.SAVED_MODEL),
        }
        if data.columns:
            result["columns"] = dict(data.columns)
        with atomic(directory / names.BEST) as temporary:
            served.save(temporary)
        export_with_signatures(served, directory / names.SAVED_MODEL, overwrite=True)
        write_json(directory / names.RESULTS, result)
        return result


def _junctions(n_in: int, layers: Sequence[int], n_out: int, density: float | DensityRule) -> list[Junction]:
    found = []
    for place, units in enumerate([*layers, n_out], start=1):
        name = "output" if place > len(layers) else f"hidden_{place}"
        found.append(Junction(name, units, connection_count(density, (n_in, units)) / (n_in * units)))
        n_in = units
    return found


def _best_epoch(
    data: Dataset,
    preprocessing: Preprocessing,
    layers: Sequence[int],
    epochs: int,
    on_epoch: Callable[[str], object] | None,
) -> BestEpoch:
    """Return the callback that keeps the best epoch, by the validation metric alone."""
    regression = data.task == "regression"
    unit = preprocessing.y_std**2 if regression else 1.0
    objective = Objective(
        task=data.task,
        weight=0.0,
        reference=reference_size(preprocessing.n_features, layers, preprocessing.n_outputs),
        n_validation=len(data.y_val),
        target_variance=unit if regression else None,
    )

    def tell(epoch: int) -> None:
        if on_epoch is not None:
            figures = "  ".join(
                f"{name} {values[-1]:.4g}" for name, values in best.curve.items() if values[-1] is not None
            )
            on_epoch(f"epoch {epoch}/{epochs}  {figures}")

    best = BestEpoch(objective, unit=unit, on_epoch=tell)
    return best


def _settings(
    junctions: Sequence[Junction], policy: str, zeta: float, learning_rate: float, batch_size: int, epoch: int
) -> dict[str, Any]:
    """Return the network and its training under the names that a search uses."""
    *hidden, last = junctions
    settings: dict[str, Any] = {"hidden_layers": len(hidden)}
    for place, junction in enumerate(hidden, start=1):
        settings |= {f"units_{place}": junction.units, f"density_{place}": junction.density}
    settings |= {"density_output": last.density, "policy": policy, "learning_rate": learning_rate}
    settings |= {"batch_size": batch_size, "best_epoch": epoch}
    return settings | ({} if policy in WITHOUT_ZETA else {"zeta": zeta})
