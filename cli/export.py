"""`ksparse export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .failures import WrongUsage, quiet_tensorflow, reported
from .inspect import load_model

_FORMATS = {"saved_model": "saved_model", "savedmodel": "saved_model", "litert": "litert", "onnx": "onnx"}
_SHOWN = 8  # inputs of a signature


@click.command()
@click.argument("model", type=click.Path(exists=True))
@click.argument("path", type=click.Path())
@click.option(
    "--format", "kind", type=click.Choice(list(_FORMATS)), default="saved_model", show_default=True,
    help="What to write. onnx needs pip install 'keras-sparse[onnx]'.",
)  # fmt: skip
@click.option(
    "--prefer", type=click.Choice(["speed", "size"]), default="speed", show_default=True,
    help="How each layer's form, sparse or dense, is chosen: by its latency, measured here, or by its bytes.",
)  # fmt: skip
@click.option("--quantize", type=click.Choice(["float16", "int8"]), help="Of a LiteRT file; int8 needs --examples.")
@click.option("--examples", metavar="DATA", help="Data as in `ksparse search`, for int8 and as warm-up requests.")
@click.option("--target", help="Target column of a table of examples. [default: the last one]")
@click.option("--versioned", is_flag=True, help="Write PATH/1, or the next free number, for TensorFlow Serving.")
@click.option("--overwrite", is_flag=True, help="Replace PATH if it has content.")
def export(
    model: str,
    path: str,
    kind: str,
    prefer: str,
    quantize: str | None,
    examples: str | None,
    target: str | None,
    versioned: bool,
    overwrite: bool,
) -> None:
    """Write MODEL, a .keras file or a run directory, to PATH for serving: stock operations, zeros left out.

    A SavedModel loads wherever TensorFlow does, without Keras Sparse. Signatures: serving_default takes what the model
    takes; features, where the model came from a search, takes preprocessed floats. LiteRT and ONNX files hold the
    first, or features where the model takes text.
    """
    quiet_tensorflow()
    with reported():
        import keras_sparse as ks

        found = Path(model) / "best.keras" if Path(model).is_dir() else Path(model)
        if not found.exists():
            raise WrongUsage(f"{model} holds no best.keras. Give a .keras file, or the directory of a finished run.")
        loaded = load_model(str(found))
        try:
            written = ks.export(
                loaded,
                path,
                format=_FORMATS[kind],
                prefer=prefer,
                quantize=quantize,
                examples=None if examples is None else _inputs(examples, target),
                versioned=versioned,
                overwrite=overwrite,
            )
        except FileExistsError as error:
            full = f"{path} is not empty. Choose another path, or add --overwrite."
            raise WrongUsage(str(error) if versioned else full) from error
        for layer in written.layers:
            click.echo(f"{layer.layer}: {layer.form} ({layer.reason})", err=True)
        click.echo(f"Wrote {written.format}, {written.bytes:,} bytes, to {written.path}", err=True)
        for line in _asked(loaded, written.format):
            click.echo(line, err=True)


def _asked(model: Any, kind: str) -> Iterator[str]:
    """Say what a file takes, signature by signature."""
    from keras_sparse.serving.endpoints import FEATURES, endpoints, flat, numeric

    for endpoint in endpoints(model) if kind == "saved_model" else [numeric(model)]:
        specs = flat(endpoint.specs)
        takes = [f"{spec.name} {spec.dtype}{list(spec.shape[1:]) or ''}" for spec in specs[:_SHOWN]]
        more = [f"{len(specs) - _SHOWN} more"] if len(specs) > _SHOWN else []
        behind = ", which the model's layer 'preprocess' makes of raw inputs" if endpoint.name == FEATURES else ""
        name = endpoint.name if kind == "saved_model" else "It"
        yield f"{name} takes, for every example, {', '.join([*takes, *more])}{behind}"


def _inputs(examples: str, target: str | None) -> Any:
    from keras_sparse.search.data import load

    return load(examples, target=target).x_train
