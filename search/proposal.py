"""Which configuration a trial tries: a pure function of space, seed, trial index and what is known of other trials.

The first trials fill the space: the middle of every range, then Sobol points, rotated by the seed; in a search for the
whole front a ladder from cheap networks to rich ones. After that a Gaussian process with a length scale for every
dimension predicts what configurations would give, and the one is tried that promises most: the largest expected
improvement of f, or of the front. Where the connections of a configuration are known before it is trained (`known`),
only log10 f_p is predicted and f = log10(f_p + w_c · f_c) follows: the search need not learn what size costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from .candidates import Known, excess, pool
from .design import ladder, spread
from .dominance import nondominated
from .encoding import Encoding, Values
from .errors import LimitsError
from .expectation import Expectation, Finished
from .seeds import PROPOSAL, stream

INITIAL_TRIALS = 6
"""Trials that fill the space before results are looked at."""
RANDOM_CANDIDATES = 1024
"""Configurations drawn from the whole space among which the most promising is chosen."""
LOCAL_CANDIDATES = 512
"""Configurations drawn around the best three, or the front, together."""
_NOTHING: Mapping[str, float] = MappingProxyType({})


def propose(
    encoding: Encoding,
    *,
    seed: int,
    index: int,
    finished: Sequence[Finished],
    running: Sequence[Mapping[str, Any]] = (),
    weight: float = 0.0,
    complexity: str = "connections",
    reference: float = 1.0,
    pareto: Sequence[str] = (),
    limits: Mapping[str, float] = _NOTHING,
    known: Known | None = None,
    initial: int = INITIAL_TRIALS,
) -> Values | None:
    """The configuration of trial `index`; the same arguments always give the same one.

    Args:
        encoding: The space.
        seed: The seed of the search.
        index: Index of the trial, from 0.
        finished: The trials to learn from and not to repeat, in order of index: those before it that had ended.
        running: Configurations of those that had not.
        weight: w_c of the objective.
        complexity: The measure in f_c.
        reference: What f_c is in units of.
        pareto: Measures to minimise beside f_p, for the whole front; empty to minimise f.
        limits: Measure to the largest value a network may have. What is known to break one is never proposed.
        known: What a configuration costs, as far as that is known beforehand.
        initial: Number of trials that fill the space.

    Returns:
        Values of the active hyperparameters, never those of another trial, or None if the space has no other.

    Raises:
        LimitsError: No configuration was found that keeps the limits, and none was tried.
    """
    tried = {encoding.key(values) for values in (*(trial.values for trial in finished), *running)}
    beyond = excess(known, limits)
    results = [trial for trial in finished if trial.objective is not None]
    start: Values | None = None
    if index < initial or len(results) < 2:
        start = _start(encoding, seed, index, initial, pareto=pareto, known=known, limits=limits)
        if encoding.key(start) not in tried and beyond(start) <= 0:
            return start
    rng = stream(seed, PROPOSAL, index)
    centres = [] if start is not None else _centres(results, pareto)
    local = LOCAL_CANDIDATES // max(len(centres), 1)
    candidates, nearest = pool(
        encoding, rng, centres=centres, tried=tried, beyond=beyond, spread=RANDOM_CANDIDATES, local=local
    )
    if not candidates:
        remaining = encoding.enumerate() or iter(())
        found = next((v for v in remaining if encoding.key(v) not in tried and beyond(v) <= 0), None)
        if found is None and not finished and not running and nearest is not None and known is not None:
            raise LimitsError(_too_tight(known(nearest), limits))
        return found
    if start is not None:
        point = encoding.encode(start)
        return min(candidates, key=lambda values: float(np.linalg.norm(encoding.encode(values) - point)))
    expectation = Expectation(encoding, finished, running, candidates, known)
    if pareto:
        gain = expectation.front_improvement(pareto, rng)
    else:
        gain = expectation.improvement(weight, complexity, reference)
    return candidates[int(np.argmax(gain * expectation.feasibility(limits)))]


def _start(
    encoding: Encoding,
    seed: int,
    index: int,
    steps: int,
    *,
    pareto: Sequence[str],
    known: Known | None,
    limits: Mapping[str, float],
) -> Values:
    """The configuration a search that knows nothing tries; after the ladder Sobol points."""
    if not pareto or index >= steps:
        return spread(encoding, seed, index)
    name = next((name for name in pareto if known is not None and name in known(encoding.defaults())), None)
    cost = (lambda values: float(np.log(known(values)[name]))) if known is not None and name is not None else None
    return ladder(encoding, seed, index, steps, cost=cost, beyond=excess(known, limits))


def _centres(results: Sequence[Finished], pareto: Sequence[str]) -> list[Mapping[str, Any]]:
    """Configurations around which to look: the best three by f, or those on the front, feasible ones first."""
    ordered = sorted(results, key=lambda trial: (not trial.feasible, trial.objective or 0.0))
    if pareto:
        feasible = [t for t in ordered if t.feasible and t.f_p and all(name in t.measures for name in pareto)]
        if feasible:
            front = nondominated([[t.f_p or 0.0, *(t.measures[name] for name in pareto)] for t in feasible])
            return [trial.values for trial, on_front in zip(feasible, front, strict=True) if on_front]
    return [trial.values for trial in ordered[:3]]


def _too_tight(nearest: Mapping[str, float], limits: Mapping[str, float]) -> str:
    over = ", ".join(
        f"{name} at least {nearest[name]:,.6g}, but at most {limit:,.6g} are allowed"
        for name, limit in limits.items()
        if nearest.get(name, 0.0) > limit
    )
    return (
        f"No network of the space was found that keeps the limits: {over}. Raise the limit, or let the space have "
        "smaller networks (widths, densities)."
    )
