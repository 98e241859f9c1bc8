"""Places: all positions of a junction, numbered in storage order from 0 to n_in · n_out - 1.

Sorted places are connections in storage order, so sets of connections are merged and compared as sorted numbers.
Blocks of outputs follow each other, in a block the inputs, for an input its outputs; only the last block can be
narrower. Numbers are 32 bits wide where the junction allows, to halve memory and sorting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .accelerated import accelerated
from .connectivity import Int64

if TYPE_CHECKING:
    from .layout import Layout

Places = NDArray[np.signedinteger[Any]]
CHUNK = 1 << 18  # connections worked on at a time, so that temporaries take little memory


class _Band(NamedTuple):
    """Consecutive rows of one width: all full blocks, or the narrower last one."""

    rows: range
    first: int  # place of the first row's first output
    width: int


def _bands(layout: Layout) -> list[_Band]:
    n_in, n_out = layout.shape
    full, rest = divmod(n_out, layout.block)
    bands = [_Band(range(full * n_in), 0, layout.block)] if full else []
    if rest:
        bands.append(_Band(range(full * n_in, (full + 1) * n_in), full * n_in * layout.block, rest))
    return bands


def dtype(shape: tuple[int, int]) -> type[np.signedinteger[Any]]:
    """Return the narrowest integer type for the places of a junction."""
    return np.int32 if shape[0] * shape[1] < 2**31 else np.int64


def of_index(layout: Layout, ids: NDArray[Any], pointers: Int64) -> Places:
    """Return the places of the connections stored as `ids` and row `pointers`, ascending, [K]."""
    places = np.repeat(_row_starts(layout), np.diff(pointers))
    for chunk in chunks(len(places)):
        places[chunk] += ids[chunk].astype(places.dtype)
    return places


@accelerated("kept_places")
def kept(layout: Layout, ids: NDArray[Any], pointers: Int64, keep: NDArray[np.bool_]) -> Places:
    """Return the places of the connections with `keep`, ascending."""
    return compact(of_index(layout, ids, pointers), keep)


@accelerated("compact")
def compact(array: NDArray[Any], keep: NDArray[np.bool_]) -> NDArray[Any]:
    """Move the entries to keep to the front of `array`, in place, and return them.

    In chunks, by index: several times as fast as `array[keep]`, without memory for all indices.
    """
    end = 0
    for chunk in chunks(len(array)):
        part = array[chunk].take(np.flatnonzero(keep[chunk]))
        array[end : end + len(part)] = part
        end += len(part)
    return array[:end]


def of_units(layout: Layout, inputs: Int64, outputs: Int64) -> Places:
    """Return the place of every connection from `inputs` to `outputs`, in their order."""
    n_in, n_out = layout.shape
    if layout.blocks == 1:
        return (inputs * n_out + outputs).astype(dtype(layout.shape), copy=False)
    block, local = np.divmod(outputs, layout.block)
    width = np.where(block == layout.blocks - 1, n_out - (layout.blocks - 1) * layout.block, layout.block)
    return (block * (n_in * layout.block) + inputs * width + local).astype(dtype(layout.shape), copy=False)


@accelerated("to_units")
def to_units(layout: Layout, places: Places) -> tuple[Int64, Int64]:
    """Return (inputs, outputs) of ascending `places`."""
    inputs, outputs = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
    for part, row, local in _rows(layout, places):
        if layout.blocks == 1:
            inputs[part], outputs[part] = row, local
        else:
            block = row // layout.shape[0]
            inputs[part] = row - block * layout.shape[0]
            outputs[part] = block * layout.block + local
    return inputs, outputs


@accelerated("pointers")
def pointers(layout: Layout, *sets: Places) -> Int64:
    """Return the row pointers of disjoint, ascending sets of places together, [rows + 1]."""
    starts = _row_starts(layout)
    result = np.zeros(layout.rows + 1, np.int64)
    for places in sets:
        result[:-1] += np.searchsorted(places, starts)
        result[-1] += len(places)
    return result


def _row_starts(layout: Layout) -> Places:
    """Return the place of the first output of every row, [rows]."""
    kind = dtype(layout.shape)
    return np.concatenate([np.arange(len(b.rows), dtype=kind) * kind(b.width) + kind(b.first) for b in _bands(layout)])


def _rows(layout: Layout, places: Places) -> Iterator[tuple[slice, Places, Places]]:
    """Yield (part of `places`, its rows, its local ids) chunk by chunk."""
    begin = 0
    for band in _bands(layout):
        end = int(
            np.searchsorted(places, places.dtype.type(band.first + len(band.rows) * band.width - 1), side="right")
        )
        for chunk in chunks(end - begin):
            part = slice(begin + chunk.start, begin + chunk.stop)
            local = places[part] - places.dtype.type(band.first)
            row = local // band.width
            local -= row * places.dtype.type(band.width)
            yield part, row + places.dtype.type(band.rows.start), local
        begin = end


def chunks(count: int) -> Iterator[slice]:
    """Yield slices that cover [0, count)."""
    for begin in range(0, count, CHUNK):
        yield slice(begin, min(begin + CHUNK, count))
