"""The library's helpers for rewiring, as replacements of the NumPy functions of the same purpose.

Each takes what the NumPy function takes and returns the same, or None for arrays that are not of the common types.
Every array goes with its length; the library checks what is in it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...topology.connectivity import Int64
from ...topology.growing import Sifted
from ...topology.places import Places
from ...topology.places import dtype as place_dtype

if TYPE_CHECKING:
    from ...topology.layout import Layout

_I, _P = ctypes.c_int64, ctypes.c_void_p
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "count_signs": (_P, _I, _P),
    "survivors": (_P, _I, _P, _P),
    "kept_places": (_P, _P, _I, _P, _I, _I),
    "count_rows": (_P, _P, _I, _I, _P, _I),
    "units": (_P, _P, _I, _I, _P, _P),
    "in_degrees": (_P, _P),
    "sift": (_P, _I, _P, _P, _I, _I, _P),
    "sources": (_P, _I, _P, _I, _P, _I),
    "gather": (_P, _I, _P, _I, _P, _I, _P),
    "scatter": (_P, _P, _I, _I, _P, _I),
    "compact": (_P, _P, _I, _I),
    "line_sums": (_P, _I, _I, _P, _P),
    "mark": (_P, _I, _P, _P, _I, _I, _I),
}


class _Grid(ctypes.Structure):
    _fields_ = (("n_in", _I), ("n_out", _I), ("block", _I))


class _Stored(ctypes.Structure):
    _fields_ = (("grid", _Grid), ("ids", _P), ("id_count", _I), ("wide", _I), ("rows", _P), ("row_count", _I))


class Rewiring:
    """The helpers of a loaded library.

    Args:
        binary: the library.
    """

    def __init__(self, binary: ctypes.CDLL) -> None:
        for name, arguments in _ARGUMENTS.items():
            function = getattr(binary, f"keras_sparse_{name}")
            function.argtypes = arguments
            function.restype = None if name in ("count_signs", "line_sums") else _I
            setattr(self, f"_{name}", function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # for type checkers: the functions are attributes

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return what can be registered with `topology.accelerated`."""
        functions = (
            self.count_signs,
            self.all_but_closest,
            self.kept_places,
            self.pointers,
            self.to_units,
            self.in_degrees,
            self.sift,
            self.sources,
            self.gather,
            self.scatter,
            self.compact,
            self.line_sums,
            self.mark,
        )
        return {function.__name__: function for function in functions}

    def count_signs(self, values: NDArray[Any]) -> tuple[int, int] | None:
        """Replace `rewiring.drop.count_signs`."""
        if not _plain(values, np.float32):
            return None
        counts = np.empty(2, np.int64)
        self._count_signs(_at(values), len(values), _at(counts))
        return int(counts[1]), int(counts[0])

    def all_but_closest(self, values: NDArray[Any], below: int, above: int) -> NDArray[np.bool_] | None:
        """Replace `rewiring.drop.all_but_closest`."""
        if not _plain(values, np.float32):
            return None
        keep, gone = np.empty(len(values), bool), np.array([above, below], np.int64)
        kept = self._survivors(_at(values), len(values), _at(gone), _at(keep))
        return None if kept < 0 else keep

    def kept_places(self, layout: Layout, ids: NDArray[Any], pointers: Int64, keep: NDArray[np.bool_]) -> Places | None:
        """Replace `topology.places.kept`."""
        stored = _stored(layout, ids, pointers)
        if stored is None or not _plain(keep, np.bool_):
            return None
        places = np.empty(int(np.count_nonzero(keep)) + 1, place_dtype(layout.shape))
        count = self._kept_places(
            ctypes.byref(stored), _at(keep), len(keep), _at(places), len(places), places.itemsize == 8
        )
        return None if count < 0 else places[:count]

    def pointers(self, layout: Layout, *sets: Places) -> Int64 | None:
        """Replace `topology.places.pointers`."""
        kind = place_dtype(layout.shape)
        if not all(_plain(places, kind) for places in sets):
            return None
        rows, grid = np.zeros(layout.rows + 1, np.int64), _grid(layout)
        for places in sets:
            wide = places.itemsize == 8
            if self._count_rows(ctypes.byref(grid), _at(places), len(places), wide, _at(rows), len(rows)):
                return None
        return rows

    def to_units(self, layout: Layout, places: Places) -> tuple[Int64, Int64] | None:
        """Replace `topology.places.to_units`."""
        if not _plain(places, place_dtype(layout.shape)):
            return None
        inputs, outputs = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
        wide = places.itemsize == 8
        grid = _grid(layout)
        if self._units(ctypes.byref(grid), _at(places), len(places), wide, _at(inputs), _at(outputs)):
            return None
        return inputs, outputs

    def in_degrees(self, layout: Layout, ids: NDArray[Any], pointers: Int64) -> Int64 | None:
        """Replace `topology.layout.Layout.in_degrees`."""
        stored = _stored(layout, ids, pointers)
        degrees = np.empty(layout.shape[1], np.int64)
        if stored is None or self._in_degrees(ctypes.byref(stored), _at(degrees)):
            return None
        return degrees

    def sift(self, taken: Places, drawn: Places) -> Sifted | None:
        """Replace `topology.growing.sift`."""
        kind = np.int64 if drawn.dtype == np.int64 else np.int32
        if not (_plain(taken, kind) and _plain(drawn, kind) and drawn.flags.writeable):
            return None
        scratch, passed = np.empty_like(drawn), np.empty(len(drawn), np.int64)
        wide = drawn.itemsize == 8
        count = self._sift(_at(taken), len(taken), _at(drawn), _at(scratch), len(drawn), wide, _at(passed))
        return Sifted(drawn[:count], passed[:count])

    def sources(self, keep: NDArray[np.bool_], new: Int64) -> NDArray[np.int32] | None:
        """Replace `rewiring.move.sources`."""
        if not (_plain(keep, np.bool_) and _plain(new, np.int64)):
            return None
        found = np.empty(int(np.count_nonzero(keep)) + len(new), np.int32)
        failed = self._sources(_at(keep), len(keep), _at(new), len(new), _at(found), len(found))
        return None if failed else found

    def gather(
        self, old: NDArray[Any], sources: NDArray[np.int32], new: NDArray[Any], fill: float
    ) -> NDArray[Any] | None:
        """Replace `rewiring.move.gather`."""
        if not (_plain(old, new.dtype) and _plain(new, new.dtype) and _plain(sources, np.int32)):
            return None
        if len(new) != len(sources) or not new.flags.writeable:
            return None
        filler = np.array(fill, new.dtype)
        failed = self._gather(_at(old), len(old), _at(sources), len(new), _at(filler), new.itemsize, _at(new))
        return None if failed else new

    def scatter(self, new: NDArray[Any], places: Int64, entries: NDArray[Any]) -> NDArray[Any] | None:
        """Replace `rewiring.move.scatter`."""
        if not (_plain(entries, new.dtype) and _plain(new, new.dtype) and _plain(places, np.int64)):
            return None
        if len(entries) != len(places) or not new.flags.writeable:
            return None
        failed = self._scatter(_at(entries), _at(places), len(places), new.itemsize, _at(new), len(new))
        return None if failed else new

    def compact(self, array: NDArray[Any], keep: NDArray[np.bool_]) -> NDArray[Any] | None:
        """Replace `topology.places.compact`."""
        if not (_plain(array, array.dtype) and array.flags.writeable and _plain(keep, np.bool_)):
            return None
        if len(array) != len(keep):
            return None
        count = self._compact(_at(array), _at(keep), len(array), array.itemsize)
        return None if count < 0 else array[:count]

    def line_sums(self, data: NDArray[np.uint8], weights: NDArray[np.uint64]) -> NDArray[np.uint64] | None:
        """Replace `topology.hashing.line_sums`."""
        if sys.byteorder != "little" or not _plain(data, np.uint8):
            return None
        sums = np.empty(len(data) // weights.nbytes, np.uint64)
        self._line_sums(_at(data), len(sums), len(weights), _at(weights), _at(sums))
        return sums

    def mark(self, bits: NDArray[np.uint8], inputs: Int64, outputs: Int64, shape: tuple[int, int]) -> int | None:
        """Replace `rewiring.explored.mark`."""
        if not (_plain(bits, np.uint8) and _plain(inputs, np.int64) and _plain(outputs, np.int64)):
            return None
        if len(inputs) != len(outputs):
            return None
        count = self._mark(_at(bits), len(bits), _at(inputs), _at(outputs), len(inputs), *shape)
        return None if count < 0 else count


def _plain(array: NDArray[Any], dtype: Any) -> bool:
    """Return whether `array` is one-dimensional, without gaps, of the type and in the order of bytes of C."""
    return array.ndim == 1 and array.dtype == dtype and array.flags.c_contiguous and array.dtype.isnative


def _at(array: NDArray[Any]) -> int:
    return array.ctypes.data


def _grid(layout: Layout) -> _Grid:
    return _Grid(*layout.shape, layout.block)


def _stored(layout: Layout, ids: NDArray[Any], pointers: Int64) -> _Stored | None:
    if not (_plain(ids, layout.id_dtype) and _plain(pointers, np.int64)):
        return None
    return _Stored(_grid(layout), _at(ids), len(ids), ids.itemsize == 4, _at(pointers), len(pointers))
