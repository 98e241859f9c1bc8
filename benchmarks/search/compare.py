"""How much of what could be beaten a search beats, by trial and by minute, beside other searches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from keras_sparse.search.seeds import trial_seed

from ..reproduce.experiment import Experiment, Results, Run, Setting
from ..reproduce.records import Records
from .methods import Method
from .problem import load

METHODS: Mapping[str, tuple[str, str]] = {
    "Keras Sparse": ("methods", "KerasSparse"),
    "KerasTuner RandomSearch": ("keras_tuner_methods", "RandomSearch"),
    "KerasTuner BayesianOptimization": ("keras_tuner_methods", "BayesianOptimization"),
    "KerasTuner Hyperband": ("keras_tuner_methods", "Hyperband"),
    "Optuna NSGA-II": ("optuna_methods", "NSGA2"),
    "Optuna TPE": ("optuna_methods", "TPE"),
    "Optuna GP": ("optuna_methods", "GP"),
}
SUBSET = {"sizes": [2000, 1000, 5000], "epochs": 20, "trials": 30}
DATA: Mapping[str, Mapping[str, Any]] = {
    "digits": {"sizes": None, "epochs": 30, "trials": 30},
    "mnist": SUBSET,
    "fashion_mnist": SUBSET,
}
QUICK: Mapping[str, Any] = {"epochs": 10, "trials": 12}
QUICK_SEEDS = 2
SEEDS = 5

PROTOCOL = """
Hypervolume of the error and log10 of the connections of all networks a search has trained, in % of the box between the
reference point (the error of a guess; the connections the widest, deepest network of the space would have if it were
dense) and the ideal (no error, one connection). Higher is better. The space is the default `MLPSpace` for the data; all
methods train by the same code with the same seeds on the same split, on one thread, and keep a network's best epoch by
validation accuracy, which alone drives the searches; on test data the same networks are judged. "at equal time": after
as many seconds, proposals included, as the fastest search of the same seed took for all its trials. Optuna's samplers
have both objectives; KerasTuner's oracles have one: ParEGO's, with a weight drawn anew and all results scored anew
before each proposal. A trial of Hyperband is one rung of one configuration. Not at their defaults: the first random
trials of BayesianOptimization (10) and the population of NSGA-II (10), which would leave nothing of the search.
"""


def experiment(data: str, changes: Mapping[str, Any]) -> Experiment:
    """Return the comparison on a data set, with some of its parameters changed."""
    parameters = {"data": data, **DATA[data], **changes}
    return Experiment(
        name=f"search_{data}",
        title=f"Searches compared, {data.replace('_', '-')}",
        protocol=PROTOCOL,
        settings=[Setting(name, {"method": name, **parameters}) for name in METHODS],
        run=run,
        columns={"hypervolume": "validation, %", "hypervolume_test": "test, %", "proposing": "s proposing"},
        seeds=SEEDS,
    )


def run(this: Run) -> Results:
    """Search once."""
    sizes = this["sizes"]
    problem = load(this["data"], this.seed, this["epochs"], this.data_dir, None if sizes is None else tuple(sizes))
    module, name = METHODS[this["method"]]
    made: type[Method] = getattr(import_module(f".{module}", __package__), name)
    this.scratch.mkdir(parents=True, exist_ok=True)
    for left in sorted(this.scratch.rglob("*"), reverse=True):  # of a search that was interrupted
        left.unlink() if left.is_file() else left.rmdir()
    method = made(problem, this.seed, this["trials"], this.scratch)
    trials, proposing, began = [], 0.0, time.perf_counter()
    for index in range(this["trials"]):
        asked = time.perf_counter()
        proposal = method.ask(index)
        proposing += time.perf_counter() - asked
        outcome = problem.train(
            proposal.values,
            trial_seed(this.seed, index),
            epochs=proposal.epochs,
            done=proposal.done,
            weights=proposal.weights,
            halving=proposal.halving,
        )
        asked = time.perf_counter()
        method.tell(index, outcome)
        proposing += time.perf_counter() - asked
        seconds = round(time.perf_counter() - began, 2)
        trials.append([seconds, outcome.error, outcome.test_error, outcome.connections, len(outcome.curve)])
        this.progress((index + 1) / this["trials"])
    growth = [
        [problem.volume([(t[part], t[3]) for t in trials[:n]]) for n in range(1, len(trials) + 1)] for part in (1, 2)
    ]
    return {
        "trials": trials,
        "growth": [[round(volume, 5) for volume in part] for part in growth],
        "hypervolume": growth[0][-1],
        "hypervolume_test": growth[1][-1],
        "proposing": round(proposing, 2),
    }


def table(experiment: Experiment, records: Records, command: str) -> str:
    """Return the comparison as Markdown: mean ± spread over the seeds that every finished method has."""
    found = {setting.name: records.of(setting) for setting in experiment.settings}
    found = {name: runs for name, runs in found.items() if runs}
    seeds = sorted(set.intersection(*(set(runs) for runs in found.values()))) if found else []
    lines = [f"## {experiment.title}", "", f"    {command}", "", experiment.protocol.strip(), ""]
    if not seeds:
        return "\n".join([*lines, "No seed is finished with every method.", ""])
    equal = {seed: min(runs[seed]["results"]["trials"][-1][0] for runs in found.values()) for seed in seeds}
    parameters = experiment.settings[0].parameters
    most = parameters["trials"]
    marks = sorted({-(-most // 3), -(-2 * most // 3), most})
    head = ["method", *(f"after {n} trials" for n in marks), "test, at the end", "at equal time", "test, at equal time"]
    lengths = f"{most} trials of at most {parameters['epochs']} epochs, {len(seeds)} seeds"
    lines += [
        f"{lengths}; equal time: {statistics.fmean(equal.values()):.0f} s on average.",
        "",
        _row([*head, "s a trial", "s proposing, in all"]),
        _row(["---", *["---:"] * (len(head) + 1)]),
    ]
    for name, runs in found.items():
        results = [runs[seed]["results"] for seed in seeds]
        by_trials = [_cell([r["growth"][0][n - 1] for r in results]) for n in marks]
        test = _cell([r["growth"][1][-1] for r in results])
        timed = [_cell([_at(r, part, equal[s]) for s, r in zip(seeds, results, strict=True)]) for part in (0, 1)]
        seconds = statistics.fmean(r["trials"][-1][0] / len(r["trials"]) for r in results)
        proposing = statistics.fmean(r["proposing"] for r in results)
        lines.append(_row([name, *by_trials, test, *timed, f"{seconds:.1f}", f"{proposing:.1f}"]))
    return "\n".join(lines) + "\n"


def _at(results: Results, part: int, seconds: float) -> float:
    """Return the hypervolume after so many seconds."""
    done = int(np.searchsorted([trial[0] for trial in results["trials"]], seconds, side="right"))
    return results["growth"][part][done - 1] if done else 0.0


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{spread}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
