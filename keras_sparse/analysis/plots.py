"""Pictures of degrees, input maps and turnover. Matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..topology.connectivity import Int64
from .degrees import check_degrees, degree_distribution
from .maps import input_map
from .network import Network, stages

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .monitor import Monitor

_INK, _MUTED, _GRID = "#1f2933", "#9aa5b1", "#e4e7eb"
_COLOURS = ("#2563a8", "#d9480f", "#2b8a3e", "#862e9c", "#b08900", "#0b7285")


def plot_degrees(network: Network | NDArray[Any], *, ax: Axes | None = None) -> Axes:
    """Draw P(K ≥ k) of degrees on logarithmic axes, where a power law is a straight line.

    A dashed line shows the random graph of the same mean: a Poisson distribution. Units without connections count, but
    k = 0 has no place on a logarithmic axis.

    Args:
        network: a built model, a kernel, a Connectivity or a list of the last two: in- and out-degrees of a single
            junction, in-degrees of each of several, without dense layers; or an array of degrees.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; `ax.figure` is the figure.

    Raises:
        ValueError: when there is no sparse junction.

    Example:
        >>> import matplotlib; matplotlib.use("Agg")
        >>> import keras_sparse as ks
        >>> kernel = ks.Random().sample((100, 50), 400, seed=0)
        >>> ks.analysis.plot_degrees(kernel).get_xlabel()
        'degree k'
    """
    from scipy import stats

    axes = _axes(ax)
    for number, (label, degrees) in enumerate(_series(network).items()):
        colour = _COLOURS[number % len(_COLOURS)]
        k, _, at_least = degree_distribution(degrees)
        shown = k > 0
        axes.plot(k[shown], at_least[shown], "o", color=colour, markersize=4, markeredgewidth=0, label=label, zorder=3)
        steps = np.arange(1, k.max() + 2)
        random = stats.poisson.sf(steps - 1, degrees.mean())
        drawn = random >= 0.5 / len(degrees)
        axes.plot(steps[drawn], random[drawn], "--", color=colour, linewidth=1, alpha=0.6, zorder=2)
    axes.plot([], [], "--", color=_MUTED, linewidth=1, label="random, same mean")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("degree k", color=_INK)
    axes.set_ylabel("share of units with degree ≥ k", color=_INK)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9)
    return axes


def plot_input_map(network: Network, shape: Sequence[int], *, weighted: bool = False, ax: Axes | None = None) -> Axes:
    """Draw how many connections every input has, as a picture.

    Args:
        network: as `ks.analysis.input_map` takes it.
        shape: of the picture, (height, width) or (height, width, channels); channels are added up.
        weighted: whether connections count by |w|.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: as `ks.analysis.input_map` does, and for a shape that is no picture's.

    Example:
        >>> import matplotlib; matplotlib.use("Agg")
        >>> import keras_sparse as ks
        >>> kernel = ks.Random().sample((64, 50), 400, seed=0)
        >>> ks.analysis.plot_input_map(kernel, (8, 8)).images[0].get_array().shape
        (8, 8)
    """
    if len(shape) not in (2, 3):
        raise ValueError(f"A picture's shape is (height, width) or (height, width, channels); got {tuple(shape)}.")
    values = input_map(network, shape=shape, weighted=weighted)
    axes = _axes(ax)
    image = axes.imshow(values.sum(axis=tuple(range(2, values.ndim))), cmap="viridis", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    bar = axes.figure.colorbar(image, ax=axes, label="Σ|w| per input" if weighted else "connections per input")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return axes


def plot_turnover(monitor: Monitor | Mapping[str, Mapping[str, NDArray[Any]]], *, ax: Axes | None = None) -> Axes:
    """Draw the share of connections that came anew in each epoch, per junction, and R_s dashed where it is known.

    Args:
        monitor: a `Monitor` that has recorded, or its `history`.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: when nothing was recorded yet.

    Example:
        >>> import matplotlib; matplotlib.use("Agg")
        >>> import numpy as np, keras_sparse as ks
        >>> arrays = {"epoch": np.arange(2), "turnover": np.array([0, 0.3]), "explored": np.array([0.1, 0.13])}
        >>> ks.analysis.plot_turnover({"hidden": arrays}).get_ylabel()
        'share'
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    history = monitor if isinstance(monitor, Mapping) else monitor.history
    if not history:
        raise ValueError("Nothing was recorded yet: pass the Monitor to `fit(callbacks=[...])` first.")
    axes = _axes(ax)
    for number, (name, arrays) in enumerate(history.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        epochs = arrays["epoch"]
        axes.plot(epochs, arrays["turnover"], "-o", color=colour, markersize=4, linewidth=1.6, label=name, zorder=3)
        if not np.all(np.isnan(arrays["explored"])):
            axes.plot(epochs, arrays["explored"], "--", color=colour, linewidth=1.2, zorder=2)
    axes.plot([], [], "-o", color=_MUTED, markersize=4, linewidth=1.6, label="connections replaced")
    axes.plot([], [], "--", color=_MUTED, linewidth=1.2, label="positions ever tried, R_s")
    axes.set_xlabel("epoch", color=_INK)
    axes.set_ylabel("share", color=_INK)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9)
    return axes


def _series(network: Any) -> dict[str, Int64]:
    if isinstance(network, np.ndarray):
        return {"degrees": check_degrees(network)}
    found = [stage for stage in stages(network) if not stage.dense]
    if not found:
        raise ValueError("All junctions are dense: every unit has the same degree.")
    if len(found) > 1:
        return {f"{stage.name}, in-degree": stage.degrees()[0] for stage in found}
    into, out = found[0].degrees()
    return {"in-degree": into, "out-degree": out}


def _axes(ax: Axes | None) -> Any:
    """Return `ax`, or the axes of a new figure, in the style of the house."""
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(7.2, 4.5), dpi=150, layout="constrained")
    ax.tick_params(which="both", colors=_INK, length=0)
    ax.grid(color=_GRID, linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    return ax
