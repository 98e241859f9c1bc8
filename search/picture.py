"""The picture of a search: how good its networks are against what they cost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from keras_sparse.files import atomic

from .front import pareto_front, winner
from .records import TrialRecord

_INK, _MUTED, _LINE, _GRID = "#1f2933", "#9aa5b1", "#2563a8", "#e4e7eb"
_WINNER = "#d9480f"
_UNITS = {"latency": "seconds for one sample", "train-time": "seconds per epoch", "flops": "FLOPs"}


def draw(records: Iterable[TrialRecord], path: Path, *, title: str, measure: str = "connections") -> None:
    """Draws every completed trial, the Pareto front and the winner, and writes a PNG in one step.

    Args:
        records: The trials; failed ones are left out.
        path: The file to write.
        title: What was searched, e.g. the data set's name.
        measure: What is on the x axis, one of `measures.NAMES`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    completed = [record for record in records if record.completed and record.measure(measure)]
    front, best = pareto_front(completed, [measure]), winner(completed)

    def points(records: list[TrialRecord]) -> tuple[list[float], list[float]]:
        return [record.measure(measure) or 0.0 for record in records], [record.val_metric or 0.0 for record in records]

    figure = Figure(figsize=(7.2, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=_INK, fontsize=12, fontweight="bold", pad=12)
    axes.set_xlabel(_UNITS.get(measure, measure), color=_INK)
    axes.set_ylabel(f"validation {_metric(completed)}", color=_INK)
    axes.set_xscale("log")
    axes.scatter(*points(completed), s=30, color=_MUTED, linewidths=0, label="trials", zorder=2)
    axes.plot(*points(front), "-o", color=_LINE, markersize=5.5, linewidth=1.6, label="Pareto front", zorder=3)
    if best is not None:
        axes.scatter(*points([best]), s=170, facecolors="none", edgecolors=_WINNER, linewidths=2, zorder=4)
        axes.scatter([], [], s=70, facecolors="none", edgecolors=_WINNER, linewidths=2, label=_caption(best))
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:.3g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", colors=_INK, length=0)
    axes.grid(color=_GRID, linewidth=0.8, zorder=0)
    axes.spines[:].set_visible(False)
    axes.margins(x=0.06, y=0.08)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9, loc="best")
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _metric(records: list[TrialRecord]) -> str:
    name = records[0].metric if records else "accuracy"
    return "mean squared error" if name == "mse" else name.replace("_", " ")


def _caption(best: TrialRecord) -> str:
    name = "error" if best.metric == "mse" else best.metric.replace("_", " ")
    return f"winner: {name} {best.val_metric:.4g}, {best.connections:,} connections, {best.density:.1%} dense"
