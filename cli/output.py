"""Results on stdout: a table for people, JSON for programs."""

from __future__ import annotations

import json
import math
from typing import Any

import click
from rich.console import Console
from rich.table import Table


def print_json(data: Any) -> None:
    """Print `data` as JSON that any parser reads: NaN and infinity become null."""
    click.echo(json.dumps(_finite(data), indent=2))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def print_search(result: dict[str, Any], directory: str | None) -> None:
    """Print the trials of a search and its winner."""
    front = {entry["trial"] for entry in result["pareto_front"]}
    best = result["best"]
    metric = best["metric"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("")
    for name in ("objective", f"val {metric}", f"test {metric}", "connections", "density"):
        table.add_column(name, justify="right")
    table.add_column("network")
    for entry in sorted(result["trials"], key=lambda e: (e["objective"] is None, e["objective"] or 0.0, e["trial"])):
        mark = "best" if entry["trial"] == best["trial"] else "front" if entry["trial"] in front else _remark(entry)
        if entry["objective"] is None:
            table.add_row(str(entry["trial"]), "failed", "", "", "", "", "", str(entry.get("error")))
            continue
        table.add_row(
            str(entry["trial"]), mark, f"{entry['objective']:.3f}", number(entry["val_metric"]),
            number(entry["test_metric"]), f"{entry['connections']:,}", f"{entry['density']:.4f}", network(entry),
        )  # fmt: skip
    _print(table)
    click.echo()
    print_network(best, "Best network")
    if directory:
        click.echo(f"Everything found is in {directory}")


def _remark(entry: dict[str, Any]) -> str:
    return "over limit" if entry.get("infeasible") else "given up" if entry.get("stopped_early") else ""


def print_network(entry: dict[str, Any], title: str) -> None:
    """Print one network as a short list of facts."""
    click.echo(f"{title}: {network(entry)}")
    metric = entry["metric"]
    click.echo(f"  {metric:12} {number(entry['val_metric'])} validation, {number(entry['test_metric'])} test")
    click.echo(f"  connections  {entry['connections']:,} (density {entry['density']:.4f})")
    click.echo(f"  parameters   {entry['parameters']:,}")
    for name in ("model", "saved_model"):
        if entry.get(name):
            click.echo(f"  {name:12} {entry[name]}")


def network(entry: dict[str, Any]) -> str:
    """Describe a trial's network by its layers: units at the density of the junction before them.

    Convolutions are "filters of window/stride (density)", recurrent layers "units (density, recurrent density)".
    """
    values = entry["hyperparameters"]
    if "blocks" in values:
        layers = [_convolution(values, i) for i in range(1, int(values["blocks"]) + 1)]
    elif "layers" in values:
        layers = [_recurrence(values, i) for i in range(1, int(values["layers"]) + 1)]
    else:
        count = int(values.get("hidden_layers", 0))
        layers = [f"{values[f'units_{i}']} ({values[f'density_{i}']:.3g})" for i in range(1, count + 1)]
    if "head" in values:
        layers.append(str(values["head"]))
    if values.get("hidden_units"):
        layers.append(f"{values['hidden_units']} ({values['density_hidden']:.3g})")
    return " - ".join([*layers, f"output ({values['density_output']:.3g})"]) if layers else ""


def _convolution(values: dict[str, Any], i: int) -> str:
    window = f"{values[f'kernel_{i}']}/{values[f'stride_{i}']}"
    return f"{values[f'filters_{i}']} of {window} ({values[f'density_{i}']:.3g})"


def _recurrence(values: dict[str, Any], i: int) -> str:
    densities = f"{values[f'density_{i}']:.3g}, {values[f'recurrent_density_{i}']:.3g}"
    return f"{values['cell']} {values[f'units_{i}']} ({densities})"


def number(value: float | None) -> str:
    """Format a metric."""
    return "-" if value is None else f"{value:.4g}"


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: do not cut
    console.print(table)
